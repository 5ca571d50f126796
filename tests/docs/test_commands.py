"""Every command that the documentation shows is run, here or on the local cloud, and prints what is shown."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.console import PAGES, ROOT, masked, steps

OFFLINE = re.compile(r"(\.venv/bin/)?(kith (validate|fold)|python -m shared\.core\.grammar) ")
ON_THE_CLOUD = re.compile(r"echo '.*' >>? \w+\.jsonl$|\.venv/bin/kith (send|get|events|quarantine) ")
RUN_WHOLE = {"publishing.md"}
"""Pages whose sessions are run from their first command to their last, by a test in tests/e2e."""
MAKE = re.compile(r"make ([a-z]+)( STAGE=dev)?$")
ELSEWHERE = {"git clone <this repository> kith && cd kith": "nobody knows yet where from"}

ALL = [(page, step) for page in PAGES for step in steps(page)]


def _ids(one):
    return one.name if isinstance(one, Path) else one.command


@pytest.mark.parametrize(("page", "step"), ALL, ids=_ids)
def test_every_command_is_run_by_some_test(page, step):
    command = step.command + " "
    run_on_cloud = page.name in RUN_WHOLE or (ON_THE_CLOUD.match(step.command) and page.name == "README.md")
    assert OFFLINE.match(command) or run_on_cloud or MAKE.match(step.command) or step.command in ELSEWHERE


@pytest.mark.parametrize(
    ("page", "step"),
    [(page, step) for page, step in ALL if OFFLINE.match(step.command + " ") and page.name not in RUN_WHOLE],
    ids=_ids,
)
def test_commands_without_a_cloud_print_what_is_shown(page, step, tmp_path):
    assert page.exists()
    shutil.copytree(ROOT / "builders", tmp_path / "builders")
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    ran = subprocess.run(  # noqa: S602 - the command is ours
        step.command,
        shell=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=60,
    )
    assert masked(ran.stdout) == masked(step.output)


@pytest.mark.parametrize(
    "target", sorted({found[1] for _, step in ALL if (found := MAKE.match(step.command))})
)
def test_make_has_the_targets_that_are_shown(target):
    help_text = subprocess.run(
        ["make", "--no-print-directory", "help"],  # noqa: S607 - make is where the machine has it
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert f"  make {target} " in help_text


@pytest.mark.parametrize("page", PAGES, ids=_ids)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link
