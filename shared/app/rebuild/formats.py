"""How the states of a rebuild write down what they leave for each other. Integers are little-endian.

spool        zstd of [length u32, frame] per component of a part, in order; where the part is cut into
             segments, per component of each segment
links        zstd of components u32, then per component: weight u32, identifiers u32; then hashes u64
aside        zstd of a JSON list of entries of quarantine
assignments  zstd of partitions u32, then per component of the part: component u32, partition u32
shuffled     partitions u32, end of each partition's block u64; then the blocks,
             each of any number of zstd frames of [component u32, length u32, frame]
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Final, TypeVar

import msgspec
import zstandard

from shared.app.quarantine import Entry
from shared.app.rebuild.build import BuildFailedError
from shared.app.rebuild.ports import Objects
from shared.core.identity.identifiers import Identifier
from shared.core.unpacking import PackedError, unpack_zstd, zstd_frames

LEVEL: Final = 3
"""Of zstd. Higher ones save little of what is mostly ids and times."""
NUMBERS_BYTES_MAX: Final = 2**30
"""What an object of numbers may unpack to: more than fits where one is made."""
LIST_BYTES_MAX: Final = 2**28
"""What an object of anything else may unpack to: several times what a worker holds before it leaves one."""
FRAME_BYTES_MAX: Final = 2**28
"""A frame of a spool: twice what Scan holds before it ends a segment."""
PIECE_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX
"""A frame of zstd in a block: what Shuffle holds before it compresses, and the last frame of a spool."""
_CHUNK_BYTES: Final = 2**20
_U32: Final = struct.Struct("<I")
_PAIR: Final = struct.Struct("<II")
_END_BYTES: Final = 8

S = TypeVar("S")


def fetch(objects: Objects, key: str) -> bytes:
    """Return an object that must be there; BuildFailedError that names it if it is not."""
    found = objects.get(key)
    if found is None:
        raise BuildFailedError(f"{key} is gone")
    return found[0]


def fetch_json(objects: Objects, key: str, kind: type[S]) -> S:
    """Return what an object of JSON says; BuildFailedError that names it if it is not there, or damaged."""
    found = find_json(objects, key, kind)
    if found is None:
        raise BuildFailedError(f"{key} is gone")
    return found


def find_json(objects: Objects, key: str, kind: type[S]) -> S | None:
    """Return what an object of JSON says, None if it is not there; BuildFailedError if it is damaged."""
    found = objects.get(key)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found[0], type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BuildFailedError(f"{key} is damaged") from error


def compress(data: bytes | bytearray) -> bytes:
    """Compress something whole, with a checksum."""
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(data)


def decompress(data: bytes, key: str, bytes_max: int = NUMBERS_BYTES_MAX) -> bytes:
    """Return what `compress` compressed; BuildFailedError that names its object if it is damaged."""
    try:
        return unpack_zstd(data, bytes_max)
    except PackedError as error:
        raise BuildFailedError(f"{key} is damaged: {error}") from error


def identifier_hash(identifier: Identifier) -> int:
    """Return 64 bits that stand for an identifier: where two share them, one partition is larger."""
    kind, value = identifier
    digest = blake2b(f"{len(kind)}:{kind}{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class SpoolWriter:
    """Compresses frames as they come."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
        self._parts: list[bytes] = []

    def add(self, frame: bytes) -> None:
        """Append the frame of the next component; BuildFailedError if nobody would read as much."""
        if len(frame) > FRAME_BYTES_MAX:
            raise BuildFailedError(f"who may be one person has over {FRAME_BYTES_MAX} bytes in a part")
        self._parts.append(self._compressor.compress(_U32.pack(len(frame))))
        self._parts.append(self._compressor.compress(frame))

    def finish(self) -> bytes:
        """Return the spool."""
        return b"".join((*self._parts, self._compressor.flush()))


def read_spool(data: bytes, key: str) -> Iterator[bytes]:
    """Yield the frames of a spool; BuildFailedError that names its object if it is damaged."""
    held = bytearray()
    at = 0
    try:
        for chunk in zstandard.ZstdDecompressor().read_to_iter(data, write_size=_CHUNK_BYTES):
            held += chunk
            while len(held) - at >= _U32.size:
                (length,) = _U32.unpack_from(held, at)
                if length > FRAME_BYTES_MAX:
                    raise BuildFailedError(f"{key} is damaged: a frame of {length} bytes")
                end = at + _U32.size + length
                if end > len(held):
                    break
                with memoryview(held) as view:
                    frame = bytes(view[at + _U32.size : end])
                yield frame
                at = end
            if at:
                del held[:at]
                at = 0
    except zstandard.ZstdError as error:
        raise BuildFailedError(f"{key} is damaged") from error
    if held:
        raise BuildFailedError(f"{key} is cut off")


