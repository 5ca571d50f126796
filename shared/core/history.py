"""The history of a profile: the events that it counted, for builders with a profile function.

Events are kept as JSON text, as they were folded, in chunks that are never changed:

    chunk = format, first, last, updated_at, [predecessor, ...], piece         msgpack
    piece = zstd of ([time, ...], [id, ...], [text, ...]), in order            msgpack, with `WORDS`

Every write of a profile that counted events adds a chunk, and a chunk names the one before it: so a profile
only holds its **heads**, one after every write. Where these have become many, one names all the others
(`compaction.py`). A profile merged into another leaves its chunks where they
are; they are reached through its heads, which the next chunk of the other names. What is reached so is just
what was counted, for a profile names new heads in the same conditional write that counts.

This module needs nothing of the engine: whoever runs a profile function opens chunks with it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import pairwise
from operator import attrgetter
from threading import local
from typing import Any, Final, NamedTuple

import msgspec
import zstandard
from msgspec import structs

from shared.core.containers import decode_value
from shared.core.history_words import WORDS
from shared.core.unpacking import PackedError, unpack_zstd

PIECE_BYTES_MAX: Final = 128 * 1024
"""JSON text of the events of one chunk, unless a single event is longer: what is decoded at once."""
PLAIN_BYTES_MAX: Final = 2**24
"""What a piece may unpack to: several times the largest event that a transformation may make."""
LEVEL: Final = 3
"""Of zstd. Higher ones save little of texts this short."""
NAME_BYTES: Final = 16
"""A name: the revision that a write gives the profile, the chunk's number within the write, and a digest."""
_REV_BYTES: Final = 8
_NUMBER_BYTES: Final = 2
_DIGEST_BYTES: Final = 6
_FORMAT: Final = 1
_FORMAT_OF_ALL: Final = 2
"""Of a chunk that names all others of its history: each name is followed by their `updated_at`."""
_TIME_BYTES: Final = 8

DAMAGED: Final = "a chunk of the history is damaged"
"""What is said of a profile whose history cannot be read."""

Kept = tuple[int, str, bytes]
"""An event: its time (ms UTC), its id, and its JSON text. They sort in the order of a history."""


class Head(NamedTuple):
    """Where a chunk is: beside which profile, and its name, 32 hexadecimal digits."""

    profile_id: str
    name: str


class Piece(NamedTuple):
    """Some events, compressed: the first and the last event's time, and the latest arrival, ms UTC.

    `digest` is that of the events, however they were compressed.
    """

    first: int
    last: int
    arrived: int
    data: bytes
    digest: bytes


class Chunk(NamedTuple):
    """A chunk as it is stored. The later ones of a history have the greater names."""

    name: str
    updated_at: int
    data: bytes


class Opened(NamedTuple):
    """What a chunk says of itself. `before` are its predecessors; times are ms UTC.

    `updated_at` is that of the profile when it had counted these events: no event of this chunk, nor of any
    before it, is later. One that `tells_all` has all chunks of its history before it, each with its own
    `updated_at` in `times`.
    """

    first: int
    last: int
    updated_at: int
    before: tuple[Head, ...]
    piece: bytes
    times: tuple[int, ...] = ()

    @property
    def tells_all(self) -> bool:
        """Whether what is before it is all the rest of its history."""
        return bool(self.times)

    def within(self, since_ms: int) -> set[Head]:
        """Return its predecessors, but for those that it says are older."""
        if not self.times:
            return set(self.before)
        return {one for one, time in zip(self.before, self.times, strict=True) if time >= since_ms}


class UnreadableChunkError(Exception):
    """Bytes that are no chunk, or one of another release. The message holds nothing of what they say."""


class HistoryGoneError(Exception):
    """A chunk that is named is not there: its profile has been removed or written since it was read."""


class _Chunk(msgspec.Struct, array_like=True):
    """A chunk on the wire; a predecessor beside the same profile has no profile id."""

    format: int
    first: int
    last: int
    updated_at: int
    before: list[tuple[str, bytes]]
    piece: bytes


class _Piece(msgspec.Struct, array_like=True):
    """A piece, decompressed. Times are told from the one before."""

    times: list[int]
    ids: list[str]
    texts: list[bytes]


def revision_of(head: Head) -> int:
    """Return the revision of the write that made a chunk."""
    return int.from_bytes(bytes.fromhex(head.name)[:_REV_BYTES], "big")


def newest_revision(heads: Iterable[Head]) -> int:
    """Return the revision of the write that made the newest of some chunks; 0 for none."""
    return max(map(revision_of, heads), default=0)


