"""The dedup memory of a profile: which events it has counted.

A profile remembers the newest `REMEMBERED_MAX` events, ordered by (arrival in minutes, hash of the event
id): an exact rule, so that batching cannot change it. An event is a duplicate when its id is remembered
with an arrival within `DEDUP_WINDOW_H` of its own.

Only the newest part is held in the profile's item; older parts are segments, loaded when an event
arrives that they could remember.
"""

from collections.abc import Iterable
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from struct import Struct
from typing import Final, NamedTuple

from shared.contract import DEDUP_WINDOW_H
from shared.core.aggregations.base import NotLoadedError

REMEMBERED_MAX: Final = 2048
MINUTE_MS: Final = 60_000
WINDOW_MINUTES: Final = DEDUP_WINDOW_H * 60

_begun: Final = blake2b(digest_size=8).copy
_BITS: Final = Struct(">Q")

Trace = tuple[int, int]
"""(arrival in whole minutes since 1970, hash of the event id): what is remembered of an event."""


class MemorySegment(NamedTuple):
    """An older part of a memory, stored beside its profile, not loaded."""

    name: str
    traces: int
    level: int
    oldest: int
    newest: int
    """Arrivals in minutes, both inclusive."""


def event_hash(event_id: str) -> int:
    """Return the 64 bits by which an event id is remembered."""
    # Hot: to copy a hash that has begun takes half as long as to begin one.
    begun = _begun()
    begun.update(event_id.encode())
    bits: int = _BITS.unpack(begun.digest())[0]
    return bits


def minute_of(arrival_ms: int) -> int:
    """Return the coarse arrival that is remembered."""
    return arrival_ms // MINUTE_MS


