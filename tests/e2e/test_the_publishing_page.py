"""The session that docs/publishing.md shows, run on the local cloud.

Last of all end-to-end tests, as it publishes the builder that the others use: afterwards another version is
active.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.console import ROOT, masked, steps
from tests.e2e.conftest import Live

pytestmark = pytest.mark.e2e

PAGE = ROOT / "docs" / "publishing.md"
SAMPLES = "builders/customers/samples/events.jsonl"
TIMEOUT_S = 240

WHO = "ann"
"""Who publishes on the page: the user of the machine."""

_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{3}Z)?"), "TIME"),
    (re.compile(r"(for|after) (\d+ (h|min|s) ?)+,"), "after SECONDS,"),
    (re.compile(r"^\w+ v\d+: (?!active).*\n", re.MULTILINE), ""),  # states that were seen while they lasted
    (re.compile(r"^(  \w+ +(done|running|waiting).*\n)+", re.MULTILINE), "STATES\n"),
    # Other tests have left profiles there, and have sent the samples as well.
    (re.compile(r"\b\d+ (profiles? equal|profiles|events)"), r"N \1"),
    (re.compile(r"and \d+ more;"), "and N more;"),
)


@pytest.fixture(scope="module")
def folder(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder below which the commands work as written, and builders may be changed."""
    folder = tmp_path_factory.mktemp("publishing")
    (folder / ".venv").symlink_to(Path(sys.prefix))
    (folder / ".local").symlink_to(live.cloud.folder)
    shutil.copytree(ROOT / "builders", folder / "builders")
    live.cloud.restart_trusting()  # the page is no test of roles: `test_roles.py`, before it, is
    run(folder, f".venv/bin/kith send {SAMPLES}")
    live.settle()
    return folder


def test_the_session_prints_what_is_shown(folder: Path) -> None:
    for step in steps(PAGE):
        assert told(run(folder, step.command)) == told(step.output), step.command


def told(output: str) -> str:
    output = masked(output)
    for pattern, replacement in _VARYING:
        output = pattern.sub(replacement, output + "\n").strip()
    return output


def run(folder: Path, command: str) -> str:
    """Run a command as somebody would in a shell there; return all that it prints."""
    ran = subprocess.run(  # noqa: S602 - the page's own commands
        command,
        shell=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        | {"LOGNAME": WHO},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}"
    return ran.stdout
