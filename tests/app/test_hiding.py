"""A process that is hidden keeps its environment from the processes that it starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from shared.adapters.hiding import hide_process

ROOT = Path(__file__).parents[2]
# Root may read everything, so this goes on as nobody in particular; changing the user hides a process, and it
# is shown again, as a function on AWS is that was started as its own user.
READ_BY_A_CHILD = """
import ctypes, os

from shared.adapters.hiding import PR_SET_DUMPABLE, hide_process

if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)

def read_by_a_child():
    child = os.fork()
    if child == 0:
        try:
            with open(f"/proc/{os.getppid()}/environ", "rb") as environment:
                os._exit(0 if b"s3cret" in environment.read() else 2)
        except PermissionError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

before = read_by_a_child()
hide_process()
print(before, read_by_a_child())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_a_child_reads_its_parents_environment_until_the_parent_hides():
    told = subprocess.run(  # noqa: S603 - our own interpreter and text
        [sys.executable, "-c", READ_BY_A_CHILD],
        check=True,
        capture_output=True,
        text=True,
        env={"AWS_SECRET_ACCESS_KEY": "s3cret", "PYTHONPATH": str(ROOT)},
    )
    assert told.stdout == "0 1\n"


def test_hiding_again_is_no_error():
    hide_process()
    hide_process()
