"""The session that README.md shows, run on the local cloud."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.console import ROOT, blocks, masked, steps
from tests.e2e.conftest import Live

pytestmark = pytest.mark.e2e

README = ROOT / "README.md"
SAMPLES = "builders/customers/samples/events.jsonl"
SESSION = [
    step for step in steps(README) if re.match(r"echo |\.venv/bin/kith (send|get|events) ", step.command)
]


@pytest.fixture(scope="module")
def folder(live: Live) -> Path:
    """A folder in which the README's commands work as written: it has the cloud, Kith and the builders."""
    folder = live.cloud.folder.parent
    (folder / ".venv").symlink_to(Path(sys.prefix))
    (folder / "builders").symlink_to(ROOT / "builders")
    _run(folder, f".venv/bin/kith send {SAMPLES}")
    live.settle()
    return folder


def test_the_session_prints_what_is_shown(live: Live, folder: Path) -> None:
    for step in SESSION:
        assert masked(_run(folder, step.command)) == masked(step.output), step.command
        if " send " in step.command:
            live.settle()


def test_make_run_shows_profiles_as_they_are(folder: Path) -> None:
    (make_run,) = [step.output for step in steps(README) if step.command == "make run"]
    shown = re.search(r"^(kith get \w+ \w+)\n(.*?)^\[\.\.\.\]$", make_run, re.MULTILINE | re.DOTALL)
    assert shown is not None
    printed = masked(_run(folder, f".venv/bin/{shown[1]}"))
    assert printed.startswith(masked(shown[2]))


def test_ten_lines_of_boto3_read_a_profile(live: Live, folder: Path) -> None:
    (program,) = blocks(README, "python")
    assert len(program.strip().splitlines()) <= 12
    ran = subprocess.run(  # noqa: S603 - the README's own program
        [sys.executable, "-c", program],
        cwd=folder,
        env=live.cloud.environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.strip() == program.rpartition("# ")[2].strip()


def _run(folder: Path, command: str) -> str:
    """Run a command as somebody would in a shell there; return all that it prints."""
    ran = subprocess.run(  # noqa: S602 - the README's own commands
        command,
        shell=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=120,
    )
    return ran.stdout
