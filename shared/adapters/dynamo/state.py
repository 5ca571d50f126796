"""The compact binary `state` of an item: what the engine needs and a person does not read.

One byte says the format; values follow without names, in the order in which `Items` puts them. It is paid
for at every write, so nothing in it repeats what is readable beside it, or itself: an id or a key that stood
before is told by its number, a UUID takes 16 bytes, a time is told from the one before it, and the memory
keeps no hash of an event whose id is there.
"""

import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from shared.adapters.dynamo.packing import Packer, Unpacker
from shared.adapters.dynamo.parts import MEMORY, body_of, part_name, pile_of
from shared.core.aggregations.base import Key, Segment
from shared.core.memory import MemorySegment, Trace, event_hash, minute_of
from shared.core.unpacking import PackedError

FORMAT: Final = 2
SEPARATE: Final = 1
"""The format in which each pile referred to segments of its own: read, and never written any more."""
_READABLE: Final = (bytes([SEPARATE]), bytes([FORMAT]))
NAME_BYTES: Final = 6
"""Segments of one profile, a few dozen at a time, must differ; each is named in every write of its item."""
ID_BYTES: Final = 16
"""Of a profile id, and of a UUID."""
_HASH_BYTES: Final = 8
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LEVELS: Final = 4
"""Segments have fewer levels than that."""

# How an event id stands: as a UUID, as text, or, from here on, as the number of one that stood before. Twice
# that, and one more if an index follows, which is 0 for nearly all.
_NEW_UUID, _NEW_TEXT, _KNOWN = 0, 1, 2
# How a key stands: time and id, or, from here on, the number of one that stood before.
_NEW_KEY, _KNOWN_KEY = 0, 1
# How a trace stands: as its hash, or, from here on, as the number of the event id that it is the hash of.
_NEW_HASH, _KNOWN_ID = 0, 1
# Which piles a body item holds parts of: as bits, or, from here on, as the number of what was told before.
_NEW_PILES, _KNOWN_PILES = 0, 1
# What stands for an attribute: one key; a list by the ids of its entries, or by their whole keys; or, from
# here on, so many keys.
_ONE_KEY, _IDS, _KEYS, _SOME = 0, 1, 2, 3


_P = ParamSpec("_P")
_R = TypeVar("_R")


class UnknownFormatError(Exception):
    """An item is damaged, or of a release of the engine that this one does not understand.

    The message holds nothing of what the item says.
    """


