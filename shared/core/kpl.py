"""Aggregates of the Kinesis Producer Library: many user records packed into one Kinesis record.

    magic (4 bytes) | AggregatedRecord (protobuf) | MD5 of the message (16 bytes)

    message AggregatedRecord {            message Record {
      repeated string partition_keys = 1;   required uint64 partition_key_index = 1;
      repeated string hash_keys      = 2;   optional uint64 hash_key_index      = 2;
      repeated Record records        = 3;   required bytes  data                = 3;
    }                                     }

Two fields of one fixed message are all that is needed, so they are read here: AWS's own library prints
personal data when it fails and protobuf's runtime costs more to import than all of this package.
"""

from collections.abc import Iterator
from hashlib import md5
from typing import Final

MAGIC: Final = b"\xf3\x89\x9a\xc2"

_DIGEST_BYTES: Final = 16
_RECORDS_FIELD: Final = 3
_DATA_FIELD: Final = 3
_VARINT_BYTES_MAX: Final = 10
# Wire types: how the value of a field is written.
_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5


def user_records(aggregate: bytes) -> list[bytes]:
    """Return the user records of an aggregate, in their order; raises ValueError if it is damaged."""
    message, digest = aggregate[len(MAGIC) : -_DIGEST_BYTES], aggregate[-_DIGEST_BYTES:]
    if md5(message, usedforsecurity=False).digest() != digest:
        raise ValueError("the aggregate does not match its checksum")
    return [_data_of(record) for field, record in _byte_fields(message) if field == _RECORDS_FIELD]


def _data_of(record: bytes) -> bytes:
    data = None
    for field, value in _byte_fields(record):
        if field == _DATA_FIELD:
            data = value
    if data is None:
        raise ValueError("a user record has no data")
    return data


def _byte_fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (number, value) of the fields that hold bytes; pass over the others."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            _, at = _varint(message, at)
        elif wire_type == _FIXED64:
            at += 8
        elif wire_type == _FIXED32:
            at += 4
        elif wire_type == _BYTES:
            length, start = _varint(message, at)
            at = start + length
            if at <= len(message):
                yield field, message[start:at]
        else:
            raise ValueError("the aggregate is no valid message")
    if at > len(message):
        raise ValueError("the aggregate ends within a field")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the integer that starts at `at`, and where it ends."""
    value = 0
    for shift, byte in enumerate(message[at : at + _VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:  # noqa: PLR2004 - the high bit says that another byte follows
            return value, at + shift + 1
    raise ValueError("the aggregate ends within a number")
