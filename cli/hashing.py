"""The order of sets, which Python draws anew for each process: user code that walks through one is to repeat.

In the cloud it runs with PYTHONHASHSEED=0, and that is read only when Python starts.
"""

import os
import sys
from collections.abc import Iterable
from typing import Final

HASH_SEED: Final = {"PYTHONHASHSEED": "0"}


class _Entry:
    """Whether this process is the command line's own, which nothing is lost of if it starts again."""

    is_own = False


def own_process() -> None:
    """Say that this process is the command line's own; a test that calls a command is not."""
    _Entry.is_own = True


def repeatable(files: Iterable[str]) -> None:
    """Start this command again with a hash seed, if user code is among the files and there is none yet.

    To be called before anything is read from stdin, written, or told.
    """
    if not (_Entry.is_own and any(name.endswith(".py") for name in files)):
        return
    is_asked = HASH_SEED.items() <= os.environ.items()  # in vain: Python was told to ignore its environment
    if sys.flags.hash_randomization and not is_asked and os.name == "posix":
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | HASH_SEED)  # noqa: S606 - ourselves
