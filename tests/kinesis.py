"""Records in every form that a producer may send them in, and the envelopes that Lambda delivers."""

import gzip
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import md5
from typing import Any

import msgspec
import zstandard
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SHARD = "shardId-000000000000"
SEQUENCE = "49545115243490985018280067714973144582180062593244200961"
ARRIVAL = 1_767_323_050_123
"""2026-01-02T03:04:10.123Z"""

_encoder = msgspec.json.Encoder(decimal_format="number")


def json_of(value: Any) -> bytes:
    return _encoder.encode(value)


def array_of(texts: Sequence[bytes]) -> bytes:
    return b"[" + b", ".join(texts) + b"]"


def lines_of(texts: Sequence[bytes]) -> bytes:
    return b"\n".join(texts)


def gzip_of(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def zstd_of(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def sizeless_zstd_of(data: bytes) -> bytes:
    """A frame that does not say how much it holds, as streaming writers make them."""
    return zstandard.ZstdCompressor(write_content_size=False).compress(data)


@cache
def _aggregated_record() -> Any:
    """The message of a KPL aggregate, as protobuf's own runtime writes it."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="kpl.proto", package="kpl", syntax="proto2")
    record = file.message_type.add(name="Record")
    for number, name in enumerate(("partition_key_index", "explicit_hash_key_index"), 1):
        record.field.add(name=name, number=number, type=field.TYPE_UINT64, label=field.LABEL_OPTIONAL)
    record.field.add(name="data", number=3, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    aggregate = file.message_type.add(name="AggregatedRecord")
    for number, name in enumerate(("partition_key_table", "explicit_hash_key_table"), 1):
        aggregate.field.add(name=name, number=number, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
    aggregate.field.add(
        name="records",
        number=3,
        type=field.TYPE_MESSAGE,
        type_name=".kpl.Record",
        label=field.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("kpl.AggregatedRecord"))


def message_of(parts: Sequence[bytes]) -> bytes:
    message = _aggregated_record()(partition_key_table=["a", "b"], explicit_hash_key_table=["1"])
    for number, part in enumerate(parts):
        message.records.add(partition_key_index=number % 2, explicit_hash_key_index=0, data=part)
    return message.SerializeToString()


def sealed(message: bytes) -> bytes:
    return b"\xf3\x89\x9a\xc2" + message + md5(message, usedforsecurity=False).digest()


def aggregate_of(parts: Sequence[bytes]) -> bytes:
    """A record as the Kinesis Producer Library aggregates it out of user records."""
    return sealed(message_of(parts))


def envelope(data: bytes, *, arrival: int = ARRIVAL, shard: str = SHARD, sequence: str = SEQUENCE) -> Any:
    """One of the `Records` with which Lambda invokes a consumer of a stream."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": sequence,
            "data": b64encode(data).decode(),
            "approximateArrivalTimestamp": arrival / 1000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
        "awsRegion": "eu-central-1",
        "eventSourceARN": "arn:aws:kinesis:eu-central-1:123456789012:stream/kith",
    }
