"""Records of a stream, and the event that a function receives for a batch of them."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from local.event_sources.settings import Settings

PAYLOAD_BYTES_MAX = 6 * 1024 * 1024
"""Lambda's limit for the payload of one synchronous invocation."""

ENVELOPE_BYTES = 700
"""What a record's JSON takes beside its data and partition key, with room for long ARNs."""


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One record of one shard; `arrived_ms` is the stream's own timestamp, UTC."""

    sequence: str
    partition_key: str
    data: bytes
    arrived_ms: int

    @property
    def ordinal(self) -> int:
        """Give the sequence number as the number that it is: order within a shard."""
        return int(self.sequence)

    @property
    def payload_bytes(self) -> int:
        """Bound the bytes that this record takes in the payload of an invocation."""
        # JSON escapes a character of the key to at most 6 bytes per UTF-16 unit.
        return 4 * -(-len(self.data) // 3) + 12 * len(self.partition_key) + ENVELOPE_BYTES


def event_of(records: Iterable[StreamRecord], settings: Settings, shard_id: str, role: str) -> dict[str, Any]:
    """Build the event that Lambda hands to a function for these records of a Kinesis shard."""
    region = settings.stream_arn.split(":")[3]
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record.partition_key,
                    "sequenceNumber": record.sequence,
                    "data": base64.b64encode(record.data).decode("ascii"),
                    "approximateArrivalTimestamp": record.arrived_ms / 1000,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{shard_id}:{record.sequence}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": role,
                "awsRegion": region,
                "eventSourceARN": settings.stream_arn,
            }
            for record in records
        ]
    }
