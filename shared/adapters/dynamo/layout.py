"""What of a profile goes into its item, and what into segments beside it.

Lists and memories grow; their item would, too, and with it the cost of every write. So an item holds only
the newest part, the tail. When the tail is full, all but its newest few pieces spill into a segment, which
is never changed; ten small segments are merged into a large one; and when what all segments hold is twice
what can still matter, they are reduced to that. Every piece is so rewritten about three times in its life,
however long the list.

Segments that were only loaded (to merge, to count bytes, to tell a duplicate) are put back as they are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar, cast

import msgspec

from shared.adapters.dynamo.items import Items, traces, traces_of
from shared.adapters.dynamo.state import NAME_BYTES
from shared.adapters.dynamo.wire import Item
from shared.core.aggregations.base import LIST_LENGTH_MAX, Aggregation, Keyed, Segment, SegmentedAggregation
from shared.core.compile import Builder
from shared.core.memory import REMEMBERED_MAX, Memory, MemorySegment, Trace
from shared.core.profile import Profile

SEGMENT_BYTES_MAX: Final = 128 * 1024
"""Larger pieces stay in the tail, and their profile overflows into chunks."""
MERGED_AT: Final = 10
"""So many small segments become one large one."""
SMALL, LARGE = 0, 1
"""The levels of segments."""
ENTRY_OVERHEAD_BYTES: Final = 80
"""Of an entry beside the text of its value: its time, its id, the names `value` and `at`."""
TRACE_BYTES: Final = 11

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


Ref = TypeVar("Ref", bound=Reference)


class Tail(NamedTuple):
    """How much stays in the item: beyond either maximum, all but the newest `keep` pieces spill."""

    pieces_max: int
    keep: int
    bytes_max: int


LIST_TAIL: Final = Tail(pieces_max=10, keep=3, bytes_max=8 * 1024)
MEMORY_TAIL: Final = Tail(pieces_max=20, keep=4, bytes_max=4 * 1024)


class Listed(msgspec.Struct, frozen=True):
    """What a stored revision of a profile lists, so that the next one knows what it replaces.

    `lists` holds the segments per attribute that has any; `size` is that of the item, in bytes.
    """

    lists: Mapping[int, tuple[Segment, ...]] = {}
    memory: tuple[MemorySegment, ...] = ()
    chunks: tuple[str, ...] = ()
    size: int = 0

    @property
    def names(self) -> set[str]:
        """The names of all body items."""
        listed = {one.name for segments in self.lists.values() for one in segments}
        return listed.union(self.chunks, (one.name for one in self.memory))


def listed(builder: Builder, profile: Profile, chunk_names: Iterable[str], size: int) -> Listed:
    """Tell what a profile lists as it is stored."""
    lists = {
        column: state.segments
        for column, (aggregation, state) in enumerate(
            zip(builder.aggregations, profile.attributes, strict=True)
        )
        if aggregation.takes_arrays and state is not None and state.segments
    }
    return Listed(lists, profile.memory.segments, tuple(chunk_names), size)


def segmented(aggregation: Aggregation[Any]) -> SegmentedAggregation[Any] | None:
    """Return the aggregation if its states have segments."""
    # Asking with isinstance would look at every method of the protocol, each time.
    return cast("SegmentedAggregation[Any]", aggregation) if aggregation.takes_arrays else None


class Pile(Protocol[Piece, Ref]):
    """What grows: the entries of a list, or the traces of a memory."""

    tail: Tail
    held_max: int
    """Pieces in all segments at which they are reduced."""

    def reduce(self, pieces: Iterable[Piece]) -> Sequence[Piece]:
        """Return those that can still matter, in order."""
        ...

    def size(self, piece: Piece) -> int:
        """Return about how many bytes a piece takes."""
        ...

    def count(self, segment: Ref) -> int:
        """Return how many pieces a segment holds."""
        ...

    def refer(self, name: str, pieces: Sequence[Piece], level: int) -> Ref:
        """Return the reference to a segment that holds these."""
        ...

    def encode(self, pieces: Sequence[Piece]) -> Item:
        """Return what a segment with these says, but for its key and its TTL."""
        ...

    def decode(self, item: Item) -> list[Piece]:
        """Return what a segment holds."""
        ...


class Entries:
    """The entries of a list attribute."""

    tail = LIST_TAIL
    held_max = 2 * LIST_LENGTH_MAX

    def __init__(self, items: Items, column: int, aggregation: SegmentedAggregation[Any]) -> None:
        self._items = items
        self._column = column
        self._aggregation = aggregation

    def reduce(self, pieces: Iterable[Keyed]) -> Sequence[Keyed]:
        """Return the entries that can still be presented."""
        return self._aggregation.reduce(pieces)

    def size(self, piece: Keyed) -> int:
        """Return about how many bytes an entry takes."""
        value = piece[1]
        return ENTRY_OVERHEAD_BYTES + (len(value.encode()) if isinstance(value, str) else 0)

    def count(self, segment: Segment) -> int:
        """Return how many entries a segment holds."""
        return segment.entries

    def refer(self, name: str, pieces: Sequence[Keyed], level: int) -> Segment:
        """Return the reference to a segment that holds these."""
        return Segment(name, len(pieces), level)

    def encode(self, pieces: Sequence[Keyed]) -> Item:
        """Return what a segment with these says."""
        return self._items.entries(self._column, pieces)

    def decode(self, item: Item) -> list[Keyed]:
        """Return what a segment holds."""
        return self._items.entries_of(self._column, item)


class Traces:
    """The traces of a memory."""

    tail = MEMORY_TAIL
    held_max = REMEMBERED_MAX + REMEMBERED_MAX // 2

    def reduce(self, pieces: Iterable[Trace]) -> Sequence[Trace]:
        """Return the traces that can still be remembered: the newest."""
        return sorted(set(pieces))[-REMEMBERED_MAX:]

    def size(self, _piece: Trace) -> int:
        """Return about how many bytes a trace takes."""
        return TRACE_BYTES

    def count(self, segment: MemorySegment) -> int:
        """Return how many traces a segment holds."""
        return segment.traces

    def refer(self, name: str, pieces: Sequence[Trace], level: int) -> MemorySegment:
        """Return the reference to a segment that holds these, sorted."""
        return MemorySegment(name, len(pieces), level, pieces[0][0], pieces[-1][0])

    def encode(self, pieces: Sequence[Trace]) -> Item:
        """Return what a segment with these says."""
        return traces(pieces)

    def decode(self, item: Item) -> list[Trace]:
        """Return what a segment holds."""
        return traces_of(item)


Contents = Callable[[Pile[Any, Any], Iterable[str]], dict[str, Sequence[Any]]]
"""Returns what segments hold, by name. Raises `SegmentGoneError`."""
Known = Callable[[str], Sequence[Any] | None]
"""Returns what a segment holds if that is known without reading it."""


class NewSegment(NamedTuple):
    """A segment to be written: its name, what it says, and what it holds."""

    name: str
    item: Item
    pieces: Sequence[Any]


class Layout:
    """Lays out one profile for one write.

    `attempt` is what no other write has: it goes into the names of segments, so that one which is left behind
    by a lost race can be deleted, and one which is written late, when the write has long failed, does no harm
    to anybody else's: it would bring back an earlier TTL.
    """

    def __init__(
        self, items: Items, builder: Builder, before: Listed, attempt: str, contents: Contents, known: Known
    ) -> None:
        self._items = items
        self._builder = builder
        self._before = before
        self._attempt = attempt
        self._contents = contents
        self._known = known
        self.new: dict[str, NewSegment] = {}

    def lay_out(self, profile: Profile) -> None:
        """Move what is too much for the profile's item into `new` segments; changes the profile."""
        for column, aggregation in enumerate(self._builder.aggregations):
            state = profile.attributes[column]
            lists = segmented(aggregation)
            if state is not None and lists is not None:
                before = self._before.lists.get(column, ())
                profile.attributes[column] = self._list(column, lists, state, before)
        self._memory(profile)

    def _list(
        self, column: int, aggregation: SegmentedAggregation[Any], state: Any, before: tuple[Segment, ...]
    ) -> Any:
        pile = Entries(self._items, column, aggregation)
        emptied, pieces = aggregation.spill(state, 0)
        settling = _Settling(self, pile, f"list {column}", pieces, emptied.segments)
        settling.settle(before)
        state = aggregation.extend(emptied, settling.tail, ())
        state.segments = tuple(settling.segments)
        return state

    def _memory(self, profile: Profile) -> None:
        memory = profile.memory
        settling = _Settling(self, Traces(), "memory", memory.traces(), memory.segments)
        settling.settle(self._before.memory)
        if len(settling.tail) != len(memory) or tuple(settling.segments) != memory.segments:
            profile.memory = Memory(settling.tail, tuple(settling.segments))

    def read(self, pile: Pile[Piece, Any], names: Iterable[str]) -> list[Piece]:
        """Return what all of the segments hold, whether stored or new."""
        new = [self.new[name].pieces for name in names if name in self.new]
        stored = self._contents(pile, [name for name in names if name not in self.new])
        return [piece for pieces in (*new, *stored.values()) for piece in pieces]

    def known(self, name: str) -> Sequence[Any] | None:
        """Return what a segment holds if that is known without reading it."""
        return self._known(name)

    def write(self, pile: Pile[Piece, Ref], label: str, pieces: Sequence[Piece], level: int) -> Ref:
        """Make a new segment."""
        item = pile.encode(pieces)
        seed = f"{self._attempt} {label} ".encode() + msgspec.msgpack.encode(item)
        name = blake2b(seed, digest_size=NAME_BYTES).hexdigest()
        self.new[name] = NewSegment(name, item, pieces)
        return pile.refer(name, pieces, level)


