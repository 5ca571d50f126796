"""What every aggregation is: a commutative monoid over keyed values.

A state is `None` (zero) or whatever one aggregation makes of values and their keys. The laws each
aggregation must keep, and `tests/laws` checks for all of them:

    merge(a, None) = merge(None, a) = a                       identity
    merge(a, merge(b, c)) = merge(merge(a, b), c)             associativity
    merge(a, b) = merge(b, a)                                 commutativity
    add(a, values) = merge(a, add(None, values))      an event is a small state
    join(split(a)) = a                                        encode and decode

Equality of states is equality of what they present, now and after any further merge. All values of
one state are of one value type, so that they compare, and `True` never meets `1`.
"""

from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeVar, runtime_checkable

Key = tuple[int, str, int]
"""(event time in ms UTC, event id, index of the value within the event): the order of values."""

Value = str | int | Decimal | bool
"""A value as states hold it: text; an exact number (int when integral, else a normalised Decimal);
a boolean; a datetime as ms UTC (int); an IP address in its canonical text."""

Keyed = tuple[Key, Value]
"""A value with the key that orders it: what states hold, as a plain tuple is the cheapest to make."""

VALUE_TYPES: Final = frozenset({"string", "number", "boolean", "datetime", "ip"})

LIST_LENGTH_MAX: Final = 1000
"""Entries that a list or a unique list presents (Piwik PRO's limit)."""
MINUTE_MAX: Final = 2**33
"""A minute since 1970 that is later than any time."""
TRIM_LENGTH: Final = 2 * LIST_LENGTH_MAX
"""Entries at which a state is cut back: sorting once in 1000 values costs nothing per value."""


class Entry(NamedTuple):
    """One value of a list as it leaves a state: a `Keyed` with names."""

    key: Key
    value: Value


class Segment(NamedTuple):
    """A part of a long list that is stored beside its profile and has not been loaded.

    `name` is unique within the profile; `entries` counts what it holds; `level` says how often it has
    been merged; no entry's time is before the minute `oldest` or after the minute `newest` (since 1970).
    A state that holds segments cannot be presented until they are loaded.
    """

    name: str
    entries: int
    level: int
    oldest: int = 0
    newest: int = MINUTE_MAX


class NotLoadedError(Exception):
    """Presenting, or merging away, a state some of whose segments are still in the store."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"{len(names)} segments are not loaded")
        self.names = names


def require_loaded(segments: tuple[Segment, ...]) -> None:
    """Raise `NotLoadedError` unless nothing is missing."""
    if segments:
        raise NotLoadedError([segment.name for segment in segments])


S = TypeVar("S")


class Aggregation(Protocol[S]):
    """How the values of one attribute become its presented values.

    `add` and `merge` may change and return their first argument; they never change the second.
    A caller that shares a state passes `copy` of it.
    """

    name: ClassVar[str]
    types: ClassVar[frozenset[str]]
    """The value types it takes, of `VALUE_TYPES`."""
    takes_arrays: ClassVar[bool] = False
    """Whether each element of an array counts as a value; otherwise an array is no value."""
    suffixes: ClassVar[tuple[str, ...]] = ("",)
    """What is appended to the attribute's name for each value presented."""

    def add(self, state: S | None, keys: Sequence[Key], values: Sequence[Value]) -> S:
        """Return the state with more values, at least one, each with the key at its place; sorted.

        Two values have one key when the same event id came again after the dedup window; the values
        themselves decide then, so that the result does not depend on which was there first.
        """
        ...

    def merge(self, a: S | None, b: S | None) -> S | None:
        """Return the state of both sets of values.

        Raises `NotLoadedError` where segments of `b` are missing; those of `a` may stay in the store.
        """
        ...

    def copy(self, state: S) -> S:
        """Return a state that shares nothing with this one that `add` or `merge` would change."""
        ...

    def present(self, state: S) -> Iterable[tuple[str, Any]]:
        """Return pairs of suffix and presented value: a Value, a list of Values, or a list of `Entry`.

        Raises `NotLoadedError` where segments are missing.
        """
        ...

    def split(self, state: S) -> tuple[dict[str, Any], Any]:
        """Return what a reader may read, by suffix, and the rest, as msgpack-able values.

        The readable part holds what `present` would yield for what is loaded; the rest repeats
        none of it. Where a key occurs in the rest it stands as a `Key` tuple.
        """
        ...

    def join(self, readable: dict[str, Any], rest: Any) -> S:
        """Return the state that `split` took apart."""
        ...


@runtime_checkable
class SegmentedAggregation(Aggregation[S], Protocol[S]):
    """An aggregation whose states grow, so that the store keeps parts of them in segments.

    Its states have `segments: tuple[Segment, ...]`: the parts that exist but are not loaded. Whoever
    stores what `spill` took out appends its `Segment` there.
    """

    takes_arrays: ClassVar[bool] = True
    keeps_newest_entries: ClassVar[bool]
    """Whether an entry with `LIST_LENGTH_MAX` later ones cannot matter, whatever their values are."""

    def reduce(self, entries: Iterable[Keyed]) -> list[Entry]:
        """Return those entries that can still matter, by key, at most `LIST_LENGTH_MAX`.

        Reducing any parts of a set of entries first, and then all of them, gives the same.
        """
        ...

    def extend(self, state: S, entries: Iterable[Keyed], loaded: Collection[str]) -> S:
        """Return the state with the entries of the segments named `loaded`, now loaded."""
        ...

    def spill(self, state: S, keep: int) -> tuple[S, list[Entry]]:
        """Return the state with the `keep` newest of its loaded entries, and the others by key."""
        ...
