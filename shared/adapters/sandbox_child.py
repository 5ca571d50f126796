"""The process that runs user code: it reads a program, then events, and answers each as soon as it is done.

Frames on both pipes: four bytes of length, then JSON. It ends when its input does.
"""

import contextlib
import gc
import os
import resource
import struct
import sys
from itertools import count
from typing import BinaryIO, Final

import msgspec

from shared.adapters.hiding import hide_process
from shared.core.chain import Chain, Failure
from shared.core.sandbox import Answer, Loaded, Program, answer_of
from shared.core.user_code import UserCodeError
from shared.core.user_context import Printed, UserContext

LENGTH: Final = struct.Struct(">I")
LINES_MAX: Final = 20
"""Lines of its log that are kept of one event."""
_decode_events: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


def main(memory_bytes: int) -> None:
    """Serve until the input ends."""
    incoming, outgoing = _take_pipes()
    hide_process()  # from the code of other programs
    os.register_at_fork(after_in_child=outgoing.close)  # a fork of user code has nothing to answer
    with contextlib.suppress(ValueError, OSError):  # not every system can limit memory
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    lines: list[tuple[str, str]] = []
    counts: dict[str, int] = {}

    def log(level: str, text: str) -> None:
        if len(lines) < LINES_MAX:
            lines.append((level, text))

    program = msgspec.json.decode(_read(incoming) or b"", type=Program)
    context = UserContext(program.builder, program.version, program.env, log, counts)
    printed = sys.stdout = sys.stderr = Printed(context.log)
    try:
        chain = Chain(program.source, context)
    except UserCodeError as error:
        _write(outgoing, Loaded(context.mask(f"line {error.line}: {error}")))
        return
    _write(outgoing, Loaded())
    gc.freeze()
    numbers = count()
    while (events := _read(incoming)) is not None:
        for event in _decode_events(events):
            lines.clear()
            counts.clear()
            outcome = chain.run(bytes(event))
            printed.flush()
            worn = False
            if isinstance(outcome, Failure):
                worn = outcome.detail.startswith("MemoryError")
                outcome = msgspec.structs.replace(outcome, detail=context.mask(outcome.detail))
            _write(outgoing, answer_of(outcome, lines=lines, counts=counts, worn=worn, number=next(numbers)))


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


def _write(outgoing: BinaryIO, message: Answer | Loaded) -> None:
    data = msgspec.json.encode(message)
    left = memoryview(LENGTH.pack(len(data)) + data)
    while left:
        left = left[outgoing.write(left) :]


if __name__ == "__main__":
    main(int(sys.argv[1]))
