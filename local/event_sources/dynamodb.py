"""The stream of a DynamoDB table, through boto3."""

import base64
import json
from datetime import datetime
from typing import Any, Final

from local.event_sources.iterators import IteratingReader, Page, pages
from local.event_sources.ports import Clock
from local.event_sources.records import ChangeRecord
from local.event_sources.settings import Position
from local.event_sources.shard import ShardInfo

PAGE_RECORDS_MAX: Final = 1000


class TableShardReader(IteratingReader):
    """Reads one shard of a table's stream."""

    def __init__(self, client: Any, stream_arn: str, shard_id: str, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._shard = {"StreamArn": stream_arn, "ShardId": shard_id}

    def find(self, position: Position) -> str:
        """Give the iterator of a position."""
        request: dict[str, Any] = {"ShardIteratorType": position.kind, **self._shard}
        if position.kind != "TRIM_HORIZON":
            request["SequenceNumber"] = position.value
        return str(self._client.get_shard_iterator(**request)["ShardIterator"])

    def page(self, iterator: str, limit: int) -> Page:
        """Give what an iterator leads to."""
        answer = self._client.get_records(ShardIterator=iterator, Limit=min(limit, PAGE_RECORDS_MAX))
        return Page(tuple(map(_record, answer["Records"])), answer.get("NextShardIterator"))


class TableStream:
    """The stream of a table."""

    def __init__(self, client: Any, stream_arn: str, clock: Clock) -> None:
        self._client = client
        self._stream_arn = stream_arn
        self._clock = clock

    def shards(self) -> list[ShardInfo]:
        """List all shards, page by page."""
        request = {"StreamArn": self._stream_arn}

        def following(answer: Any) -> dict[str, Any] | None:
            last = answer["StreamDescription"].get("LastEvaluatedShardId")
            return {**request, "ExclusiveStartShardId": last} if last else None

        listed = pages(self._client.describe_stream, request, following)
        return [_shard_info(item) for answer in listed for item in answer["StreamDescription"]["Shards"]]

    def reader(self, shard_id: str) -> TableShardReader:
        """Give a reader of one shard."""
        return TableShardReader(self._client, self._stream_arn, shard_id, self._clock)


def _shard_info(item: Any) -> ShardInfo:
    # Its first sequence number moves on as records expire, so it does not tell an old shard from a new one;
    # nor need it: shards of a table's stream never get an id anew.
    parent = item.get("ParentShardId")
    return ShardInfo(item["ShardId"], (parent,) if parent else ())


def _record(item: dict[str, Any]) -> ChangeRecord:
    change = item["dynamodb"]
    created: datetime = change["ApproximateCreationDateTime"]
    return ChangeRecord(
        sequence=change["SequenceNumber"],
        partition_key=json.dumps(change["Keys"], sort_keys=True, default=_plain),
        data=json.dumps(item, default=_plain).encode(),
        arrived_ms=round(created.timestamp() * 1000),
    )


def _plain(value: Any) -> Any:
    """Write what boto3 has read as something else the way Lambda delivers it."""
    if isinstance(value, datetime):
        return int(value.timestamp())
    return base64.b64encode(value).decode("ascii")