def first_name(time_ms: int) -> str:
    """Return what sorts before the names of all chunks that are written from a moment on (ms UTC).

    A revision is at least the time in microseconds.
    """
    return max(time_ms * 1000, 0).to_bytes(_REV_BYTES, "big").hex()


def pieces_of(events: Iterable[Kept], arrived: int) -> list[Piece]:
    """Compress events that were counted, the last of which arrived then, in pieces of bounded size."""
    found: list[Piece] = []
    some: list[Kept] = []
    size = 0
    for one in sorted(events):
        length = len(one[2])
        if some and size + length > PIECE_BYTES_MAX:
            found.append(_piece(some, arrived))
            some, size = [], 0
        some.append(one)
        size += length
    if some:
        found.append(_piece(some, arrived))
    return found


def _piece(events: Sequence[Kept], arrived: int) -> Piece:
    times = [one[0] for one in events]
    gaps = [times[0], *(later - earlier for earlier, later in pairwise(times))]
    plain = _ENCODER.encode(_Piece(gaps, [one[1] for one in events], [one[2] for one in events]))
    digest = blake2b(plain, digest_size=_DIGEST_BYTES).digest()
    return Piece(times[0], times[-1], arrived, _ZSTD.compressor.compress(plain), digest)


def chain(
    profile_id: str, rev: int, heads: Sequence[Head], pieces: Iterable[Piece], updated_at: int
) -> list[Chunk]:
    """Put pieces behind the heads of a profile as one write does that gives it a revision; oldest first.

    `updated_at` is that of the profile before these (ms UTC), 0 if there was none. The last chunk is the new
    head.
    """
    chunks: list[Chunk] = []
    before = _named(profile_id, heads)
    for number, piece in enumerate(pieces):
        updated_at = max(updated_at, piece.arrived)
        chunk = _Chunk(_FORMAT, piece.first, piece.last, updated_at, before, piece.data)
        chunks.append(_written(rev, number, chunk, piece))
        before = _named(profile_id, [Head(profile_id, chunks[-1].name)])
    return chunks


def gathered(profile_id: str, rev: int, others: Mapping[Head, int], pieces: Sequence[Piece]) -> list[Chunk]:
    """Put pieces beside a profile as one write does that gives it a revision.

    The last one is to be its only head, and names all the rest: these pieces, and the `others` with their
    `updated_at`. A piece is said to have arrived when all these had.
    """
    chunks: list[Chunk] = []
    times = dict(others)
    for number, piece in enumerate(pieces[:-1]):
        # Nobody needs it for longer than its last event.
        chunk = _Chunk(_FORMAT, piece.first, piece.last, piece.last, [], piece.data)
        chunks.append(_written(rev, number, chunk, piece))
        times[Head(profile_id, chunks[-1].name)] = piece.last
    last = pieces[-1]
    before = [
        (other, name + times[Head(other or profile_id, name.hex())].to_bytes(_TIME_BYTES, "big"))
        for other, name in _named(profile_id, times)
    ]
    chunk = _Chunk(_FORMAT_OF_ALL, last.first, last.last, last.arrived, before, last.data)
    return [*chunks, _written(rev, len(chunks), chunk, last)]


def _named(profile_id: str, heads: Iterable[Head]) -> list[tuple[str, bytes]]:
    return sorted(
        ("" if one.profile_id == profile_id else one.profile_id, bytes.fromhex(one.name)) for one in heads
    )


def _written(rev: int, number: int, chunk: _Chunk, piece: Piece) -> Chunk:
    said = _ENCODER.encode(structs.replace(chunk, piece=piece.digest))
    digest = blake2b(said, digest_size=_DIGEST_BYTES).digest()
    return Chunk(_name(rev, number, digest).hex(), chunk.updated_at, _ENCODER.encode(chunk))


def _name(rev: int, number: int, digest: bytes) -> bytes:
    return rev.to_bytes(_REV_BYTES, "big") + number.to_bytes(_NUMBER_BYTES, "big") + digest


def open_chunk(data: bytes, profile_id: str = "") -> Opened:
    """Read what a chunk beside a profile says of itself. Raises `UnreadableChunkError`."""
    try:
        one = _CHUNK.decode(data)
    except _DAMAGES as error:
        raise UnreadableChunkError(type(error).__name__) from error
    if one.format not in (_FORMAT, _FORMAT_OF_ALL):
        raise UnreadableChunkError(f"a chunk of format {one.format}")
    before = tuple(Head(other or profile_id, name[:NAME_BYTES].hex()) for other, name in one.before)
    times: tuple[int, ...] = ()
    if one.format == _FORMAT_OF_ALL:
        times = tuple(int.from_bytes(name[NAME_BYTES:], "big") for _, name in one.before)
    return Opened(one.first, one.last, one.updated_at, before, one.piece, times)