def reads_items(read: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a function that decodes items raise `UnknownFormatError`, and nothing else, for what is none."""

    @wraps(read)
    def readable(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return read(*args, **kwargs)
        except UnknownFormatError:
            raise
        except PackedError as error:
            raise UnknownFormatError(f"an item cannot be unpacked: {error}") from error
        except Exception as error:
            # Whatever is missing, too short or of another type: what stands in a table has no schema.
            raise UnknownFormatError(f"an item cannot be read: {type(error).__name__}") from error

    return readable


class _Body(NamedTuple):
    """What a state says of a body item: between which minutes its pieces are, and how many of each pile."""

    oldest: int
    newest: int
    level: int
    counts: dict[int, int]


class StateWriter(Packer):
    """Puts a state. Times are told from `origin` (ms UTC) on."""

    def __init__(self, origin: int = 0) -> None:
        super().__init__()
        self.number(FORMAT)
        self._time = origin
        self._minute = minute_of(origin)
        self._ids: dict[str, int] = {}
        self._keys: dict[Key, int] = {}

    def event(self, event_id: str, index: int) -> None:
        """Put an event id, and the index of a value within the event."""
        has_index = 1 if index else 0
        known = self._ids.get(event_id)
        if known is not None:
            self.number((_KNOWN + known) * 2 + has_index)
        else:
            self._ids[event_id] = len(self._ids)
            if _UUID.fullmatch(event_id):
                self.number(_NEW_UUID * 2 + has_index)
                self.raw(bytes.fromhex(event_id.replace("-", "")))
            else:
                self.number(_NEW_TEXT * 2 + has_index)
                self.text(event_id)
        if has_index:
            self.number(index)

    def key(self, key: Key) -> None:
        """Put a key."""
        known = self._keys.get(key)
        if known is not None:
            self.number(_KNOWN_KEY + known)
            return
        self._keys[key] = len(self._keys)
        time, event_id, index = key
        self.number(_NEW_KEY)
        self.signed(time - self._time)
        self._time = time
        self.event(event_id, index)

    def segments(self, lists: Sequence[Sequence[Segment]], memory: Sequence[MemorySegment]) -> None:
        """Put references to the segments of each attribute, and of the memory, body item by body item.

        Parts of one body item are of one extent. Which piles it holds parts of is told once, and then by
        number: most hold parts of the same.
        """
        bodies: dict[str, _Body] = {}
        parts: list[tuple[int, Segment | MemorySegment]] = [(MEMORY, one) for one in memory]
        parts += [(pile_of(column), one) for column, some in enumerate(lists) for one in some]
        for pile, (name, pieces, level, oldest, newest) in parts:
            body = bodies.setdefault(body_of(name), _Body(oldest, newest, level, {}))
            body.counts[pile] = pieces
        self.number(len(bodies))
        told: dict[tuple[int, ...], int] = {}
        before = self._minute
        for name, body in sorted(bodies.items(), key=lambda one: (one[1].oldest, one[1].newest, one[0])):
            self.raw(bytes.fromhex(name))
            self.signed(body.oldest - before)
            self.number(body.newest - body.oldest)
            before = body.newest
            piles = tuple(body.counts)
            known = told.get(piles)
            self.number((_NEW_PILES if known is None else _KNOWN_PILES + known) * _LEVELS + body.level)
            if known is None:
                told[piles] = len(told)
                self.number(sum(1 << pile for pile in piles))
            for pieces in body.counts.values():
                self.number(pieces)

    def rests(self, rests: Sequence[Any]) -> None:
        """Put what `Aggregation.split` calls the rest, of each attribute; None where there is none."""
        self.number(sum(1 << number for number, rest in enumerate(rests) if rest is not None))
        for rest in rests:
            if rest is not None:
                self._rest(rest)

    def _rest(self, rest: Any) -> None:
        """Put one key; a tuple of keys; or of a list, (keys or (event id, index)s, segments)."""
        kind = type(rest[0])
        if kind is int:
            self.number(_ONE_KEY)
            self.key(rest)
        elif kind is tuple:
            self.number(_SOME + len(rest))
            for key in rest:
                self.key(key)
        else:
            entries, _segments = rest
            is_whole = bool(entries) and len(entries[0]) > len(("id", "index"))
            self.number(_KEYS if is_whole else _IDS)
            self.number(len(entries))
            for entry in entries:
                if is_whole:
                    self.key(entry)
                else:
                    self.event(*entry)

    def traces(self, traces: Sequence[Trace]) -> None:
        """Put the traces of a memory, which must be sorted, after all ids of events."""
        known = {event_hash(event_id): number for event_id, number in self._ids.items()}
        self.number(len(traces))
        before = self._minute
        for minute, hashed in traces:
            self.signed(minute - before)
            before = minute
            number = known.get(hashed)
            if number is None:
                self.number(_NEW_HASH)
                self.raw(hashed.to_bytes(_HASH_BYTES, "big"))
            else:
                self.number(_KNOWN_ID + number)

    def hex(self, text: str) -> None:
        """Put a profile id."""
        self.raw(bytes.fromhex(text))


class StateReader(Unpacker):
    """Takes what a `StateWriter` of the same origin put, in the same order.

    Raises `UnknownFormatError` for what another release wrote.
    """

    def __init__(self, data: bytes, origin: int = 0) -> None:
        if data[:1] not in _READABLE:
            formats = " and ".join(one.hex() for one in _READABLE)
            raise UnknownFormatError(
                f"state of format {data[:1].hex() or 'none'}; this release reads {formats}"
            )
        super().__init__(data, start=1)
        self.format = data[0]
        self._lists: dict[int, list[Segment]] = {}
        self._remembered: list[MemorySegment] = []
        self._time = origin
        self._minute = minute_of(origin)
        self._ids: list[str] = []
        self._keys: list[Key] = []

    def event(self) -> tuple[str, int]:
        """Take an event id, and the index of a value within the event."""
        number, has_index = divmod(self.number(), 2)
        if number >= _KNOWN:
            event_id = self._ids[number - _KNOWN]
        else:
            event_id = _uuid_text(self.raw(ID_BYTES)) if number == _NEW_UUID else self.text()
            self._ids.append(event_id)
        return event_id, self.number() if has_index else 0

    def key(self) -> Key:
        """Take a key."""
        number = self.number()
        if number >= _KNOWN_KEY:
            return self._keys[number - _KNOWN_KEY]
        self._time += self.signed()
        key = (self._time, *self.event())
        self._keys.append(key)
        return key

    def segments(self) -> None:
        """Take references to segments, for `rests` and `memory_segments` to return."""
        if self.format == SEPARATE:
            return  # they stand with what they belong to
        told: list[list[int]] = []
        before = self._minute
        for _ in range(self.number()):
            name = self.raw(NAME_BYTES).hex()
            oldest = before + self.signed()
            before = newest = oldest + self.number()
            number, level = divmod(self.number(), _LEVELS)
            if number == _NEW_PILES:
                bits = self.number()
                told.append([pile for pile in range(bits.bit_length()) if bits >> pile & 1])
            for pile in told[-1] if number == _NEW_PILES else told[number - _KNOWN_PILES]:
                part = part_name(name, pile), self.number(), level, oldest, newest
                if pile == MEMORY:
                    self._remembered.append(MemorySegment(*part))
                else:
                    self._lists.setdefault(pile, []).append(Segment(*part))

    def rests(self, count: int) -> list[Any]:
        """Take the rests of so many attributes."""
        there = self.number()
        return [self._rest(column) if there >> column & 1 else None for column in range(count)]

    def _rest(self, column: int) -> Any:
        kind = self.number()
        if kind == _ONE_KEY:
            return self.key()
        if kind >= _SOME:
            return tuple([self.key() for _ in range(kind - _SOME)])
        take: Any = self.key if kind == _KEYS else self.event
        entries = [take() for _ in range(self.number())]
        if self.format == SEPARATE:
            pile = pile_of(column)
            return entries, [Segment(*self._segment(pile)) for _ in range(self.number())]
        return entries, self._lists.get(pile_of(column), ())

    def traces(self) -> list[Trace]:
        """Take the traces of a memory."""
        traces: list[Trace] = []
        minute = self._minute
        for _ in range(self.number()):
            minute += self.signed()
            number = self.number()
            if number == _NEW_HASH:
                hashed = int.from_bytes(self.raw(_HASH_BYTES), "big")
            else:
                hashed = event_hash(self._ids[number - _KNOWN_ID])
            traces.append((minute, hashed))
        return traces

    def memory_segments(self) -> tuple[MemorySegment, ...]:
        """Take references to segments of a memory."""
        if self.format != SEPARATE:
            return tuple(self._remembered)
        segments: list[MemorySegment] = []
        newest = self._minute
        for _ in range(self.number()):
            name, traces, level = self._segment(MEMORY)
            oldest = newest + self.signed()
            newest = oldest + self.number()
            segments.append(MemorySegment(name, traces, level, oldest, newest))
        return tuple(segments)

    def hex(self) -> str:
        """Take a profile id."""
        return self.raw(ID_BYTES).hex()

    def _segment(self, pile: int) -> tuple[str, int, int]:
        name = self.raw(NAME_BYTES).hex()
        return (part_name(name, pile), *divmod(self.number(), _LEVELS))


def _uuid_text(data: bytes) -> str:
    digits = data.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
