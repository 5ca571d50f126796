"""The session that README.md shows, run on the local cloud."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared.core.identity.identifiers import Identifier
from shared.core.identity.ids import profile_id
from tests.docs.console import ROOT, blocks, masked, steps
from tests.e2e.conftest import Live

pytestmark = pytest.mark.e2e

README = ROOT / "README.md"
SAMPLES = "builders/customers/samples/events.jsonl"
SESSION = [
    step for step in steps(README) if re.match(r"echo |\.venv/bin/kith (send|get|events) ", step.command)
]

OWN_ACCOUNT = {
    "AWS_ACCESS_KEY_ID": "theirs",
    "AWS_SECRET_ACCESS_KEY": "theirs",
    "AWS_SESSION_TOKEN": "theirs",
    "AWS_DEFAULT_REGION": "us-west-2",
}
"""What a reader may have set, and what must have no part in the local cloud."""


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
        assert _shown(_run(folder, step.command)) == _shown(step.output), step.command
        if " send " in step.command:
            live.settle()


def test_make_run_shows_profiles_as_they_are(folder: Path) -> None:
    (make_run,) = [step.output for step in steps(README) if step.command == "make run"]
    shown = re.search(r"^(kith get \w+ \w+)\n(.*?)^\[\.\.\.\]$", make_run, re.MULTILINE | re.DOTALL)
    assert shown is not None
    printed = _shown(_run(folder, f".venv/bin/{shown[1]}"))
    assert printed.startswith(_shown(shown[2]))


def test_a_profile_has_the_id_of_one_of_its_identifiers(folder: Path) -> None:
    profile = json.loads(_run(folder, ".venv/bin/kith get user_id u_1003 --json"))
    owned = [Identifier(kind, one) for kind, values in profile["identifiers"].items() for one in values]
    assert profile["profile_id"] in {profile_id("customers", one) for one in owned}


@pytest.mark.parametrize("own", [{}, OWN_ACCOUNT], ids=["no account", "an account of one's own"])
def test_the_program_in_boto3_reads_a_profile_as_written(folder: Path, own: dict[str, str]) -> None:
    (program,) = blocks(README, "python")
    assert len(program.strip().splitlines()) <= 14
    (folder / "read_profile.py").write_text(program)
    ran = subprocess.run(
        [sys.executable, "read_profile.py"],
        cwd=folder,
        env=_environment() | {"HOME": str(folder)} | own,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.strip() == program.rpartition("# ")[2].strip()


def _shown(output: str) -> str:
    """Replace what differs from run to run, ids too: records of one millisecond have no order of their own.

    Whether the visit before somebody's login founds the profile, or the login, is up to how a batch was cut.
    """
    return re.sub(r"^profile_id: [0-9a-f]{32}$", "profile_id: ID", masked(output), flags=re.MULTILINE)


def _environment() -> dict[str, str]:
    """Give the environment of somebody without an AWS account: this cloud is not in it either."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _run(folder: Path, command: str) -> str:
    """Run a command as somebody would in a shell there; return all that it prints."""
    ran = subprocess.run(  # noqa: S602 - the README's own commands
        command,
        shell=True,
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=120,
    )
    return ran.stdout
