"""What the loop needs from the outside; `kinesis`, `dynamodb` and `checkpoints` provide it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from local.event_sources.lane import Outcome
from local.event_sources.records import StreamRecord
from local.event_sources.settings import Position
from local.event_sources.shard import Checkpoint, ShardInfo

Clock = Callable[[], int]
"""Milliseconds since 1970, UTC: the same clock that stamps the arrival of records."""


class PortError(Exception):
    """The outside did not do what was asked; trying again later may help."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Records read from a shard, in order; `closed` says that no more will ever come."""

    records: Sequence[StreamRecord]
    closed: bool = False


class ShardReader(Protocol):
    """Reads one shard of a stream."""

    def read(self, position: Position, limit: int) -> Reading:
        """Read at most `limit` records from `position` on; raises PortError."""


class Stream(Protocol):
    """A stream of shards: of Kinesis, or of a DynamoDB table."""

    def shards(self) -> list[ShardInfo]:
        """List all shards, closed ones included; raises PortError."""

    def reader(self, shard_id: str) -> ShardReader:
        """Give a reader of one shard."""


class Invoker(Protocol):
    """Invokes functions and waits for their answer."""

    def invoke(self, function_arn: str, event: dict[str, Any]) -> Outcome:
        """Invoke the function under this ARN, alias included; never raises."""

    def role(self, function_arn: str) -> str:
        """Give the ARN of the function's role; raises PortError."""


class FailureDestination(Protocol):
    """Takes the invocation records of discarded batches."""

    def put(self, bucket: str, key: str, document: dict[str, Any]) -> None:
        """Store the document; raises PortError."""


class Checkpoints(Protocol):
    """Remembers the checkpoints of one mapping."""

    def load(self) -> dict[str, Checkpoint]:
        """Load all checkpoints by shard id."""

    def save(self, shard_id: str, checkpoint: Checkpoint) -> None:
        """Store one shard's checkpoint durably."""

    def forget(self) -> None:
        """Remove all checkpoints of this mapping, which is gone."""
