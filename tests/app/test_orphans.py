"""What user code leaves behind is ended with the process that it ran in, and nothing else is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Adopting is for good, so a process of its own does it. It tells how many children it has and whether that of
# a neighbour is alive, once user code has left six behind and its process was ended; then how many are left.
LEFT_BEHIND = """
import msgspec
from shared.adapters.orphans import _children, adopt_orphans
from shared.adapters.sandbox import Limits, Sandbox
from shared.core.sandbox import Program

DAEMON = '''
import os, time

def transform(event, context):
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.setsid()
            time.sleep(60)
            os._exit(0)
    return {"left": 6}
'''
adopt_orphans()
neighbour = Sandbox(Program("b", 1, "def transform(event, context): pass", {}), Limits())
neighbour.run([msgspec.Raw(b"{}")], 60)
sandbox = Sandbox(Program("a", 1, DAEMON, {}), Limits())
[answer] = sandbox.run([msgspec.Raw(b"{}")], 60)
assert answer.made, answer
sandbox.close()
print(len(_children()), neighbour._kept._process.is_alive())
neighbour.close()
print(len(_children()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt others")
def test_processes_that_left_their_session_end_with_the_one_that_started_them():
    told = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", LEFT_BEHIND],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
    )
    assert told.stdout == "1 True\n0\n"
