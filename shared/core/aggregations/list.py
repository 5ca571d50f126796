"""List: the 1000 newest values, in order of their keys, each with its time.

    state   entries, in no order, at least the 1000 newest of those loaded; segments that are not loaded
    merge   both sets of entries, of which the 1000 with the largest keys matter
    units   those of the values; times ms UTC

An entry that is not among the 1000 newest of what is loaded has 1000 newer ones there. It cannot be
among the 1000 newest of all, so dropping it needs no look at the segments.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar

import msgspec

from shared.core.aggregations.base import (
    LIST_LENGTH_MAX,
    TRIM_LENGTH,
    VALUE_TYPES,
    Entry,
    Key,
    Keyed,
    Segment,
    Value,
    require_loaded,
)


class ListState(msgspec.Struct):
    """Loaded entries in no order, and references to the segments that are not loaded."""

    entries: list[Keyed]
    segments: tuple[Segment, ...] = ()


class List:
    """All values with their times, up to the 1000 newest."""

    name: ClassVar[str] = "list"
    types: ClassVar[frozenset[str]] = VALUE_TYPES
    takes_arrays: ClassVar[bool] = True
    keeps_newest_entries: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]] = ("",)

    def add(self, state: ListState | None, keys: Sequence[Key], values: Sequence[Value]) -> ListState:
        """Return the state with more values."""
        entries = list(zip(keys, values, strict=True))
        if state is None:
            return _trimmed(ListState(entries))
        state.entries += entries
        return _trimmed(state)

    def merge(self, a: ListState | None, b: ListState | None) -> ListState | None:
        """Return the state of both sets of values. Raises `NotLoadedError` if `b` is not loaded."""
        if b is None:
            return a
        require_loaded(b.segments)
        if a is None:
            return self.copy(b)
        a.entries += b.entries
        return _trimmed(a)

    def copy(self, state: ListState) -> ListState:
        """Return a state of its own."""
        return ListState(state.entries.copy(), state.segments)

    def present(self, state: ListState) -> Iterable[tuple[str, list[Entry]]]:
        """Return the entries by key. Raises `NotLoadedError` where segments are missing."""
        require_loaded(state.segments)
        return (("", self.reduce(state.entries)),)

    def split(self, state: ListState) -> tuple[dict[str, Any], Any]:
        """Return {"": loaded entries by key} and ([event id, index] of each, segments).

        Readers need an entry's value and time, so the rest leaves out both.
        """
        entries = self.reduce(state.entries)
        return {"": entries}, ([key[1:] for key, _ in entries], state.segments)

    def join(self, readable: dict[str, Any], rest: Any) -> ListState:
        """Return the state that `split` took apart; of a readable entry's key only the time counts."""
        ids, segments = rest
        entries: list[Keyed] = [
            ((key[0], event_id, index), value)
            for (key, value), (event_id, index) in zip(readable[""], ids, strict=True)
        ]
        return ListState(entries, tuple(Segment(*segment) for segment in segments))

    def reduce(self, entries: Iterable[Keyed]) -> list[Entry]:
        """Return the newest entries by key, at most `LIST_LENGTH_MAX`."""
        return [Entry(key, value) for key, value in _newest(entries)]

    def extend(self, state: ListState, entries: Iterable[Keyed], loaded: Collection[str]) -> ListState:
        """Return the state with the entries of the segments named `loaded`, each given once."""
        state.entries += entries
        state.segments = tuple(segment for segment in state.segments if segment.name not in loaded)
        return _trimmed(state)

    def spill(self, state: ListState, keep: int) -> tuple[ListState, list[Entry]]:
        """Return the state with the `keep` newest of its loaded entries, and the others by key."""
        entries = self.reduce(state.entries)
        cut = max(len(entries) - keep, 0)
        state.entries = list(entries[cut:])
        return state, entries[:cut]


def _newest(entries: Iterable[Keyed]) -> list[Keyed]:
    return sorted(entries)[-LIST_LENGTH_MAX:]


def _trimmed(state: ListState) -> ListState:
    if len(state.entries) >= TRIM_LENGTH:
        state.entries = _newest(state.entries)
    return state
