"""Transforming events with the chain of a builder: in this process, and with some patience."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from shared.app.frozen import TRANSFORM_FILE
from shared.app.local_code import LocalCode, Reach
from shared.app.reading import Postponed, Transformed, Transformer
from shared.core.chain import Chain, Failure, Outcome, event_text, events_made, failed
from shared.core.definition import Definition
from shared.core.event import Event
from shared.core.user_context import Sink

ATTEMPTS: Final = 3
"""How often an event is tried that asks to be tried again, where nobody waits for hours."""


class LocalTransformer:
    """Runs a chain in this process: for commands and tests. A function that never returns is not stopped.

    `log` takes each line that the functions log: its level and its text; `counts` what they count.
    """

    def __init__(
        self,
        source: str,
        definition: Definition,
        log: Sink,
        counts: dict[str, int],
        reach: Reach | None = None,
    ) -> None:
        self._local = LocalCode(Chain, source, definition, log, counts, reach)

    def run(self, events: Sequence[Event]) -> list[Transformed]:
        """Transform events, each alone; what becomes of each, in their order."""
        with self._local.running() as chain:
            return [became(event, self._masked(chain.run(event_text(event)))) for event in events]

    def _masked(self, outcome: Outcome) -> Outcome:
        if not isinstance(outcome, Failure):
            return outcome
        return msgspec.structs.replace(outcome, detail=self._local.mask(outcome.detail))


class PatientTransformer:
    """Tries events again that ask for it, a few times and shortly after; then they are rejected.

    For whoever cannot wait for hours: a rebuild, and commands. `pause` waits before the n-th repetition.
    """

    def __init__(self, transformer: Transformer, pause: Callable[[int], None]) -> None:
        self._transformer = transformer
        self._pause = pause

    def run(self, events: Sequence[Event]) -> list[Transformed]:
        """Transform events; none of them is postponed."""
        results = self._transformer.run(events)
        for attempt in range(1, ATTEMPTS):
            waiting = [number for number, one in enumerate(results) if isinstance(one, Postponed)]
            if not waiting:
                break
            self._pause(attempt)
            again = self._transformer.run([events[number] for number in waiting])
            for number, one in zip(waiting, again, strict=True):
                results[number] = one
        return [one.rejection if isinstance(one, Postponed) else one for one in results]


def became(event: Event, outcome: Outcome, *, unreached: bool = False) -> Transformed:
    """Read what a chain made of an event, or that it was `unreached`."""
    if outcome is None:
        return [event]
    if isinstance(outcome, Failure):
        rejection = failed(event, outcome)
        if outcome.reason == "transform_retry":
            return Postponed(rejection, outcome.delay_s, unreached)
        return rejection
    return events_made(event, outcome)


def local_transformer(
    files: Mapping[str, str],
    definition: Definition,
    log: Sink,
    pause: Callable[[int], None],
    reach: Reach | None = None,
) -> Transformer | None:
    """Make the transformer of a builder's folder, if it has a chain; UserCodeError if that cannot be run."""
    source = files.get(TRANSFORM_FILE)
    if source is None:
        return None
    return PatientTransformer(LocalTransformer(source, definition, log, {}, reach), pause)