class _Settling(Generic[Piece, Ref]):
    """Brings one pile into its layout."""

    def __init__(
        self,
        layout: Layout,
        pile: Pile[Piece, Ref],
        label: str,
        pieces: Sequence[Piece],
        segments: Iterable[Ref],
    ) -> None:
        self.layout = layout
        self.pile = pile
        self.label = label
        self.tail = list(pieces)
        self.segments = list(segments)

    def settle(self, before: Iterable[Ref]) -> None:
        """Put back, spill, merge; afterwards `tail` and `segments` are as they should be stored."""
        self._put_back(before)
        self._spill()
        self._merge()

    def _put_back(self, before: Iterable[Ref]) -> None:
        """Take what still stands in the segments that were loaded out of the tail again."""
        names = {one.name for one in self.segments}
        loaded = [one for one in before if one.name not in names]
        if not loaded:
            return
        standing = set(self.tail)
        # Counted: an event that comes again after the window gives an entry just like its first one.
        returned: Counter[Piece] = Counter()
        for segment in loaded:
            pieces = self.layout.known(segment.name)
            if pieces is not None and not standing.isdisjoint(pieces):
                self.segments.append(segment)
                returned.update(pieces)
        kept: list[Piece] = []
        for piece in self.tail:
            if returned[piece]:
                returned[piece] -= 1
            else:
                kept.append(piece)
        self.tail = kept

    def _spill(self) -> None:
        pile, tail = self.pile, self.pile.tail
        sizes = [pile.size(piece) for piece in self.tail]
        light = [size for size in sizes if size <= SEGMENT_BYTES_MAX]
        if len(light) <= tail.pieces_max and sum(light) <= tail.bytes_max:
            return
        kept: list[Piece] = []
        spilled: list[Piece] = []
        room, places = tail.bytes_max // 2, tail.keep
        for piece, size in zip(reversed(self.tail), reversed(sizes), strict=True):
            if size > SEGMENT_BYTES_MAX:
                kept.append(piece)
            elif places > 0 and size <= room:
                kept.append(piece)
                places, room = places - 1, room - size
            else:
                spilled.append(piece)
                places = 0  # the tail is the newest part, without gaps
        self.tail = kept[::-1]
        self._write(spilled[::-1], SMALL if len(spilled) <= tail.pieces_max * MERGED_AT else LARGE)

    def _merge(self) -> None:
        chosen = [one for one in self.segments if one.level == SMALL]
        if sum(map(self.pile.count, self.segments)) > self.pile.held_max:
            chosen = self.segments[:]
        elif len(chosen) < MERGED_AT:
            return
        pieces = self.layout.read(self.pile, [one.name for one in chosen])
        self.segments = [one for one in self.segments if one not in chosen]
        for one in chosen:
            self.layout.new.pop(one.name, None)
        self._write(self.pile.reduce(pieces), LARGE)

    def _write(self, pieces: Sequence[Piece], level: int) -> None:
        part: list[Piece] = []
        filled = 0
        for piece in pieces:
            size = self.pile.size(piece)
            if part and filled + size > SEGMENT_BYTES_MAX:
                self.segments.append(self.layout.write(self.pile, self.label, part, level))
                part, filled = [], 0
            part.append(piece)
            filled += size
        if part:
            self.segments.append(self.layout.write(self.pile, self.label, part, level))
