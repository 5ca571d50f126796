"""Background processes that outlive the command that started them, each known by a file."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """A process; `started` tells it from a later one that got the same number."""

    pid: int
    started: str


def start(command: Sequence[str | Path], environment: Mapping[str, str], *, log: Path, file: Path) -> Process:
    """Start a command in a session of its own, its output appended to `log`, and note it in `file`."""
    arguments = [str(argument) for argument in command]
    file.parent.mkdir(parents=True, exist_ok=True)
    # posix_spawn, because subprocess would warn about a child that nobody waits for.
    pid = os.posix_spawn(
        arguments[0],
        arguments,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return note(pid, file)


def note(pid: int, file: Path) -> Process:
    """Note a process that leads a session of its own in `file`; its exit code is left to the caller."""
    process = Process(pid, _started(pid) or "")
    file.write_text(json.dumps(asdict(process)))
    return process


def find(file: Path) -> Process | None:
    """Find the process noted in `file`, if it still runs."""
    try:
        process = Process(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    _reap(process.pid)
    return process if process.started and _started(process.pid) == process.started else None


def stop(file: Path, seconds: float) -> bool:
    """End the process noted in `file` and all its children; returns whether there was one."""
    process = find(file)
    if process is not None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while find(file) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        # Whatever is left of its session: itself, if it did not listen, and what it started.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        _reap(process.pid)
    file.unlink(missing_ok=True)
    return process is not None


def _started(pid: int) -> str | None:
    """Say when a process started, in whatever form the system has; None if it does not run."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # pid (name, which may hold anything) state ... the 22nd field is the start time
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] == "Z" else fields[19]
    listed = subprocess.run(  # noqa: S603 - a fixed command
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip() or None


def _reap(pid: int) -> None:
    """Take note of the end of a child of this very process, which would stay a zombie otherwise."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
