"""What an editor, or mypy, tells whoever writes a builder's code: the types of `kith` are for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "cli" / "template"


@pytest.fixture(scope="module")
def types_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("types")


def checked(folder: Path, types_cache: Path, *files: str) -> str:
    """Have mypy check files as it checks those of somebody who has installed Kith."""
    ran = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={types_cache}", *files],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("file", ["transform.py", "profile.py"])
def test_the_code_that_kith_init_makes_is_typed_through_and_through(types_cache, file):
    assert checked(TEMPLATE, types_cache, file).startswith("Success"), "mypy --strict"


def test_a_slip_in_the_use_of_the_api_is_found_before_it_runs(types_cache, tmp_path):
    (tmp_path / "profile.py").write_text(
        "from kith import Context, Events, ProfileResult, User\n\n\n"
        "def profile(events: Events, user: User, context: Context) -> ProfileResult:\n"
        "    context.store.sett('seen', 1)\n"
        "    name = user.nam\n"
        "    return {'trait': {'name': name}}\n"
    )
    told = checked(tmp_path, types_cache, "profile.py")
    assert [line.split(":")[1] for line in told.splitlines() if ": error:" in line] == ["5", "6", "7"], told
