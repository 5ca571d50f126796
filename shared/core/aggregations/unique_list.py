"""Unique list: up to 1000 different values, in order of their first occurrence.

    state   per value the smallest key seen in what is loaded; segments that are not loaded
    merge   per value the smaller key; of the values, the 1000 with the smallest keys matter
    units   those of the values

With `keep: newest` largest takes the place of smallest: values are ordered, and kept, by their last
occurrence.

A value that is not among the 1000 earliest of what is loaded has 1000 earlier ones there, and nothing
in a segment can make those later. If a segment knows an earlier occurrence of the value itself, the
segment holds it. So dropping the value here needs no look at the segments.
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
from shared.core.definition import Keep


class UniqueListState(msgspec.Struct):
    """The key that orders each loaded value, and references to the segments that are not loaded."""

    keys: dict[Value, Key]
    segments: tuple[Segment, ...] = ()


class UniqueList:
    """Different values in order of first occurrence, or of last occurrence with `keep: newest`."""

    name: ClassVar[str] = "unique_list"
    types: ClassVar[frozenset[str]] = VALUE_TYPES
    takes_arrays: ClassVar[bool] = True
    keeps_newest_entries: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ("",)

    def __init__(self, keep: Keep = "earliest") -> None:
        self._keeps_newest = keep == "newest"

    def add(
        self, state: UniqueListState | None, keys: Sequence[Key], values: Sequence[Value]
    ) -> UniqueListState:
        """Return the state with more values."""
        if state is None:
            # Hot: of equal values a dictionary keeps the last key, so that goes last which counts.
            if not self._keeps_newest:
                keys, values = keys[::-1], values[::-1]
            return self._trimmed(UniqueListState(dict(zip(values, keys, strict=True))))
        self._take(state.keys, zip(keys, values, strict=True))
        return self._trimmed(state)

    def merge(self, a: UniqueListState | None, b: UniqueListState | None) -> UniqueListState | None:
        """Return the state of both sets of values. Raises `NotLoadedError` if `b` is not loaded."""
        if b is None:
            return a
        require_loaded(b.segments)
        if a is None:
            return self.copy(b)
        self._take(a.keys, _entries(b.keys))
        return self._trimmed(a)

    def copy(self, state: UniqueListState) -> UniqueListState:
        """Return a state of its own."""
        return UniqueListState(state.keys.copy(), state.segments)

    def present(self, state: UniqueListState) -> Iterable[tuple[str, list[Value]]]:
        """Return the values in order. Raises `NotLoadedError` where segments are missing."""
        require_loaded(state.segments)
        return (("", [value for _, value in self._in_order(state.keys)]),)

    def split(self, state: UniqueListState) -> tuple[dict[str, Any], Any]:
        """Return {"": loaded values in order} and (the key of each, segments)."""
        entries = self._in_order(state.keys)
        readable = {"": [value for _, value in entries]}
        return readable, ([key for key, _ in entries], state.segments)

    def join(self, readable: dict[str, Any], rest: Any) -> UniqueListState:
        """Return the state that `split` took apart."""
        keys, segments = rest
        return UniqueListState(
            {
                value: (time, event_id, index)
                for value, (time, event_id, index) in zip(readable[""], keys, strict=True)
            },
            tuple(Segment(*segment) for segment in segments),
        )

    def reduce(self, entries: Iterable[Keyed]) -> list[Entry]:
        """Return each value once, under the key that counts, by key, at most `LIST_LENGTH_MAX`."""
        keys: dict[Value, Key] = {}
        self._take(keys, entries)
        return _named(self._in_order(keys))

    def extend(
        self, state: UniqueListState, entries: Iterable[Keyed], loaded: Collection[str]
    ) -> UniqueListState:
        """Return the state with the entries of the segments named `loaded`."""
        self._take(state.keys, entries)
        state.segments = tuple(segment for segment in state.segments if segment.name not in loaded)
        return self._trimmed(state)

    def spill(self, state: UniqueListState, keep: int) -> tuple[UniqueListState, list[Entry]]:
        """Return the state with the `keep` newest of its loaded entries, and the others by key."""
        entries = self._in_order(state.keys)
        cut = max(len(entries) - keep, 0)
        state.keys = {value: key for key, value in entries[cut:]}
        return state, _named(entries[:cut])

    def _take(self, keys: dict[Value, Key], entries: Iterable[Keyed]) -> None:
        keeps_newest = self._keeps_newest
        for key, value in entries:
            known = keys.get(value)
            if known is None or (key > known) is keeps_newest:
                keys[value] = key

    def _in_order(self, keys: dict[Value, Key]) -> list[Keyed]:
        """Return the entries that can still matter, by key."""
        entries = sorted(_entries(keys))
        return entries[-LIST_LENGTH_MAX:] if self._keeps_newest else entries[:LIST_LENGTH_MAX]

    def _trimmed(self, state: UniqueListState) -> UniqueListState:
        if len(state.keys) >= TRIM_LENGTH:
            state.keys = {value: key for key, value in self._in_order(state.keys)}
        return state


def _entries(keys: dict[Value, Key]) -> list[Keyed]:
    return [(key, value) for value, key in keys.items()]


def _named(entries: list[Keyed]) -> list[Entry]:
    return [Entry(key, value) for key, value in entries]
