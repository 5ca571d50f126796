"""`check-host.sh` says what a machine lacks, and how to get it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.engine import ROOT

NODE = '#!/bin/sh\necho "v{}.1.0"\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with all that is needed, to be used as PATH."""
    (tmp_path / "python3").symlink_to(sys.executable)
    _command(tmp_path / "node", NODE.format(20))
    _command(tmp_path / "git")
    _command(tmp_path / "npm")
    return tmp_path


def test_a_machine_with_everything_will_do(path: Path):
    assert _check(path) == (0, "")


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("python3", "kith: Python >= 3.11 is needed and 'python3' was not found"),
        ("git", "kith: git was not found"),
        ("node", "kith: Node >= 20 is needed (for the CDK command line) and was not found"),
        ("npm", "kith: npm was not found"),
    ],
)
def test_what_is_missing_is_named(path: Path, missing: str, told: str):
    (path / missing).unlink()
    code, message = _check(path)
    assert code == 1
    assert message.startswith(told)
    assert len(message.splitlines()) == 1


def test_a_node_that_is_too_old_is_named(path: Path):
    _command(path / "node", NODE.format(18))
    assert _check(path) == (
        1,
        "kith: Node >= 20 is needed, this is v18.1.0: see https://nodejs.org/en/download\n",
    )


def test_make_run_checks_the_machine_even_if_all_is_installed():
    make = shutil.which("make")
    assert make is not None
    plan = subprocess.run(  # noqa: S603 - our own Makefile
        [make, "--no-print-directory", "-n", "run"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    assert plan[-2:] == ["PYTHON=.venv/bin/python local/check-host.sh", ".venv/bin/python -m local.run"]


def _command(file: Path, script: str = "#!/bin/sh\n") -> None:
    file.write_text(script)
    file.chmod(0o755)


def _check(path: Path) -> tuple[int, str]:
    ran = subprocess.run(  # noqa: S603 - our own script
        ["/bin/sh", ROOT / "local" / "check-host.sh"],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ran.returncode, ran.stderr
