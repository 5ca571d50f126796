"""The `Transformer` port on the function that runs user code."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from shared.app.reading import Postponed, Transformed
from shared.app.transform import became
from shared.core.chain import Failure, event_text, failed
from shared.core.event import Event
from shared.core.sandbox import Answer, Program, Request, Response

REQUEST_BYTES_MAX: Final = 2_000_000
"""JSON text of the events of one call: it is sent as text in JSON, of which Lambda takes 6 MB."""

AGAIN_S: Final = 30.0
"""Until when in a run calls are repeated for events that one did not reach: ingestion has two minutes."""

_decode_answers: Final = msgspec.json.Decoder(list[Answer]).decode


class TransformationUnavailableError(Exception):
    """The function that transforms cannot be called now, or fails whatever it is given."""


class LambdaTransformer:
    """Has the events of one version transformed by calls of the function; `function` is its ARN.

    `now` gives seconds.
    """

    def __init__(
        self, client: Any, function: str, program: Program, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._function = function
        self._program = program
        self._now = now

    def run(self, events: Sequence[Event]) -> list[Transformed]:
        """Transform events, each alone; what becomes of each, in their order."""
        texts = [event_text(event) for event in events]
        results: list[Transformed] = []
        end_s = self._now() + AGAIN_S
        for start, end in _cut(texts):
            results += self._reach(events[start:end], texts[start:end], end_s)
        return results

    def _reach(self, events: Sequence[Event], texts: Sequence[bytes], end_s: float) -> list[Transformed]:
        """Transform events, again and again those that were not reached, for as long as any others were."""
        results = self._transform(events, texts)
        waiting = list(range(len(events)))
        while True:
            unreached = [number for number in waiting if _is_unreached(results[number])]
            if not unreached or len(unreached) == len(waiting) or self._now() >= end_s:
                return results
            waiting = unreached
            again = self._transform([events[one] for one in waiting], [texts[one] for one in waiting])
            for number, one in zip(waiting, again, strict=True):
                results[number] = one

    def _transform(self, events: Sequence[Event], texts: Sequence[bytes]) -> list[Transformed]:
        """Transform events together; where that takes the function with it, by halves down to which did."""
        answers = self._call(texts)
        if answers is not None:
            return [
                became(event, one.outcome, unreached=one.unreached)
                for event, one in zip(events, answers, strict=True)
            ]
        if self._call(()) is None:
            raise TransformationUnavailableError("the function fails, whatever it is given")
        if len(events) == 1:
            return [
                failed(
                    events[0], Failure("transform_crash", "the function failed, or its answer is too large")
                )
            ]
        middle = len(events) // 2
        return [
            *self._transform(events[:middle], texts[:middle]),
            *self._transform(events[middle:], texts[middle:]),
        ]

    def _call(self, texts: Sequence[bytes]) -> list[Answer] | None:
        """Call the function; None if it fails on these texts."""
        request = Request(self._program, (b"[" + b",".join(texts) + b"]").decode())
        try:
            answer = self._client.invoke(FunctionName=self._function, Payload=msgspec.json.encode(request))
            body = answer["Payload"].read()
        except self._client.exceptions.RequestTooLargeException:
            return None
        except (BotoCoreError, ClientError) as error:
            raise TransformationUnavailableError(type(error).__name__) from error
        if answer.get("FunctionError"):
            return None
        return _decode_answers(msgspec.json.decode(body, type=Response).answers)


def _is_unreached(result: Transformed) -> bool:
    return isinstance(result, Postponed) and result.unreached


def _cut(texts: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Yield from where to where texts go in one call; a larger one goes alone."""
    start = held_bytes = 0
    for number, text in enumerate(texts):
        if number > start and held_bytes + len(text) > REQUEST_BYTES_MAX:
            yield start, number
            start, held_bytes = number, 0
        held_bytes += len(text)
    if texts:
        yield start, len(texts)
