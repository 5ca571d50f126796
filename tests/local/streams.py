"""A stream, a function and a failure destination in memory, with a clock that tests move."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from local.event_sources.lane import Answer, Outcome
from local.event_sources.ports import PortError, Reading
from local.event_sources.records import StreamRecord
from local.event_sources.settings import Position, Settings
from local.event_sources.shard import Checkpoint, ShardInfo
from local.event_sources.worker import Ports, ShardWorker

STREAM_ARN = "arn:aws:kinesis:eu-west-1:000000000000:stream/events"
FUNCTION_ARN = "arn:aws:lambda:eu-west-1:000000000000:function:ingest:customers-v1"
START_MS = 1_700_000_000_000


def settings(**changes: Any) -> Settings:
    return Settings("11111111-2222-3333-4444-555555555555", STREAM_ARN, FUNCTION_ARN, **changes)


def record(number: int, key: str = "k", size: int = 10, arrived_ms: int = START_MS) -> StreamRecord:
    return StreamRecord(str(1000 + number), key, b"x" * size, arrived_ms)


def records(count: int, **changes: Any) -> list[StreamRecord]:
    return [record(number, **changes) for number in range(count)]


def failures(*items: Sequence[str] | StreamRecord) -> Answer:
    identifiers = [item.sequence if isinstance(item, StreamRecord) else item for item in items]
    return Answer(body={"batchItemFailures": [{"itemIdentifier": item} for item in identifiers]})


class Clock:
    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class InlineExecutor(Executor):
    """Runs what is submitted at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@dataclass
class FakeStream:
    """Shards by id; `closed` ones give no more than they hold."""

    held: dict[str, list[StreamRecord]]
    parents: dict[str, tuple[str, ...]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    incarnations: dict[str, str] = field(default_factory=dict)
    failing: bool = False

    def shards(self) -> list[ShardInfo]:
        if self.failing:
            raise PortError("LimitExceededException")
        return [
            ShardInfo(shard_id, self.parents.get(shard_id, ()), self.incarnations.get(shard_id, "0"))
            for shard_id in sorted(self.held)
        ]

    def reader(self, shard_id: str) -> "FakeReader":
        return FakeReader(self, shard_id)


@dataclass
class FakeReader:
    stream: FakeStream
    shard_id: str

    def read(self, position: Position, limit: int) -> Reading:
        if self.stream.failing:
            raise PortError("ProvisionedThroughputExceededException")
        held = self.stream.held[self.shard_id]
        rest = [item for item in held if _is_after(item, position)]
        end = len(rest) <= limit and self.shard_id in self.stream.closed
        return Reading(rest[:limit], closed=end)


def _is_after(item: StreamRecord, position: Position) -> bool:
    if position.kind == "TRIM_HORIZON":
        return True
    value = int(position.value)
    return {
        "AT_TIMESTAMP": item.arrived_ms >= value,
        "AT_SEQUENCE_NUMBER": item.ordinal >= value,
        "AFTER_SEQUENCE_NUMBER": item.ordinal > value,
    }[position.kind]


class FakeFunction:
    """Answers by `rule`, given the sequence numbers of the batch; remembers every batch."""

    def __init__(self, rule: Callable[[list[str]], Outcome] = lambda _: Answer()) -> None:
        self.rule = rule
        self.batches: list[list[str]] = []
        self.events: list[dict[str, Any]] = []

    def invoke(self, function_arn: str, event: dict[str, Any]) -> Outcome:
        assert function_arn == FUNCTION_ARN
        self.events.append(event)
        self.batches.append([item["kinesis"]["sequenceNumber"] for item in event["Records"]])
        return self.rule(self.batches[-1])

    def role(self, function_arn: str) -> str:
        assert function_arn == FUNCTION_ARN
        return "arn:aws:iam::000000000000:role/ingest"

    @property
    def seen(self) -> list[str]:
        return [sequence for batch in self.batches for sequence in batch]


class FakeDestination:
    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}

    def put(self, bucket: str, key: str, document: dict[str, Any]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise PortError("SlowDown")
        self.objects[bucket, key] = document


class MemoryCheckpoints:
    def __init__(self) -> None:
        self.stored: dict[str, Checkpoint] = {}

    def load(self) -> dict[str, Checkpoint]:
        return dict(self.stored)

    def save(self, shard_id: str, checkpoint: Checkpoint) -> None:
        self.stored[shard_id] = checkpoint

    def forget(self) -> None:
        self.stored.clear()


class Bench:
    """A worker on one shard, with everything around it in memory."""

    def __init__(self, held: Iterable[StreamRecord] = (), **changes: Any) -> None:
        self.settings = settings(**changes)
        self.stream = FakeStream({"shard-0": list(held)})
        self.function = FakeFunction()
        self.destination = FakeDestination()
        self.checkpoints = MemoryCheckpoints()
        self.clock = Clock()
        self.worker = self.restarted()

    @property
    def ports(self) -> Ports:
        return Ports(self.function, self.destination, self.checkpoints, self.clock)

    def restarted(self) -> ShardWorker:
        """Make a worker that knows nothing but the stored checkpoint."""
        checkpoint = self.checkpoints.load().get("shard-0", Checkpoint(self.settings.start))
        self.worker = ShardWorker(
            self.settings, "shard-0", checkpoint, self.stream.reader("shard-0"), self.ports
        )
        return self.worker

    def run(self, steps: int = 200) -> None:
        """Step, moving the clock on by what the worker asks to wait, until all is dealt with."""
        for _ in range(steps):
            self.clock.now_ms += max(1, self.worker.step(InlineExecutor()))
