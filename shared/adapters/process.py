"""A process of `sandbox_child.py`: frames go to it and come from it, and it may be lost at any time.

Frames on both pipes: four bytes of length, then what it holds. One that begins with `?` is a question to the
store, which is answered at once.
"""

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple, TypeVar

import msgspec

from shared.adapters.hiding import hide_process
from shared.adapters.orphans import end_orphans
from shared.adapters.sandbox_child import ASK, LENGTH
from shared.app.secrets import NO_SECRETS, Secrets, SecretUnavailableError, start_of
from shared.app.user_store import StoreDesk, UserValues
from shared.core.sandbox import Answer, FunctionAnswer, Loaded, Program
from shared.core.user_store import Ask, Told

FRAME_BYTES_MAX: Final = 2**25
"""An answer is far smaller."""
_PIPE_BYTES: Final = 2**18
_GATHER_S: Final = 0.002
"""How long answers gather to be read together: to be woken for each takes longer than to read it."""
_living: Final[set[int]] = set()
"""The processes of all sandboxes, by their ids."""
_GARBLED: Final = "the process wrote what is no answer"

_Message = TypeVar("_Message", Answer, FunctionAnswer, Loaded)
_DECODERS: Final[dict[type, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Answer, FunctionAnswer, Loaded)
}


class Limits(NamedTuple):
    """What user code may take: seconds to load, and for one event, and bytes of memory.

    `idle_s`: for how long its process, with nothing else to do, may leave lying what it is to do next.
    """

    load_s: float = 10.0
    event_s: float = 5.0
    memory_bytes: int = 512 * 2**20
    idle_s: float = 10.0


class Outside(NamedTuple):
    """What is kept for user code outside of its process; `now` gives ms UTC."""

    secrets: Secrets = NO_SECRETS
    values: UserValues | None = None
    now: Callable[[], int] = lambda: time.time_ns() // 1_000_000


class LostError(Exception):
    """The process ended or had to be ended, cannot `load` its program, or cannot be started now (`busy`)."""

    def __init__(self, kind: Literal["crash", "timeout", "load", "busy"], detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


class Process:
    """One process, with its program loaded; LostError if that cannot be."""

    def __init__(self, program: Program, limits: Limits, outside: Outside) -> None:
        hide_process()  # it holds the credentials of the function
        self._buffer = bytearray()
        self._taken = 0
        """Bytes of the buffer that were read as frames."""
        self._asks = False
        self._answered = 0
        self._idle_s = limits.idle_s
        self._desk = _desk(program, outside)
        try:
            start = start_of(program, outside.secrets)
        except SecretUnavailableError as error:
            raise LostError("busy", f"{program.file}: {error}") from None
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
        _living.add(self._child.pid)
        _widen(self._child)
        os.set_blocking(self._stdin, False)
        try:
            self.write(msgspec.json.encode(start), limits.load_s)
            loaded = self._read(limits.load_s, Loaded)
        except LostError as error:
            self.end()
            # A process that only starts too slowly is no fault of its program.
            kind: Literal["busy", "load"] = "busy" if error.kind in ("timeout", "busy") else "load"
            raise LostError(kind, f"{program.file}: {error.detail}") from None
        if loaded.error is not None:
            self.end()
            raise LostError("load", f"{program.file}: {loaded.error}")

    def is_alive(self) -> bool:
        """Say whether the process still runs."""
        return self._child.poll() is None

    @property
    def _stdin(self) -> int:
        assert self._child.stdin is not None  # noqa: S101 - asked for above
        return self._child.stdin.fileno()

    def write(self, data: bytes, time_s: float | None = None) -> None:
        """Send a frame; a process that is gone shows when it is read.

        LostError if it does not take the frame in time: it has been stopped, which none of its events did.
        """
        time_s = self._idle_s if time_s is None else time_s
        end = time.monotonic() + time_s
        with suppress(BrokenPipeError):
            left = memoryview(LENGTH.pack(len(data)) + data)
            while left:
                if not select.select([], [self._stdin], [], max(0, end - time.monotonic()))[1]:
                    raise LostError("busy", f"the process took nothing for {time_s:g} s")
                left = left[os.write(self._stdin, left) :]

    def answer(self, time_s: float, kind: "type[_Message]", *, more: bool = False) -> _Message:
        """Return the next answer; LostError if it takes too long, or there is none.

        Where `more` are to come soon, some of them may be waited for, to be read together.
        """
        answer = self._read(time_s, kind, gather=more and not self._asks)
        if isinstance(answer, Loaded) or answer.number != self._answered:
            raise LostError("crash", _GARBLED)
        self._answered += 1
        return answer

    def end(self) -> None:
        """End the process, and all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        _living.discard(self._child.pid)
        end_orphans(_living)
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self, time_s: float, kind: "type[_Message]", *, gather: bool = False) -> _Message:
        end = time.monotonic() + time_s
        self._asks = False
        try:
            while (frame := self._frame(end, time_s, gather=gather)).startswith(ASK):
                self._asks, gather = True, False  # its process waits for what it is told
                told = self._desk(msgspec.json.decode(frame[len(ASK) :], type=Ask))
                self._tell(told, end, time_s)
            found: _Message = _DECODERS[kind].decode(frame)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise LostError("crash", _GARBLED) from None
        return found

    def _tell(self, told: Told, end: float, time_s: float) -> None:
        """Answer a question; LostError if it asks and then takes no answer."""
        try:
            self.write(msgspec.json.encode(told), end - time.monotonic())
        except LostError:
            raise LostError("timeout", _too_long(time_s)) from None

    def _frame(self, end: float, time_s: float, *, gather: bool) -> bytearray:
        while True:
            start = self._taken + LENGTH.size
            if len(self._buffer) >= start:
                whole = start + LENGTH.unpack_from(self._buffer, self._taken)[0]
                if whole - start > FRAME_BYTES_MAX:
                    raise LostError("crash", _GARBLED)
                if len(self._buffer) >= whole:
                    self._taken = whole
                    return self._buffer[start:whole]
            self._fill(end, time_s, gather=gather)

    def _fill(self, end: float, time_s: float, *, gather: bool) -> None:
        assert self._child.stdout is not None  # noqa: S101 - asked for above
        left_s = end - time.monotonic()
        if left_s <= 0 or not select.select([self._child.stdout], [], [], left_s)[0]:
            raise LostError("timeout", _too_long(time_s))
        if gather:
            time.sleep(_GATHER_S)
        data = os.read(self._child.stdout.fileno(), _PIPE_BYTES)
        if not data:
            raise LostError("crash", f"the process ended ({_how(self._child)})")
        del self._buffer[: self._taken]
        self._taken = 0
        self._buffer += data


def _widen(child: "subprocess.Popen[bytes]") -> None:
    """Have the pipe of the answers take as many as gather in it."""
    assert child.stdout is not None  # noqa: S101 - asked for above
    with suppress(OSError, AttributeError):  # it is as good a pipe where this cannot be
        fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _desk(program: Program, outside: Outside) -> Callable[[Ask], Told]:
    if outside.values is None:
        return lambda _: Told(error="there is no store here")
    return StoreDesk(outside.values, program.builder, program.version, outside.now)


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return what a process needs to run Python, and none of the credentials of this one."""
    kept = {name: given[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in given}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0", "TZ": "UTC"}


def _too_long(time_s: float) -> str:
    return f"it took longer than {time_s:g} s"


def _how(child: "subprocess.Popen[bytes]") -> str:
    try:
        status = child.wait(1)
    except subprocess.TimeoutExpired:
        return "it closed its output"
    return f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
