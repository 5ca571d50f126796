"""Watching user code at work: what it makes of events and profiles, and how long it takes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from shared.app.functions.ports import FunctionInput, ProfileFunction
from shared.app.reading import Postponed, Transformed, Transformer
from shared.core.event import Event
from shared.core.functions import FunctionFailure, FunctionOutcome

NOTES_MAX: Final = 10_000
"""What is noted of events and profiles; the rest is only counted."""


class Note(NamedTuple):
    """What became of an event or a profile, by its id: `changed`, and how, or why it was not."""

    became: str
    id: str
    detail: str = ""


class Watched:
    """What was seen: of how many, for how long, and notes of those that did not stay as they were."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.count = 0
        self.seconds = 0.0
        self.notes: list[Note] = []
        self.now = now

    def note(self, note: Note) -> None:
        """Keep a note, while there are not too many."""
        if len(self.notes) < NOTES_MAX:
            self.notes.append(note)


class WatchedTransformer:
    """A transformer that is watched."""

    def __init__(self, transformer: Transformer, seen: Watched) -> None:
        self._transformer = transformer
        self._seen = seen

    def run(self, events: Sequence[Event]) -> list[Transformed]:
        """Transform events."""
        started = self._seen.now()
        results = self._transformer.run(events)
        self._seen.seconds += self._seen.now() - started
        self._seen.count += len(events)
        for event, result in zip(events, results, strict=True):
            note = _note_of(event, result)
            if note is not None:
                self._seen.note(note)
        return results


class WatchedFunction:
    """A profile function that is watched."""

    def __init__(self, function: ProfileFunction, seen: Watched) -> None:
        self._function = function
        self._seen = seen

    def run(self, inputs: Sequence[FunctionInput], time_s: float | None = None) -> list[FunctionOutcome]:
        """Run the function."""
        started = self._seen.now()
        outcomes = self._function.run(inputs, time_s)
        self._seen.seconds += self._seen.now() - started
        self._seen.count += len(inputs)
        for one, outcome in zip(inputs, outcomes, strict=True):
            if isinstance(outcome, FunctionFailure):
                self._seen.note(Note("failed", one.user.profile_id, f"{outcome.reason}: {outcome.detail}"))
            elif outcome is not None and outcome.left_out:
                left_out = ", ".join(
                    f"{count} {reason}" for reason, count in sorted(outcome.left_out.items())
                )
                self._seen.note(Note("left out", one.user.profile_id, left_out))
        return outcomes


def _note_of(event: Event, result: Transformed) -> Note | None:
    if not isinstance(result, list):
        rejection = result.rejection if isinstance(result, Postponed) else result
        return Note("failed", event.id, f"{rejection.reason}: {rejection.detail}")
    if not result:
        return Note("dropped", event.id)
    if len(result) > 1:
        return Note("made more", event.id, f"{len(result)} events")
    paths = list(_differing(event.body, result[0].body))
    return Note("changed", event.id, ", ".join(paths)) if paths else None


def _differing(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted paths at which two events differ; their values may be personal."""
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from _differing(one, other, f"{prefix}{key}.")
        elif one != other or (key in before) != (key in after):
            yield f"{prefix}{key}"
