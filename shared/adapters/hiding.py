"""Keeping a process' memory and environment from others that run as the same user."""

import ctypes
import sys
from functools import cache
from typing import Final

PR_SET_DUMPABLE: Final = 4


@cache
def hide_process() -> None:
    """Let no other process of the same user read this one's environment or memory, under /proc or by tracing.

    Linux gives what /proc says of such a process to root, until it runs another program. Elsewhere there is
    no /proc, and nothing is done.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
