"""The process that runs user code: it reads a program, then what to run it on, and answers each at once.

Frames on both pipes: four bytes of length, then JSON. What it asks of its parent begins with `?`. It ends
when its input does.
"""

import contextlib
import gc
import os
import resource
import struct
import sys
import threading
from itertools import count
from typing import BinaryIO, Final

import msgspec

from shared.adapters.hiding import hide_process
from shared.adapters.tools import network_tools
from shared.core.chain import Chain, Failure
from shared.core.functions import FunctionFailure
from shared.core.profile_code import ProfileCode
from shared.core.sandbox import Answer, FunctionAnswer, Loaded, Start, answer_of, read_run
from shared.core.user_code import PROFILE_FILE, UserCodeError
from shared.core.user_context import Printed, Tools, UserContext
from shared.core.user_store import Ask, Told

LENGTH: Final = struct.Struct(">I")
ASK: Final = b"?"
LINES_MAX: Final = 20
"""Lines of its log that are kept of one event, or one run of a profile function."""
_decode_events: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
_decode_told: Final = msgspec.json.Decoder(Told).decode


class _Parent:
    """The pipes. Threads of user code may ask while it runs, and never past the answer."""

    def __init__(self) -> None:
        self._incoming, self._outgoing = _take_pipes()
        self._lock = threading.Lock()
        self._runs = False
        os.register_at_fork(after_in_child=self._outgoing.close)  # a fork of user code has nothing to say

    def next(self) -> bytes | None:
        """Return the next frame, None at the end of the input."""
        return _read(self._incoming)

    def begin(self) -> None:
        """Let user code ask, until it is answered for."""
        self._runs = True

    def say(self, message: Answer | FunctionAnswer | Loaded) -> None:
        """Answer."""
        with self._lock:
            self._runs = False
            _write(self._outgoing, _encode(message))

    def ask(self, ask: Ask) -> Told:
        """Ask the store."""
        data = ASK + msgspec.json.encode(ask)
        with self._lock:
            if not self._runs:
                return Told(error="it was asked after the run")
            _write(self._outgoing, data)
            return _decode_told(_read(self._incoming) or b"")


class _Said:
    """What user code logs and counts, until it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.counts: dict[str, int] = {}

    def log(self, level: str, text: str) -> None:
        if len(self.lines) < LINES_MAX:
            self.lines.append((level, text))

    def clear(self) -> None:
        self.lines.clear()
        self.counts.clear()


def main(memory_bytes: int) -> None:
    """Serve until the input ends."""
    parent = _Parent()
    hide_process()  # from the code of other programs
    with contextlib.suppress(ValueError, OSError):  # not every system can limit memory
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    start = msgspec.json.decode(parent.next() or b"", type=Start)
    said = _Said()
    fetch, warehouse = network_tools(start.fetch, start.warehouses)
    tools = Tools(parent.ask, fetch, warehouse, start.secrets)
    context = UserContext(start.builder, start.version, start.env, said.log, said.counts, tools)
    printed = sys.stdout = sys.stderr = Printed(context.log)
    serve = _serve_function if start.file == PROFILE_FILE else _serve_chain
    try:
        serve(parent, start.source, context, said, printed)
    except UserCodeError as error:
        parent.say(Loaded(context.mask(f"line {error.line}: {error}")))


def _serve_chain(parent: _Parent, source: str, context: UserContext, said: _Said, printed: Printed) -> None:
    chain = Chain(source, context)
    _loaded(parent)
    numbers = count()
    while (events := parent.next()) is not None:
        for event in _decode_events(events):
            said.clear()
            parent.begin()
            outcome = chain.run(bytes(event))
            printed.flush()
            worn = False
            if isinstance(outcome, Failure):
                worn = _is_worn(outcome)
                outcome = msgspec.structs.replace(outcome, detail=context.mask(outcome.detail))
            parent.say(
                answer_of(outcome, lines=said.lines, counts=said.counts, worn=worn, number=next(numbers))
            )


def _serve_function(
    parent: _Parent, source: str, context: UserContext, said: _Said, printed: Printed
) -> None:
    code = ProfileCode(source, context)
    _loaded(parent)
    numbers = count()
    while (frame := parent.next()) is not None:
        said.clear()
        run, chunks = read_run(frame)
        parent.begin()
        result = code.run(run.user, chunks, run.since_ms)
        printed.flush()
        answer = FunctionAnswer(lines=said.lines, counts=said.counts, number=next(numbers))
        if isinstance(result, FunctionFailure):
            failure = msgspec.structs.replace(result, detail=context.mask(result.detail))
            answer = msgspec.structs.replace(answer, failure=failure, worn=_is_worn(result))
        elif result is not None:
            answer = msgspec.structs.replace(answer, value=msgspec.Raw(result))
        parent.say(answer)


def _loaded(parent: _Parent) -> None:
    gc.freeze()
    parent.say(Loaded())


def _is_worn(failure: Failure | FunctionFailure) -> bool:
    return failure.detail.startswith("MemoryError")


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take standard input and output for frames, and leave nothing there for user code to write into."""
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    return incoming, outgoing


def _read(incoming: BinaryIO) -> bytes | None:
    head = incoming.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return incoming.read(LENGTH.unpack(head)[0])


def _write(outgoing: BinaryIO, data: bytes) -> None:
    left = memoryview(LENGTH.pack(len(data)) + data)
    while left:
        left = left[outgoing.write(left) :]


if __name__ == "__main__":
    main(int(sys.argv[1]))