def plain_bytes(opened: Opened) -> int:
    """Return how many bytes a chunk's events take, decompressed; 0 if it does not say."""
    try:
        return max(0, zstandard.frame_content_size(opened.piece))
    except zstandard.ZstdError as error:
        raise UnreadableChunkError(type(error).__name__) from error


def rows_of(opened: Opened) -> Iterator[Kept]:
    """Return the events of a chunk, in order. Raises `UnreadableChunkError`."""
    return _rows(opened.piece)


class Events:
    """Events in order of (time, id), as JSON values: as often as wanted, and never all of them at once.

    A chunk is opened when its first event is due, and an event is decoded when it is asked for. Two events of
    the same time and id are one.
    """

    def __init__(self, chunks: Iterable[bytes], since_ms: int) -> None:
        opened = [open_chunk(data) for data in chunks]
        self._chunks = sorted((one for one in opened if one.last >= since_ms), key=attrgetter("first"))
        self._since = since_ms

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for text in self.texts():
            try:
                value = decode_value(text)
            except _DAMAGES as error:
                raise UnreadableChunkError(type(error).__name__) from error
            yield value

    def texts(self) -> Iterator[bytes]:
        """Yield the JSON texts of the events."""
        held: Kept | None = None
        for kept in self._merged():
            if held is not None:
                if kept[:2] == held[:2]:
                    if kept[2] != held[2]:
                        held = min(held, kept, key=_content)
                    continue
                yield held[2]
            held = kept if kept[0] >= self._since else None
        if held is not None:
            yield held[2]

    def _merged(self) -> Iterator[Kept]:
        waiting = self._chunks[::-1]
        heap: list[tuple[Kept, int, Iterator[Kept]]] = []  # the number tells equal ones apart
        while waiting or heap:
            while waiting and (not heap or waiting[-1].first <= heap[0][0][0]):
                rows = _rows(waiting.pop().piece)
                heappush(heap, (next(rows), len(waiting), rows))
            kept, number, rows = heappop(heap)
            yield kept
            # Hot: until others have a say, the rows of one chunk follow each other.
            until = heap[0][0] if heap else None
            begins = waiting[-1].first if waiting else None
            for following in rows:
                if (begins is not None and following[0] >= begins) or (
                    until is not None and following > until
                ):
                    heappush(heap, (following, number, rows))
                    break
                yield following


def events_of(chunks: Iterable[bytes], since_ms: int) -> Events:
    """Return the events of chunks, in any order, from a time on (ms UTC). Raises `UnreadableChunkError`."""
    return Events(chunks, since_ms)


def _content(kept: Kept) -> bytes:
    """Return what an event says, however it was written: of two that claim to be one, the smaller counts."""
    return _SORTED.encode(decode_value(kept[2]))


def _rows(piece: bytes) -> Iterator[Kept]:
    try:
        found = _PIECE.decode(unpack_zstd(piece, PLAIN_BYTES_MAX, _ZSTD.decompressor))
    except PackedError as error:
        raise UnreadableChunkError(str(error)) from error
    except _DAMAGES as error:
        raise UnreadableChunkError(type(error).__name__) from error
    if not len(found.times) == len(found.ids) == len(found.texts) > 0:
        raise UnreadableChunkError("a piece of other times than events")
    time = 0
    for gap, event_id, text in zip(found.times, found.ids, found.texts, strict=True):
        time += gap
        yield time, event_id, text


_DAMAGES: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What reading bytes raises that no chunk has."""


class _Zstd(local):
    """One compressor and one decompressor per thread: making them takes longer than a chunk does."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL, dict_data=_WORDS)
        self.decompressor = zstandard.ZstdDecompressor(dict_data=_WORDS)


_WORDS: Final = zstandard.ZstdCompressionDict(WORDS, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
_WORDS.precompute_compress(level=LEVEL)
_ZSTD: Final = _Zstd()
_SORTED: Final = msgspec.json.Encoder(decimal_format="number", order="sorted")
_ENCODER: Final = msgspec.msgpack.Encoder()
_CHUNK: Final = msgspec.msgpack.Decoder(_Chunk)
_PIECE: Final = msgspec.msgpack.Decoder(_Piece)
