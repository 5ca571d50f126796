"""Records of a stream, and the event that a function receives for a batch of them."""

import base64
import json
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
    """One record of one shard of Kinesis; `arrived_ms` is the stream's own timestamp, UTC."""

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

    def delivered(self, settings: Settings, shard_id: str, role: str) -> dict[str, Any]:
        """Build what a function receives for this record."""
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": self.partition_key,
                "sequenceNumber": self.sequence,
                "data": base64.b64encode(self.data).decode("ascii"),
                "approximateArrivalTimestamp": self.arrived_ms / 1000,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{shard_id}:{self.sequence}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": role,
            "awsRegion": region_of(settings.stream_arn),
            "eventSourceARN": settings.stream_arn,
        }


@dataclass(frozen=True, slots=True)
class ChangeRecord(StreamRecord):
    """One record of a table's stream: `data` is its JSON, and its partition key is the key of the item."""

    @property
    def payload_bytes(self) -> int:
        """Bound the bytes that this record takes in the payload of an invocation."""
        return len(self.data) + ENVELOPE_BYTES

    def delivered(self, settings: Settings, shard_id: str, role: str) -> dict[str, Any]:  # noqa: ARG002 - as above
        """Build what a function receives for this record."""
        change: dict[str, Any] = json.loads(self.data)
        return change | {"eventSourceARN": settings.stream_arn}


def event_of(records: Iterable[StreamRecord], settings: Settings, shard_id: str, role: str) -> dict[str, Any]:
    """Build the event that Lambda hands to a function for these records of a shard."""
    return {"Records": [record.delivered(settings, shard_id, role) for record in records]}


def region_of(arn: str) -> str:
    """Read the region that an ARN names."""
    return arn.split(":")[3]