def write_links(weights: Sequence[int], identifiers: Sequence[Sequence[int]]) -> bytes:
    """Return the links of a part: of each component its weight and the hashes of its identifiers."""
    data = bytearray(_U32.pack(len(weights)))
    data += _bytes_of(array("I", weights))
    data += _bytes_of(array("I", map(len, identifiers)))
    data += _bytes_of(array("Q", (one for some in identifiers for one in some)))
    return compress(data)


def write_entries(entries: Sequence[Entry]) -> bytes:
    """Return entries of quarantine that wait for their part's result."""
    return compress(msgspec.json.encode(entries))


def read_entries(data: bytes, key: str) -> list[Entry]:
    """Return the entries of an object; BuildFailedError that names it if it is damaged."""
    try:
        return msgspec.json.decode(decompress(data, key, LIST_BYTES_MAX), type=list[Entry])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BuildFailedError(f"{key} is damaged") from error


def read_assignments(data: bytes, key: str) -> tuple[int, "array[int]", "array[int]"]:
    """Return how many partitions there are; and of each component of a part its component and partition."""
    whole = memoryview(decompress(data, key))
    try:
        (partitions,) = _U32.unpack_from(whole)
        numbers = _numbers("I", whole[_U32.size :])
    except (struct.error, ValueError) as error:
        raise BuildFailedError(f"{key} is damaged") from error
    return partitions, numbers[0::2], numbers[1::2]


def record_header(component: int, length: int) -> bytes:
    """Return what stands before a frame of so many bytes in a block."""
    return _PAIR.pack(component, length)


def write_shuffled(partitions: int, blocks: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the shuffled part of compressed blocks by partition, which come in order."""
    ends = array("Q", [0]) * partitions
    parts: list[bytes] = []
    filled = at = 0
    for partition, block in blocks:
        ends[at:partition] = array("Q", [filled]) * (partition - at)
        at = partition
        filled += len(block)
        parts.append(block)
    ends[at:] = array("Q", [filled]) * (partitions - at)
    return b"".join((_U32.pack(partitions), _bytes_of(ends), *parts))


def read_block(objects: Objects, key: str, partition: int, partitions: int) -> bytes:
    """Return one partition's block of a shuffled part, as it is compressed."""
    try:
        if partition:
            bounds = objects.get_range(key, _U32.size + _END_BYTES * (partition - 1), 2 * _END_BYTES)
        else:
            bounds = bytes(_END_BYTES) + objects.get_range(key, _U32.size, _END_BYTES)
        start, end = _numbers("Q", memoryview(bounds))
        if start == end:
            return b""
        offset = _U32.size + _END_BYTES * partitions
        return objects.get_range(key, offset + start, end - start)
    except KeyError as error:
        raise BuildFailedError(f"{key} is gone") from error
    except ValueError as error:
        raise BuildFailedError(f"{key} is cut off") from error


def records_of_block(block: bytes, key: str) -> Iterator[tuple[int, memoryview]]:
    """Yield (component, frame) of a block of an object; BuildFailedError that names it if it is damaged."""
    try:
        for piece in zstd_frames(block, PIECE_BYTES_MAX):
            yield from _records(piece, key)
    except PackedError as error:
        raise BuildFailedError(f"{key} is damaged: {error}") from error


def _records(piece: bytes, key: str) -> Iterator[tuple[int, memoryview]]:
    whole = memoryview(piece)
    at = 0
    while at < len(piece):
        if at + _PAIR.size > len(piece):
            raise BuildFailedError(f"{key} is cut off")
        component, length = _PAIR.unpack_from(piece, at)
        at += _PAIR.size
        if at + length > len(piece):
            raise BuildFailedError(f"{key} is cut off")
        yield component, whole[at : at + length]
        at += length


def _bytes_of(numbers: "array[int]") -> bytes:
    if sys.byteorder != "little":
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(kind: str, data: memoryview) -> "array[int]":
    numbers: array[int] = array(kind)
    numbers.frombytes(data)
    if sys.byteorder != "little":
        numbers.byteswap()
    return numbers
