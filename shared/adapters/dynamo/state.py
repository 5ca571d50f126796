"""The compact binary `state` of an item: what the engine needs and a person does not read.

One byte says the format; msgpack follows. Nothing in it repeats a readable value: keys of events are
interned, ids that are UUIDs take 16 bytes, times are told from the profile's `created_at`.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from shared.core.aggregations.base import Key, Segment
from shared.core.memory import Trace

FORMAT: Final = b"\x01"
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UUID_BYTES: Final = 16
_HASH_BYTES: Final = 8
_KEY_PARTS: Final = 3
T = TypeVar("T")


class UnknownFormatError(Exception):
    """An item was written by a release of the engine that this one does not understand."""


class PackedKeys(msgspec.Struct, array_like=True):
    """Event ids, and keys made of them.

    An id's number is its place in `uuids` (16 bytes each) if it is 0 or more, else the complement of its
    place in `texts`. `keys` is flat: time since the origin in ms, number of the id, index; three per key.
    """

    uuids: bytes = b""
    texts: list[str] = []
    keys: list[int] = []


class PackedTraces(msgspec.Struct, array_like=True):
    """Traces of a memory, oldest first: minutes as differences, hashes of 8 bytes each."""

    minutes: list[int] = []
    hashes: bytes = b""


class ProfileState(msgspec.Struct, array_like=True):
    """The state of a profile item. Times are ms since `created_at`, but for `children_until`.

    `attributes` holds one packed rest per attribute of the definition. `traits` holds the keys of the
    readable traits by sorted name, `removed` those of traits that are not there any more; `as_text` names
    the traits that stand in the item as JSON text. `first_seen` follows the sorted identifiers. A memory
    segment is (name, traces, level, oldest minute since that of `created_at`, minutes that it spans).
    """

    keys: PackedKeys
    attributes: list[Any]
    traits: list[int]
    removed: dict[str, int]
    as_text: list[str]
    first_seen: list[int]
    memory: PackedTraces
    memory_segments: list[tuple[bytes, int, int, int, int]]
    merges: list[tuple[bytes, int, list[str]]]
    aliases: list[bytes]
    bytes_max: int
    children_until: int


class SegmentState(msgspec.Struct, array_like=True):
    """The state of a segment of a list: flat (number of the event id, index) per readable entry."""

    keys: PackedKeys
    pairs: list[int]


def pack(state: msgspec.Struct) -> bytes:
    """Return a state's bytes."""
    return FORMAT + msgspec.msgpack.encode(state)


def unpack(data: bytes, kind: type[T]) -> T:
    """Return the state that `pack` wrote. Raises `UnknownFormatError` for another format."""
    if data[:1] != FORMAT:
        raise UnknownFormatError(
            f"state of format {data[:1].hex() or 'none'}; this release reads {FORMAT.hex()}"
        )
    return msgspec.msgpack.decode(memoryview(data)[1:], type=kind)


class KeyWriter:
    """Interns event ids and keys while a state is packed; `origin` is what times are told from."""

    def __init__(self, origin: int = 0) -> None:
        self._origin = origin
        self._uuids: list[bytes] = []
        self._texts: list[str] = []
        self._ids: dict[str, int] = {}
        self._keys: dict[Key, int] = {}
        self._flat: list[int] = []

    def event(self, event_id: str) -> int:
        """Return the number of an event id."""
        number = self._ids.get(event_id)
        if number is None:
            if _UUID.fullmatch(event_id):
                number = len(self._uuids)
                self._uuids.append(bytes.fromhex(event_id.replace("-", "")))
            else:
                number = ~len(self._texts)
                self._texts.append(event_id)
            self._ids[event_id] = number
        return number

    def key(self, key: Key) -> int:
        """Return the number of a key."""
        number = self._keys.get(key)
        if number is None:
            time, event_id, index = key
            number = self._keys[key] = len(self._keys)
            self._flat += (time - self._origin, self.event(event_id), index)
        return number

    def packed(self) -> PackedKeys:
        """Return all that was interned."""
        return PackedKeys(b"".join(self._uuids), self._texts, self._flat)


class KeyReader:
    """Tells event ids and keys by their numbers."""

    def __init__(self, packed: PackedKeys, origin: int = 0) -> None:
        uuids, self._texts = packed.uuids, packed.texts
        self._uuids = [
            _uuid_text(uuids[start : start + _UUID_BYTES]) for start in range(0, len(uuids), _UUID_BYTES)
        ]
        flat = packed.keys
        self._keys: list[Key] = [
            (flat[at] + origin, self.event(flat[at + 1]), flat[at + 2])
            for at in range(0, len(flat), _KEY_PARTS)
        ]

    def event(self, number: int) -> str:
        """Return an event id."""
        return self._uuids[number] if number >= 0 else self._texts[~number]

    def key(self, number: int) -> Key:
        """Return a key."""
        return self._keys[number]


def pack_rest(rest: Any, keys: KeyWriter) -> Any:
    """Pack what `Aggregation.split` calls the rest: keys by number, segments without their hex.

    The shapes are: None; one key; a tuple of keys; and of lists, (keys or (event id, index)s, segments).
    """
    if rest is None:
        return None
    if type(rest[0]) is int:
        return keys.key(rest)
    if type(rest[0]) is tuple:
        return [keys.key(one) for one in rest]
    entries, segments = rest
    packed: list[Any] = [
        keys.key(one) if len(one) == _KEY_PARTS else _pack_pair(one, keys) for one in entries
    ]
    is_whole = bool(entries) and len(entries[0]) == _KEY_PARTS
    return (is_whole, packed, [(pack_hex(one.name), one.entries, one.level) for one in segments])


def unpack_rest(packed: Any, keys: KeyReader) -> Any:
    """Return the rest that `pack_rest` packed."""
    if packed is None:
        return None
    if type(packed) is int:
        return keys.key(packed)
    if not packed or type(packed[0]) is int:
        return tuple(keys.key(one) for one in packed)
    is_whole, entries, segments = packed
    unpacked: list[Any] = [keys.key(one) if is_whole else _unpack_pair(one, keys) for one in entries]
    return unpacked, [Segment(name.hex(), count, level) for name, count, level in segments]


def _pack_pair(pair: tuple[str, int], keys: KeyWriter) -> Any:
    event_id, index = pair
    number = keys.event(event_id)
    return (number, index) if index else number


def _unpack_pair(packed: Any, keys: KeyReader) -> tuple[str, int]:
    if type(packed) is int:
        return keys.event(packed), 0
    number, index = packed
    return keys.event(number), index


def pack_traces(traces: Sequence[Trace]) -> PackedTraces:
    """Pack traces, which must be sorted."""
    minutes: list[int] = []
    before = 0
    for minute, _ in traces:
        minutes.append(minute - before)
        before = minute
    return PackedTraces(minutes, struct.pack(f">{len(traces)}Q", *(hashed for _, hashed in traces)))


def unpack_traces(packed: PackedTraces) -> list[Trace]:
    """Return the traces that `pack_traces` packed."""
    hashes: Iterable[int] = struct.unpack(f">{len(packed.hashes) // _HASH_BYTES}Q", packed.hashes)
    traces: list[Trace] = []
    minute = 0
    for difference, hashed in zip(packed.minutes, hashes, strict=True):
        minute += difference
        traces.append((minute, hashed))
    return traces


def pack_hex(text: str) -> bytes:
    """Pack a profile id or the name of a segment: both are lower-case hex."""
    return bytes.fromhex(text)


def _uuid_text(data: bytes) -> str:
    digits = data.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