class Memory:
    """What a profile remembers. `segments` are the parts that are not loaded."""

    __slots__ = ("_minutes", "_newest", "_oldest_first", "_size", "evicted", "segments")

    def __init__(self, traces: Iterable[Trace] = (), segments: tuple[MemorySegment, ...] = ()) -> None:
        # Nearly every id is remembered with one arrival; the tuple is for an id that came again
        # after the window had passed, and counted again.
        self._minutes: dict[int, int | tuple[int, ...]] = {}
        self._size = 0
        self._newest = 0
        # A heap of all traces, made when the memory is full for the first time: few ever are.
        self._oldest_first: list[Trace] | None = None
        self.segments = segments
        self.evicted = 0
        """Events forgotten by this object that were still within the window of the newest, and by those that
        were united with it."""
        self._put_all(traces)

    def __len__(self) -> int:
        return self._size

    def copy(self) -> "Memory":
        """Return a memory that shares nothing that `add` would change."""
        twin = Memory(segments=self.segments)
        twin._minutes = self._minutes.copy()
        twin._size = self._size
        twin._newest = self._newest
        return twin

    def traces(self) -> list[Trace]:
        """Return what is loaded, oldest first."""
        if self._size == len(self._minutes):  # hot: no id came again, which is nearly always so
            return sorted(zip(self._minutes.values(), self._minutes.keys(), strict=True))  # type: ignore[arg-type]
        found: list[Trace] = []
        for hashed, minutes in self._minutes.items():
            if isinstance(minutes, int):
                found.append((minutes, hashed))
            else:
                found.extend((minute, hashed) for minute in minutes)
        found.sort()
        return found

    def remembers(self, hashed: int, minute: int) -> bool:
        """Whether an event with this id hash, arriving then, is a duplicate.

        Raises `NotLoadedError` when a segment that could remember it is not loaded.
        """
        known = self._minutes.get(hashed)
        if known is not None:
            if isinstance(known, int):
                if -WINDOW_MINUTES <= known - minute <= WINDOW_MINUTES:
                    return True
            elif any(abs(one - minute) <= WINDOW_MINUTES for one in known):
                return True
        if self.segments and any(
            segment.oldest - WINDOW_MINUTES <= minute <= segment.newest + WINDOW_MINUTES
            for segment in self.segments
        ):
            # With all later ones, so that what these push out of the memory is not taken for remembered.
            since = minute - WINDOW_MINUTES
            raise NotLoadedError([segment.name for segment in self.segments if segment.newest >= since])
        return False

    def count(self, hashed: int, minute: int) -> bool:
        """Remember an event unless it is a duplicate; whether it was none. Raises like `remembers`."""
        if hashed in self._minutes or self.segments or self._size >= REMEMBERED_MAX:
            if self.remembers(hashed, minute):
                return False
            self.add(hashed, minute)
            return True
        # Hot: what the above comes to for nearly every event.
        self._minutes[hashed] = minute
        self._size += 1
        if minute > self._newest:  # noqa: PLR1730 - calling max costs more
            self._newest = minute
        return True

    def add(self, hashed: int, minute: int) -> None:
        """Remember one more event, and forget the oldest when that is one too many."""
        self._put(minute, hashed)
        if self._size > REMEMBERED_MAX:
            self._forget()

    def inherit(self, other: "Memory") -> None:
        """Remember what a removed profile remembered, but for what would be forgotten again at once."""
        floor = (0, 0)
        if self._size >= REMEMBERED_MAX and self._oldest_first:
            floor = self._oldest_first[0]
            if other._newest < floor[0]:  # noqa: SLF001 - another memory
                return
        for trace in other.traces():
            if trace > floor:
                minute, hashed = trace
                self.add(hashed, minute)

    def unite(self, other: "Memory") -> list[int]:
        """Remember what the other remembers too; return the minutes in which those arrived that both do.

        Both must be loaded whole, as an event counted twice would otherwise go unseen.
        """
        missing = [segment.name for segment in (*self.segments, *other.segments)]
        if missing:
            raise NotLoadedError(missing)
        shared: list[int] = []
        for minute, hashed in other.traces():
            if self.remembers(hashed, minute):
                shared.append(minute)
            self._put(minute, hashed)
        self.evicted += other.evicted
        if self._size > REMEMBERED_MAX:
            self._forget()
        return shared

    def recent(self, minute: int) -> list[Trace]:
        """Return the traces that can still tell a duplicate from `minute` on.

        Raises `NotLoadedError` when some of them are in a segment.
        """
        since = minute - WINDOW_MINUTES
        missing = [segment.name for segment in self.segments if segment.newest >= since]
        if missing:
            raise NotLoadedError(missing)
        return [trace for trace in self.traces() if trace[0] >= since]

    def load(self, traces: Iterable[Trace], names: set[str]) -> None:
        """Put back what loaded segments hold, in place of the segments."""
        self.segments = tuple(segment for segment in self.segments if segment.name not in names)
        self._put_all(traces)
        if self._size > REMEMBERED_MAX:  # those beyond it are beyond it among all traces, too
            self._forget()

    def _put_all(self, traces: Iterable[Trace]) -> None:
        some = list(traces)
        new = {hashed: minute for minute, hashed in some}
        if len(new) < len(some) or self._oldest_first is not None or not new.keys().isdisjoint(self._minutes):
            for minute, hashed in some:
                self._put(minute, hashed)
        elif new:  # hot: what the above comes to where no id came again
            self._minutes.update(new)
            self._size += len(new)
            self._newest = max(self._newest, *new.values())

    def _put(self, minute: int, hashed: int) -> None:
        known = self._minutes.get(hashed)
        if known is None:
            self._minutes[hashed] = minute
        else:
            minutes = (known,) if isinstance(known, int) else known
            if minute in minutes:
                return
            self._minutes[hashed] = (*minutes, minute)
        self._size += 1
        self._newest = max(self._newest, minute)
        if self._oldest_first is not None:
            heappush(self._oldest_first, (minute, hashed))

    def _forget(self) -> None:
        if self._oldest_first is None:
            self._oldest_first = self.traces()
            heapify(self._oldest_first)
        while self._size > REMEMBERED_MAX:
            minute, hashed = heappop(self._oldest_first)
            known = self._minutes.pop(hashed)
            if not isinstance(known, int):
                first, *rest = (one for one in known if one != minute)
                self._minutes[hashed] = (first, *rest) if rest else first
            self._size -= 1
            self.evicted += minute >= self._newest - WINDOW_MINUTES
