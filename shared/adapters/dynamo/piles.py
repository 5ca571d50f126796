"""What grows in a profile: the entries of each list, and the traces of the memory."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast

from shared.adapters.dynamo.parts import MEMORY, pile_of
from shared.core.aggregations.base import LIST_LENGTH_MAX, Aggregation, Keyed, Segment, SegmentedAggregation
from shared.core.memory import MINUTE_MS, REMEMBERED_MAX, MemorySegment, Trace

ENTRY_BYTES: Final = 55
"""Of an entry of a list beside the text of its value: its time, its id, the names `value` and `at`."""
UNIQUE_BYTES: Final = 15
"""Of a value of a unique list beside its text: its key, whose id is often there for other reasons."""
TRACE_BYTES: Final = 4
"""Of a trace whose id is there for other reasons; of others 10."""

Piece = TypeVar("Piece")


class Reference(Protocol):
    """A `Segment` or a `MemorySegment`."""

    @property
    def name(self) -> str:
        """Unique within the profile."""
        ...

    @property
    def level(self) -> int:
        """SMALL or LARGE."""
        ...

    @property
    def oldest(self) -> int:
        """No piece is of an earlier minute."""
        ...

    @property
    def newest(self) -> int:
        """No piece is of a later minute."""
        ...


Ref = TypeVar("Ref", bound=Reference)


class Extent(NamedTuple):
    """What is known of a body item without reading it: its level, and of which minutes its pieces are."""

    level: int
    oldest: int
    newest: int


class Tail(NamedTuple):
    """How much stays in the item.

    Beyond one of the maxima, or when the item is full, all but the newest `keep` pieces spill. Because the
    item is full, only piles spill that give it `worth` bytes.
    """

    pieces_max: int
    keep: int
    bytes_max: int
    worth: int


LIST_TAIL: Final = Tail(pieces_max=24, keep=2, bytes_max=8 * 1024, worth=100)
MEMORY_TAIL: Final = Tail(pieces_max=40, keep=0, bytes_max=4 * 1024, worth=0)


class Pile(Protocol[Piece, Ref]):
    """What grows: the entries of a list, or the traces of a memory."""

    number: int
    tail: Tail
    held_max: int
    """Pieces in all segments at which they are reduced."""
    kept_max: int | None
    """Later pieces that make one irrelevant whatever they are; None where it depends on what they are."""

    def reduce(self, pieces: Iterable[Piece]) -> Sequence[Piece]:
        """Return those that can still matter, in order."""
        ...

    def size(self, piece: Piece) -> int:
        """Return about how many bytes a piece takes."""
        ...

    def minute(self, piece: Piece) -> int:
        """Return the minute that a piece is of."""
        ...

    def count(self, segment: Ref) -> int:
        """Return how many pieces a segment holds."""
        ...

    def refer(self, name: str, pieces: int, extent: Extent) -> Ref:
        """Return the reference to a part with so many pieces."""
        ...


class Entries:
    """The entries of a list attribute."""

    tail = LIST_TAIL
    held_max = 2 * LIST_LENGTH_MAX

    def __init__(self, column: int, aggregation: SegmentedAggregation[Any]) -> None:
        self.number = pile_of(column)
        self.kept_max = LIST_LENGTH_MAX if aggregation.keeps_newest_entries else None
        self._entry_bytes = ENTRY_BYTES if aggregation.keeps_newest_entries else UNIQUE_BYTES
        self._aggregation = aggregation

    def reduce(self, pieces: Iterable[Keyed]) -> Sequence[Keyed]:
        """Return the entries that can still be presented."""
        return self._aggregation.reduce(pieces)

    def size(self, piece: Keyed) -> int:
        """Return about how many bytes an entry takes."""
        value = piece[1]
        return self._entry_bytes + (len(value.encode()) if isinstance(value, str) else 0)

    def minute(self, piece: Keyed) -> int:
        """Return the minute of an entry's time."""
        return piece[0][0] // MINUTE_MS

    def count(self, segment: Segment) -> int:
        """Return how many entries a segment holds."""
        return segment.entries

    def refer(self, name: str, pieces: int, extent: Extent) -> Segment:
        """Return the reference to a part with so many entries."""
        return Segment(name, pieces, *extent)


class Traces:
    """The traces of a memory."""

    number = MEMORY
    tail = MEMORY_TAIL
    held_max = REMEMBERED_MAX + REMEMBERED_MAX // 2
    kept_max: int | None = REMEMBERED_MAX

    def reduce(self, pieces: Iterable[Trace]) -> Sequence[Trace]:
        """Return the traces that can still be remembered: the newest."""
        return sorted(set(pieces))[-REMEMBERED_MAX:]

    def size(self, _piece: Trace) -> int:
        """Return about how many bytes a trace takes."""
        return TRACE_BYTES

    def minute(self, piece: Trace) -> int:
        """Return the minute of an arrival."""
        return piece[0]

    def count(self, segment: MemorySegment) -> int:
        """Return how many traces a segment holds."""
        return segment.traces

    def refer(self, name: str, pieces: int, extent: Extent) -> MemorySegment:
        """Return the reference to a part with so many traces."""
        return MemorySegment(name, pieces, *extent)


def segmented(aggregation: Aggregation[Any]) -> SegmentedAggregation[Any] | None:
    """Return the aggregation if its states have segments."""
    # Asking with isinstance would look at every method of the protocol, each time.
    return cast("SegmentedAggregation[Any]", aggregation) if aggregation.takes_arrays else None
