"""Running user code for whoever asks: a sandbox for each program, the latest few of them kept."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from shared.app.functions.ports import FunctionInput
from shared.core.sandbox import Answer, FunctionAnswer, FunctionRequest, Program, Request, Response

KEPT_MAX: Final = 2
"""Programs whose process is kept: there are few versions at a time, and each takes memory."""

_decode_events: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
inputs_json: Final = msgspec.json.Encoder(decimal_format="number").encode
_decode_inputs: Final = msgspec.json.Decoder(list[FunctionInput], float_hook=Decimal).decode


class Closing(Protocol):
    """Runs one program."""

    def close(self) -> None:
        """End what runs."""
        ...


class Sandbox(Closing, Protocol):
    """Runs one chain."""

    def run(self, events: Sequence[msgspec.Raw], time_s: float) -> list[Answer]:
        """Transform JSON texts within a time; one answer for each, in their order."""
        ...


class FunctionSandbox(Closing, Protocol):
    """Runs one profile function."""

    def run(
        self, inputs: Sequence[FunctionInput], time_s: float, run_s: float | None = None
    ) -> list[FunctionAnswer]:
        """Run it for each input within a time, and `run_s` for each; one answer for each, in their order."""
        ...


_S = TypeVar("_S", bound=Closing)


class _Kept(Generic[_S]):
    def __init__(self, start: Callable[[Program], _S]) -> None:
        self._start = start
        self._kept: OrderedDict[bytes, _S] = OrderedDict()

    def get(self, program: Program) -> _S:
        """Return what runs a program."""
        name = _encode(program)
        sandbox = self._kept.pop(name, None) or self._start(program)
        self._kept[name] = sandbox
        if len(self._kept) > KEPT_MAX:
            _, oldest = self._kept.popitem(last=False)
            oldest.close()
        return sandbox

    def close(self) -> None:
        """End all that run."""
        while self._kept:
            self._kept.popitem()[1].close()


class Sandboxes:
    """Answers requests for transformed events."""

    def __init__(self, start: Callable[[Program], Sandbox]) -> None:
        self._kept = _Kept(start)

    def run(self, request: Request, time_s: float) -> tuple[Response, list[Answer]]:
        """Transform the events of a request within a time; return the response, and what it says."""
        answers = self._kept.get(request.program).run(_decode_events(request.events), time_s)
        # What was logged and counted stays where it ran.
        told = [msgspec.structs.replace(one, lines=[], counts={}, worn=False, number=0) for one in answers]
        return Response(_encode(told).decode()), answers

    def close(self) -> None:
        """End all that run."""
        self._kept.close()


class FunctionSandboxes:
    """Answers requests for runs of profile functions; `fetch` returns what a URL leads to."""

    def __init__(self, start: Callable[[Program], FunctionSandbox], fetch: Callable[[str], bytes]) -> None:
        self._kept = _Kept(start)
        self._fetch = fetch

    def run(self, request: FunctionRequest, time_s: float) -> tuple[Response, list[FunctionAnswer]]:
        """Run the function on the inputs of a request; return the response, and what it says."""
        text = self._fetch(request.url) if request.url else request.inputs or "[]"
        answers = self._kept.get(request.program).run(_decode_inputs(text), time_s, request.run_s)
        told = [msgspec.structs.replace(one, lines=[], counts={}, worn=False, number=0) for one in answers]
        return Response(_encode(told).decode()), answers

    def close(self) -> None:
        """End all that run."""
        self._kept.close()
