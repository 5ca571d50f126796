"""Running user code in a process of its own, which may crash, hang or run out of memory.

Its parent knows how far it came: exactly the event that did it fails, and a new process takes the others.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

import msgspec

from shared.adapters.hiding import hide_process
from shared.adapters.sandbox_child import LENGTH
from shared.core.chain import Failure
from shared.core.sandbox import Answer, Loaded, Program, events_json

FAILURES_MAX: Final = 3
"""Processes lost one after the other, with no event answered in between, after which the rest waits."""
FRAME_BYTES_MAX: Final = 2**25
"""An answer is far smaller."""
_CHUNK_BYTES: Final = 2**16
_GARBLED: Final = Failure("transform_crash", "the process wrote what is no answer")

_Message = TypeVar("_Message", Answer, Loaded)


class Limits(NamedTuple):
    """What user code may take: seconds to load, and for one event, and bytes of memory."""

    load_s: float = 10.0
    event_s: float = 5.0
    memory_bytes: int = 512 * 2**20


class _LostError(Exception):
    """The process ended, or had to be ended."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


class _NotLoadedError(_LostError):
    """The program cannot be run, or not now: a process that only starts too slowly is no fault of it."""

    def __init__(self, failure: Failure) -> None:
        slow = failure.reason == "transform_timeout"
        super().__init__(
            Failure("transform_retry" if slow else "transform_load", f"transform.py: {failure.detail}")
        )


class Sandbox:
    """Runs one program; its process is started when it is needed, and kept."""

    def __init__(self, program: Program, limits: Limits) -> None:
        self._program = program
        self._limits = limits
        self._process: _Process | None = None

    def run(self, events: Sequence[msgspec.Raw], time_s: float) -> list[Answer]:
        """Transform JSON texts within a time; one answer for each, in their order.

        Events that there was no time for are to be tried again. Whatever this raises, its process is ended.
        """
        try:
            return self._answers(events, time_s)
        except BaseException:
            self.close()  # what it has still to say would answer other events
            raise

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _answers(self, events: Sequence[msgspec.Raw], time_s: float) -> list[Answer]:
        end = time.monotonic() + time_s
        answers: list[Answer] = []
        lost = 0
        while len(answers) < len(events) and lost < FAILURES_MAX and time.monotonic() < end:
            before = len(answers)
            try:
                self._run(events, answers, end)
            except _LostError as error:
                lost = lost + 1 if len(answers) == before else 1
                self.close()
                # Without a program no event can be transformed.
                failed = len(events) - len(answers) if isinstance(error, _NotLoadedError) else 1
                answers += [Answer(failure=error.failure)] * failed
        unreached = Failure("transform_retry", "not reached: the events before it took too long, or crashed")
        return answers + [Answer(failure=unreached, unreached=True)] * (len(events) - len(answers))

    def _run(self, events: Sequence[msgspec.Raw], answers: list[Answer], end: float) -> None:
        """Have the events answered that are not yet; _LostError if the process is lost over one of them."""
        if self._process is not None and not self._process.is_alive():
            self.close()  # between two runs: no event is to blame
        if self._process is None:
            self._process = _Process(self._program, self._limits)
        process = self._process
        process.write(events_json(events[len(answers) :]))
        while len(answers) < len(events):
            if time.monotonic() >= end:
                self.close()  # it would go on with what nobody waits for
                return
            answer = process.answer(self._limits.event_s)
            answers.append(answer)
            if answer.worn:
                self.close()
                return


class _Process:
    """One process of `sandbox_child.py`, with its program loaded."""

    def __init__(self, program: Program, limits: Limits) -> None:
        hide_process()  # it holds the credentials of the function
        self._buffer = bytearray()
        self._answered = 0
        command = [sys.executable, "-m", "shared.adapters.sandbox_child", str(limits.memory_bytes)]
        self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(os.environ),
            bufsize=0,
            start_new_session=True,  # what user code starts ends with it
        )
        self.write(msgspec.json.encode(program))
        try:
            loaded = self._read(limits.load_s, Loaded)
        except _LostError as error:
            self.end()
            raise _NotLoadedError(error.failure) from None
        if loaded.error is not None:
            self.end()
            raise _NotLoadedError(Failure("transform_load", loaded.error))

    def is_alive(self) -> bool:
        """Say whether the process still runs."""
        return self._child.poll() is None

    def write(self, data: bytes) -> None:
        """Send a frame; a process that is gone shows when it is read."""
        assert self._child.stdin is not None  # noqa: S101 - asked for above
        with suppress(BrokenPipeError):
            left = memoryview(LENGTH.pack(len(data)) + data)
            while left:
                left = left[os.write(self._child.stdin.fileno(), left) :]

    def answer(self, time_s: float) -> Answer:
        """Return the answer of the next event; _LostError if it takes too long, or there is none."""
        answer = self._read(time_s, Answer)
        if answer.number != self._answered:
            raise _LostError(_GARBLED)
        self._answered += 1
        return answer

    def _read(self, time_s: float, kind: type[_Message]) -> _Message:
        try:
            return msgspec.json.decode(self._frame(time_s), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise _LostError(_GARBLED) from None

    def _frame(self, time_s: float) -> bytes:
        end = time.monotonic() + time_s
        while True:
            if len(self._buffer) >= LENGTH.size:
                whole = LENGTH.size + LENGTH.unpack_from(self._buffer)[0]
                if whole > FRAME_BYTES_MAX:
                    raise _LostError(_GARBLED)
                if len(self._buffer) >= whole:
                    frame = bytes(self._buffer[LENGTH.size : whole])
                    del self._buffer[:whole]
                    return frame
            self._fill(end, time_s)

    def end(self) -> None:
        """End the process, and all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def _fill(self, end: float, time_s: float) -> None:
        assert self._child.stdout is not None  # noqa: S101 - asked for above
        left_s = end - time.monotonic()
        if left_s <= 0 or not select.select([self._child.stdout], [], [], left_s)[0]:
            raise _LostError(Failure("transform_timeout", f"it took longer than {time_s:g} s"))
        chunk = os.read(self._child.stdout.fileno(), _CHUNK_BYTES)
        if not chunk:
            raise _LostError(Failure("transform_crash", f"the process ended ({_how(self._child)})"))
        self._buffer += chunk


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return what a process needs to run Python, and none of the credentials of this one."""
    kept = {name: given[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in given}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0", "TZ": "UTC"}


def _how(child: "subprocess.Popen[bytes]") -> str:
    try:
        status = child.wait(1)
    except subprocess.TimeoutExpired:
        return "it closed its output"
    return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
