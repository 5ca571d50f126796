"""A Kinesis stream: records are put on it, and markers on each of its shards."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from shared.app.send import Record

_MARKER_KEY: Final = "kith"
"""Kinesis asks for a partition key, also where a hash key says which shard is meant."""
PUT_ATTEMPTS_MAX: Final = 10


class MarkersRefusedError(Exception):
    """A shard did not take some markers; the message says with which codes."""


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

    def __init__(self, client: Any, name: str, wait: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._name = name
        self._wait = wait

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

    def put(self, data: Sequence[bytes], hash_key: str) -> list[str]:
        """Put records, each with a partition key of its own, on the open shard that a hash key belongs to.

        Return the id of the shard that each went to. Those that a busy shard refuses are put again.
        """
        placed: dict[int, str] = {}
        codes: set[str] = set()
        for _ in range(PUT_ATTEMPTS_MAX):
            waiting = [number for number in range(len(data)) if number not in placed]
            if not waiting:
                return [placed[number] for number in range(len(data))]
            if placed or codes:
                self._wait(1)
            records = [
                {
                    "Data": data[number],
                    "PartitionKey": f"{_MARKER_KEY}-{number}",
                    "ExplicitHashKey": hash_key,
                }
                for number in waiting
            ]
            answer = self._client.put_records(StreamName=self._name, Records=records)
            for number, result in zip(waiting, answer["Records"], strict=True):
                if "ErrorCode" in result:
                    codes.add(result["ErrorCode"])
                else:
                    placed[number] = str(result["ShardId"])
        raise MarkersRefusedError(", ".join(sorted(codes)))
