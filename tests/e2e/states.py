"""The death of those at work in the states of a build."""

import fcntl
import os
import signal
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from infra.function import camel
from local import processes
from tests.e2e.conftest import Live

STATES: Final = ("plan", "scan", "link", "shuffle", "replay", "verify", "follow", "cut_over", "clean_up")
PROC: Final = Path("/proc")
"""Where Linux shows processes; elsewhere nobody dies."""


class Deaths:
    """Holds the warm workers of all states, and kills each once it has got something to do.

    The engine's functions are processes that it writes events to: one that is held does not read them.
    """

    def __init__(self, live: Live) -> None:
        names = {live.function(f"Rebuild{camel(state)}Function"): state for state in STATES}
        self._held = {pid: names[name] for pid, name in _workers(live) if name in names}
        self.killed: set[str] = set()
        for pid in self._held:
            os.kill(pid, signal.SIGSTOP)

    @property
    def states(self) -> set[str]:
        """The states that had a warm worker."""
        return {*self._held.values(), *self.killed}

    def look(self) -> None:
        """Kill those that have got an event."""
        for pid, state in list(self._held.items()):
            with suppress(FileNotFoundError, ProcessLookupError):  # the engine ends idle ones itself
                if _has_work(pid):
                    os.kill(pid, signal.SIGKILL)
                    del self._held[pid]
                    self.killed.add(state)

    def end(self) -> None:
        """Let those go on that had nothing to do."""
        for pid in self._held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _workers(live: Live) -> Iterator[tuple[int, str]]:
    """Yield the processes of this cloud's functions, and the names of these, which other clouds have, too."""
    engine = processes.find(live.cloud.folder / "engine.process.json")
    assert engine is not None
    marker = b"AWS_LAMBDA_FUNCTION_NAME="
    for process in PROC.glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) != engine.pid:
                continue
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for one in variables:
            if one.startswith(marker):
                yield int(process.name), one.removeprefix(marker).decode()


def _has_work(pid: int) -> bool:
    """Say whether something waits in a process's standard input."""
    with (PROC / f"{pid}/fd/0").open("rb", buffering=0) as pipe:
        waiting = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(waiting, "little") > 0
