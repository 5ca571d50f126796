"""What of a profile goes into its item, and what into segments beside it.

Lists and memories grow; their item would, too, and with it the cost of every write, which is of whole
kilobytes. So an item holds only the newest part of each pile, the tail, for as long as all of them fit into
the kilobytes that it takes anyway. When they do not, all but the newest few pieces of every pile spill into
one segment, which is never changed. Some twenty small segments are merged into a large one. What can no
longer matter is only not referred to any more: a segment goes when nothing refers to a part of it. Every
piece is so written three times in its life, however long the list.

Segments that were only loaded (to merge, to count bytes, to tell a duplicate) are put back as they are.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from shared.adapters.dynamo.items import Items
from shared.adapters.dynamo.parts import body_of, part_name
from shared.adapters.dynamo.piles import Entries, Extent, Pile, Reference, Traces, segmented
from shared.adapters.dynamo.state import NAME_BYTES
from shared.adapters.dynamo.units import size_of, write_units
from shared.adapters.dynamo.wire import Item
from shared.core.aggregations.base import Segment
from shared.core.compile import Builder
from shared.core.memory import Memory, MemorySegment
from shared.core.profile import Profile

SEGMENT_BYTES_MAX: Final = 128 * 1024
"""Larger pieces stay in the tail, and their profile overflows into chunks."""
SMALL_BYTES_MAX: Final = 16 * 1024
"""About what small ones become when they are merged: one that is larger already waits for no others."""
MERGED_AT: Final = 20
"""So many small segments become one large one."""
SMALL, LARGE = 0, 1
"""The levels of segments."""
ROOM_BYTES: Final = 256
"""What an item has for tails at least: with less, spilling would cost more than another write unit does."""


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
        listed = {body_of(one.name) for segments in self.lists.values() for one in segments}
        return listed.union(self.chunks, (body_of(one.name) for one in self.memory))


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


Contents = Callable[[Iterable[str]], dict[str, Sequence[Any]]]
"""Returns what parts hold, by name. Raises `SegmentGoneError`."""
Known = Callable[[str], Sequence[Any] | None]
"""Returns what a part holds if that is known without reading it."""


class NewSegment(NamedTuple):
    """A segment to be written: what it says, and what its parts hold by name."""

    item: Item
    parts: Mapping[str, Sequence[Any]]


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

    def lay_out(self, profile: Profile) -> tuple[Item, int]:
        """Return the profile's item and its size; move what is too much for it into `new` segments.

        Changes the profile.
        """
        lists, memory = self._lists(profile), self._memory(profile)
        heaps = [*lists.values(), memory]
        cuts = _cuts(heaps)
        if not any(cut.is_due for cut in cuts.values()):
            item, size = self._item(profile, lists, memory)
            freed = sum(cut.spilled_bytes for cut in cuts.values())
            if write_units(size) <= write_units(size - freed + ROOM_BYTES):
                return item, size
        for heap, cut in cuts.items():
            heap.tail = cut.kept
        self._write({heap: cut.spilled for heap, cut in cuts.items()})
        self._merge(heaps)
        return self._item(profile, lists, memory)

    def _lists(self, profile: Profile) -> dict[int, "_Heap"]:
        """Return what the lists hold, by column, without what was only loaded."""
        found: dict[int, _Heap] = {}
        for column, aggregation in enumerate(self._builder.aggregations):
            state = profile.attributes[column]
            lists = segmented(aggregation)
            if state is not None and lists is not None:
                state, pieces = lists.spill(state, 0)
                found[column] = _Heap(Entries(column, lists), pieces, state.segments)
                found[column].put_back(self._before.lists.get(column, ()), self._known)
        return found

    def _memory(self, profile: Profile) -> "_Heap":
        """Return what the memory holds, without what was only loaded."""
        heap = _Heap(Traces(), profile.memory.traces(), profile.memory.segments)
        heap.put_back(self._before.memory, self._known)
        return heap

    def _item(self, profile: Profile, lists: Mapping[int, "_Heap"], memory: "_Heap") -> tuple[Item, int]:
        """Let a profile hold what its heaps do; return its item, and the size of that."""
        for column, heap in lists.items():
            aggregation: Any = self._builder.aggregations[column]
            state, _ = aggregation.spill(profile.attributes[column], 0)
            profile.attributes[column] = aggregation.extend(state, heap.tail, ())
            profile.attributes[column].segments = tuple(heap.segments)
        segments = tuple(memory.segments)
        if len(memory.tail) != len(profile.memory) or segments != profile.memory.segments:
            profile.memory = Memory(memory.tail, segments)
        item = self._items.profile(profile)
        return item, size_of(item)

    def _merge(self, heaps: Sequence["_Heap"]) -> None:
        """Merge small segments that are many, and reduce what piles hold in too many places."""
        small = {body_of(one.name) for heap in heaps for one in heap.segments if one.level == SMALL}
        merged = small if len(small) >= MERGED_AT else frozenset[str]()
        rewritten: dict[_Heap, Sequence[Any]] = {}
        for heap in heaps:
            heap.drop_irrelevant()
            names = heap.take(merged)
            if names:
                rewritten[heap] = heap.pile.reduce(self._read(names))
        self._write(rewritten, LARGE)
        listed = {body_of(one.name) for heap in heaps for one in heap.segments}
        for name in self.new.keys() - listed:
            del self.new[name]

    def _read(self, names: Iterable[str]) -> list[Any]:
        """Return what parts hold, whether stored or new."""
        new = {name: pieces for one in self.new.values() for name, pieces in one.parts.items()}
        held = {name: new[name] for name in names if name in new}
        held |= self._contents([name for name in names if name not in new])
        return [piece for pieces in held.values() for piece in pieces]

    def _write(self, pieces: Mapping["_Heap", Sequence[Any]], level: int | None = None) -> None:
        """Make new segments of what heaps give; of a level that depends on their size unless it is given."""
        held: dict[_Heap, list[Any]] = {}
        filled = 0
        for heap, some in pieces.items():
            for piece in some:
                size = heap.pile.size(piece)
                if held and filled + size > SEGMENT_BYTES_MAX:
                    self._segment(held, LARGE)
                    held, filled = {}, 0
                held.setdefault(heap, []).append(piece)
                filled += size
        if held:
            default = SMALL if filled <= SMALL_BYTES_MAX else LARGE
            self._segment(held, default if level is None else level)

    def _segment(self, held: Mapping["_Heap", Sequence[Any]], level: int) -> None:
        """Make a new segment."""
        minutes = [heap.pile.minute(piece) for heap, pieces in held.items() for piece in pieces]
        extent = Extent(level, min(minutes), max(minutes))
        by_pile = {heap.pile.number: pieces for heap, pieces in held.items()}
        item = self._items.body(by_pile)
        seed = f"{self._attempt} {len(self.new)} ".encode() + msgspec.msgpack.encode(item)
        name = blake2b(seed, digest_size=NAME_BYTES).hexdigest()
        for heap, pieces in held.items():
            part = part_name(name, heap.pile.number)
            heap.segments.append(heap.pile.refer(part, len(pieces), extent))
        parts = {part_name(name, pile): pieces for pile, pieces in by_pile.items()}
        self.new[name] = NewSegment(item, parts)


class _Cut(NamedTuple):
    """What a spill would leave in a tail, and take out; and whether the tail holds too much by itself."""

    kept: list[Any]
    spilled: list[Any]
    spilled_bytes: int
    is_due: bool


class _Heap:
    """A pile of one profile: the pieces in its item, and the segments that hold the others."""

    def __init__(self, pile: Pile[Any, Any], pieces: Sequence[Any], segments: Iterable[Any]) -> None:
        self.pile = pile
        self.tail = list(pieces)
        self.segments = list(segments)

    def put_back(self, before: Iterable[Reference], known: Known) -> None:
        """Take what still stands in the segments that were loaded out of the tail again."""
        names = {one.name for one in self.segments}
        loaded = [one for one in before if one.name not in names]
        if not loaded:
            return
        standing = set(self.tail)
        returned: list[Any] = []
        for segment in loaded:
            pieces = known(segment.name)
            if pieces is not None and not standing.isdisjoint(pieces):
                self.segments.append(segment)
                returned += pieces
        self._take_out(returned, are_different=len(standing) == len(self.tail))

    def _take_out(self, returned: Sequence[Any], *, are_different: bool) -> None:
        different = set(returned)
        if are_different and len(different) == len(returned):  # hot: nearly always so
            self.tail = [piece for piece in self.tail if piece not in different]
            return
        # Counted: an event that comes again after the window gives an entry just like its first one.
        left = Counter(returned)
        kept: list[Any] = []
        for piece in self.tail:
            if left[piece]:
                left[piece] -= 1
            else:
                kept.append(piece)
        self.tail = kept

    def cut(self) -> "_Cut":
        """Tell what a spill would do."""
        tail = self.pile.tail
        kept: list[Any] = []
        spilled: list[Any] = []
        room, places = tail.bytes_max // 2, tail.keep
        light = light_bytes = spilled_bytes = 0
        for piece in reversed(self.tail):
            size = self.pile.size(piece)
            if size > SEGMENT_BYTES_MAX:
                kept.append(piece)
                continue
            light, light_bytes = light + 1, light_bytes + size
            if places > 0 and size <= room:
                kept.append(piece)
                places, room = places - 1, room - size
            else:
                spilled.append(piece)
                spilled_bytes += size
                places = 0  # the tail is the newest part, without gaps
        is_due = light > tail.pieces_max or light_bytes > tail.bytes_max
        return _Cut(kept[::-1], spilled[::-1], spilled_bytes, is_due)

    def take(self, bodies: Collection[str]) -> list[str]:
        """Take out references to parts of these bodies, or to all parts where they hold too much.

        Returns their names.
        """
        held = sum(map(self.pile.count, self.segments))
        chosen = [one for one in self.segments if held > self.pile.held_max or body_of(one.name) in bodies]
        self.segments = [one for one in self.segments if one not in chosen]
        return [one.name for one in chosen]

    def drop_irrelevant(self) -> None:
        """Take out references to what so many later pieces have come after that it cannot matter any more."""
        kept_max = self.pile.kept_max
        if kept_max is None:
            return
        times = [self.pile.minute(piece) for piece in self.tail]

        def is_relevant(segment: Reference) -> bool:
            later = sum(minute > segment.newest for minute in times)
            later += sum(self.pile.count(one) for one in self.segments if one.oldest > segment.newest)
            return later < kept_max

        self.segments = [one for one in self.segments if is_relevant(one)]


def _cuts(heaps: Iterable[_Heap]) -> dict[_Heap, _Cut]:
    """Return what those would spill that can give anything: all of them do, or none."""
    cuts: dict[_Heap, _Cut] = {}
    for heap in heaps:
        cut = heap.cut()
        if cut.spilled and (cut.is_due or cut.spilled_bytes >= heap.pile.tail.worth):
            cuts[heap] = cut
    return cuts
