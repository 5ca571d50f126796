"""The archive's form: every record of the stream, unchanged, as a line of JSON in a compressed object.

    events/dt=2026-01-31/hour=09/{shard}-{first sequence}-{last sequence}.jsonl.gz

An object holds records of one shard that arrived in one hour (UTC), in their order. A record may stand in
several objects, for batches are delivered again and cut anew: whoever reads drops what has an equal shard
and sequence number. Athena reads the lines as they are; a change of their keys changes its table.
"""

import gzip
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Annotated, Final

import msgspec

from shared import contract
from shared.core.records import Record
from shared.core.times import TIME_MS_MAX, format_time
from shared.core.unpacking import PackedError, unpack_gzip

OBJECT_SUFFIX: Final = ".jsonl.gz"
COMPRESSION_LEVEL: Final = 6
"""Of gzip. Level 9 takes twice the time for a percent."""

TEXT_BYTES_MAX: Final = 2**27
"""Lines of one object: eight times what a backfill puts there, or one batch of Lambda's."""

NAME_LENGTH_MAX: Final = 256
"""Characters of a shard's id, and of a sequence number: more than twice what Kinesis has."""
_HOUR_MS: Final = 3_600_000


class DamagedArchiveError(Exception):
    """What stands in the archive is not what was written there. The message holds nothing of what it says."""


_Name = Annotated[str, msgspec.Meta(max_length=NAME_LENGTH_MAX)]


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a line holds: `arrival` is ms UTC; `data` is text, or where the bytes are none, base64."""

    shard: _Name
    sequence: _Name
    arrival: Annotated[int, msgspec.Meta(ge=0, le=TIME_MS_MAX)]
    partition_key: str
    data: str | None = None
    data_base64: str | None = None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Line)


def archive_line(record: Record, partition_key: str) -> bytes:
    """Return a record of the stream as a line, without its end."""
    data, data_base64 = _text_or_base64(record.data)
    line = Line(record.shard, record.sequence, record.arrival, partition_key, data, data_base64)
    try:
        return _ENCODER.encode(line)
    except (
        UnicodeEncodeError
    ):  # half of a surrogate pair: no key of a producer, but it must keep nobody waiting
        key = partition_key.encode(errors="replace").decode()
        return _ENCODER.encode(msgspec.structs.replace(line, partition_key=key))


def record_of_line(line: bytes) -> Record:
    """Return the record that a line holds; raises DamagedArchiveError."""
    try:
        held = _DECODER.decode(line)
        if held.data is not None:
            data = held.data.encode()
        elif held.data_base64 is not None:
            data = b64decode(held.data_base64, validate=True)
        else:
            raise DamagedArchiveError("a line has no data")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise DamagedArchiveError("a line is none of the archive's") from None
    except ValueError:
        raise DamagedArchiveError("the data of a line is damaged") from None
    return Record(data, held.arrival, held.shard, held.sequence)


def archive_object(lines: Iterable[bytes]) -> bytes:
    """Return the object that holds lines, of which there is at least one: the same ones, the same bytes."""
    text = b"\n".join(lines) + b"\n"
    return gzip.compress(text, COMPRESSION_LEVEL, mtime=0)


def read_object(data: bytes) -> Iterator[Record]:
    """Yield the records of an object; raises DamagedArchiveError, perhaps after some of them.

    All of it is unpacked at once: a batch that Lambda delivers, or what a backfill puts in an object.
    """
    text = _unpacked(data)
    if not text:
        raise DamagedArchiveError("there is nothing in it")
    for number, line in enumerate(BytesIO(text), 1):  # not all of them at once: they may be millions
        try:
            yield record_of_line(line)
        except DamagedArchiveError as error:
            raise DamagedArchiveError(f"line {number}: {error}") from None


def object_key(arrival: int, shard: str, first: str, last: str) -> str:
    """Name the object of a shard's records that arrived in the hour of `arrival` (ms UTC)."""
    return f"{partition_prefix(arrival)}{shard}-{first}-{last}{OBJECT_SUFFIX}"


def partition_prefix(arrival: int) -> str:
    """Return what the keys of all objects begin with whose records arrived in the hour of `arrival`."""
    text = format_time(arrival)
    return f"{contract.PREFIX_EVENTS}dt={text[:10]}/hour={text[11:13]}/"


def hour_of(arrival: int) -> int:
    """Return the hour that a moment (ms UTC) falls in, counted from 1970."""
    return arrival // _HOUR_MS


def may_hold_before(key: str, before_ms: int) -> bool:
    """Tell whether an object may hold a record that arrived before a moment (ms UTC).

    A listing in the order of its keys has all such objects first.
    """
    return key[: len(partition_prefix(before_ms))] <= partition_prefix(before_ms)


def _unpacked(data: bytes) -> bytes:
    try:
        return unpack_gzip(data, TEXT_BYTES_MAX)
    except PackedError as error:
        raise DamagedArchiveError(str(error)) from None


def _text_or_base64(data: bytes) -> tuple[str | None, str | None]:
    try:
        return data.decode(), None
    except UnicodeDecodeError:
        return None, b64encode(data).decode("ascii")
