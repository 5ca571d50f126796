"""Ending what user code leaves behind: a process that leaves its session outlives the one that started it.

For functions, whose processes are all started by the sandbox; a command has children of its own.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

PR_SET_CHILD_SUBREAPER: Final = 36
ROUNDS_MAX: Final = 100
"""What is ended may leave children, and they others."""

_adopting: list[bool] = []


def adopt_orphans() -> None:
    """Become the parent of whatever loses its own below this process, so that it can be found and ended.

    Linux only: elsewhere nothing is adopted.
    """
    if sys.platform == "linux" and not _adopting:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _adopting.append(True)


def end_orphans(known: Collection[int]) -> None:
    """End all children of this process but those that are known, if it adopts any."""
    if not _adopting:
        return
    for _ in range(ROUNDS_MAX):
        orphans = [pid for pid in _children() if pid not in known]
        if not orphans:
            return
        for pid in orphans:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    own = os.getpid()
    return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal() and _parent(one) == own]


def _parent(process: Path) -> int | None:
    try:
        stat = (process / "stat").read_text()
    except OSError:  # it has just ended
        return None
    # The name, in brackets, may hold anything; then come the state and the parent.
    return int(stat.rpartition(")")[2].split()[1])
