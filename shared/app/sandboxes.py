"""Transforming for whoever asks: a sandbox for each program, the latest few of them kept."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from shared.core.sandbox import Answer, Program, Request, Response

KEPT_MAX: Final = 2
"""Programs whose process is kept: there are few versions at a time, and each takes memory."""

_decode_events: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


class Sandbox(Protocol):
    """Runs one program."""

    def run(self, events: Sequence[msgspec.Raw], time_s: float) -> list[Answer]:
        """Transform JSON texts within a time; one answer for each, in their order."""
        ...

    def close(self) -> None:
        """End what runs."""
        ...


class Sandboxes:
    """Answers requests."""

    def __init__(self, start: Callable[[Program], Sandbox]) -> None:
        self._start = start
        self._kept: OrderedDict[bytes, Sandbox] = OrderedDict()

    def run(self, request: Request, time_s: float) -> tuple[Response, list[Answer]]:
        """Transform the events of a request within a time; return the response, and what it says."""
        answers = self._sandbox(request.program).run(_decode_events(request.events), time_s)
        # What was logged and counted stays where it ran.
        told = [msgspec.structs.replace(one, lines=[], counts={}, worn=False, number=0) for one in answers]
        return Response(_encode(told).decode()), answers

    def _sandbox(self, program: Program) -> Sandbox:
        name = _encode(program)
        sandbox = self._kept.pop(name, None) or self._start(program)
        self._kept[name] = sandbox
        if len(self._kept) > KEPT_MAX:
            _, oldest = self._kept.popitem(last=False)
            oldest.close()
        return sandbox
