"""A Kinesis stream: records are put on it, and markers on each of its shards."""

from collections.abc import Sequence
from typing import Any, Final

from shared.app.send import Record

_MARKER_KEY: Final = "kith"
"""Kinesis asks for a partition key, also where a hash key says which shard is meant."""


class KinesisStream:
    """The `Stream` port, on a Kinesis client."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def put(self, records: Sequence[Record]) -> list[tuple[Record, str]]:
        """Put records in one call; return those it did not take, each with its error code."""
        answer = self._client.put_records(
            StreamName=self._name,
            Records=[{"Data": record.data, "PartitionKey": record.key} for record in records],
        )
        if not answer["FailedRecordCount"]:
            return []
        return [
            (record, result["ErrorCode"])
            for record, result in zip(records, answer["Records"], strict=True)
            if "ErrorCode" in result
        ]


class KinesisShards:
    """The `Shards` port, on a Kinesis client."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def open_shards(self) -> dict[str, str]:
        """Return the shards that take records now, each with the first hash key of its range."""
        shards: dict[str, str] = {}
        request: dict[str, Any] = {"StreamName": self._name}
        while True:
            answer = self._client.list_shards(**request)
            for shard in answer["Shards"]:
                if "EndingSequenceNumber" not in shard["SequenceNumberRange"]:  # a closed shard has one
                    shards[shard["ShardId"]] = shard["HashKeyRange"]["StartingHashKey"]
            if not answer.get("NextToken"):
                return shards
            request = {"NextToken": answer["NextToken"]}

    def put(self, data: bytes, hash_key: str) -> str:
        """Put a record on the open shard that a hash key belongs to; return that shard's id."""
        answer = self._client.put_record(
            StreamName=self._name, Data=data, PartitionKey=_MARKER_KEY, ExplicitHashKey=hash_key
        )
        return str(answer["ShardId"])
