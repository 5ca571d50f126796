"""Laws on many more examples than `make test` has time for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.soaking import EXAMPLES, TIMES

ROOT = Path(__file__).parents[2]
LAWS = ("tests/laws", "tests/app/test_engine.py", "tests/app/test_rebuild_law.py")


@pytest.mark.soak
@pytest.mark.parametrize("laws", LAWS)
def test_laws_hold_on_many_times_as_many_examples(laws):
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not soak", laws]
    environment = os.environ | {EXAMPLES: str(TIMES)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert run.returncode == 0, run.stdout
