"""Mappings as they come, change and go; shards as they split; settings as Lambda tells them."""

import threading
from datetime import UTC, datetime

import pytest

from local.event_sources.lane import Answer
from local.event_sources.ports import PortError
from local.event_sources.settings import Position, UnsupportedMappingError, read_settings
from local.event_sources.supervisor import Outside, Supervisor
from local.event_sources.worker import Ports
from tests.local.streams import (
    FUNCTION_ARN,
    STREAM_ARN,
    Clock,
    FakeDestination,
    FakeFunction,
    FakeStream,
    MemoryCheckpoints,
    record,
    records,
)

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def mapping(**changes):
    plain = {
        "UUID": "m1",
        "EventSourceArn": STREAM_ARN,
        "FunctionArn": FUNCTION_ARN,
        "State": "Enabled",
        "BatchSize": 100,
        "StartingPosition": "TRIM_HORIZON",
        "LastModified": CREATED,
    }
    return plain | changes


class Cloud:
    """A supervisor over one stream in memory."""

    def __init__(self, stream: FakeStream) -> None:
        self.stream = stream
        self.function = FakeFunction(self.answer)
        self.checkpoints = MemoryCheckpoints()
        self.clock = Clock()
        self.unreachable = False
        self.arrived = threading.Semaphore(0)
        self.supervisor = self.restarted()

    def answer(self, batch):
        for _ in batch:
            self.arrived.release()
        return Answer()

    def restarted(self) -> Supervisor:
        self.supervisor = Supervisor(
            Outside(
                connect=self.connect,
                checkpoints=lambda _: self.checkpoints,
            )
        )
        return self.supervisor

    def connect(self, _, checkpoints):
        if self.unreachable:
            raise PortError("ServiceException")
        return self.stream, Ports(self.function, FakeDestination(), checkpoints, self.clock)

    def tick(self, *mappings) -> None:
        self.clock.now_ms += 10_000
        self.supervisor.tick(mappings)

    def expect(self, count: int) -> None:
        """Wait until the function has got that many more records."""
        for _ in range(count):
            assert self.arrived.acquire(timeout=10)

    def settled(self) -> list[str]:
        self.supervisor.stop()
        return self.function.seen


def test_a_new_mapping_is_run():
    cloud = Cloud(FakeStream({"a": records(2)}))
    cloud.tick(mapping())
    cloud.expect(2)
    assert cloud.settled() == ["1000", "1001"]


@pytest.mark.parametrize("gone", [(), (mapping(State="Disabled"),)])
def test_a_deleted_mapping_is_forgotten_and_a_disabled_one_goes_on_where_it_was(gone):
    cloud = Cloud(FakeStream({"a": records(1)}))
    cloud.tick(mapping())
    cloud.expect(1)
    cloud.tick(*gone)
    cloud.stream.held["a"].append(record(1))
    cloud.tick(mapping())
    cloud.expect(1 if gone else 2)
    assert cloud.settled() == (["1000", "1001"] if gone else ["1000", "1000", "1001"])


def test_a_changed_mapping_goes_on_with_its_new_settings():
    cloud = Cloud(FakeStream({"a": records(4)}))
    cloud.tick(mapping(BatchSize=2))
    cloud.expect(4)
    cloud.stream.held["a"] += [record(number) for number in range(4, 8)]
    cloud.tick(mapping(BatchSize=4, LastModified=datetime(2026, 5, 1, tzinfo=UTC)))
    cloud.expect(4)
    cloud.settled()
    assert [len(batch) for batch in cloud.function.batches] == [2, 2, 4]


def test_a_mapping_of_another_service_stays_with_the_engine():
    cloud = Cloud(FakeStream({"a": records(1)}))
    cloud.tick(mapping(EventSourceArn="arn:aws:sqs:eu-west-1:000000000000:queue"))
    assert cloud.settled() == []


def test_children_of_a_split_shard_are_read_from_their_start_after_their_parent():
    cloud = Cloud(FakeStream({"a": records(2)}))
    cloud.tick(mapping(StartingPosition="LATEST", LastModified=datetime(2020, 1, 1, tzinfo=UTC)))
    cloud.expect(2)
    cloud.stream.held |= {"b": [record(10)], "c": [record(11)]}
    cloud.stream.parents |= {"b": ("a",), "c": ("a",)}
    cloud.tick(mapping(StartingPosition="LATEST", LastModified=datetime(2020, 1, 1, tzinfo=UTC)))
    assert cloud.settled() == ["1000", "1001"]

    cloud.stream.closed.add("a")
    cloud.restarted()
    for _ in range(100):
        cloud.tick(mapping(StartingPosition="LATEST"))
        if cloud.arrived.acquire(timeout=0.1):
            break
    cloud.expect(1)
    assert sorted(cloud.settled()) == ["1000", "1001", "1010", "1011"]


def test_a_shard_id_that_is_used_anew_is_read_from_its_start():
    cloud = Cloud(FakeStream({"a": records(2)}))
    cloud.tick(mapping())
    cloud.expect(2)
    cloud.stream.held["a"] = [record(20)]
    cloud.stream.incarnations["a"] = "1019"
    cloud.tick(mapping())
    cloud.expect(1)
    assert cloud.settled() == ["1000", "1001", "1020"]


def test_a_stream_that_cannot_be_listed_is_listed_later():
    cloud = Cloud(FakeStream({"a": records(1)}, failing=True))
    cloud.tick(mapping())
    cloud.stream.failing = False
    cloud.tick(mapping())
    cloud.expect(1)
    assert cloud.settled() == ["1000"]


def test_a_mapping_whose_function_cannot_be_asked_yet_is_run_later():
    cloud = Cloud(FakeStream({"a": records(1)}))
    cloud.unreachable = True
    cloud.tick(mapping())
    cloud.unreachable = False
    cloud.tick(mapping())
    cloud.expect(1)
    assert cloud.settled() == ["1000"]


def test_all_settings_of_a_mapping_are_read():
    read = read_settings(
        mapping(
            BatchSize=1000,
            MaximumBatchingWindowInSeconds=5,
            ParallelizationFactor=3,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            BisectBatchOnFunctionError=True,
            MaximumRetryAttempts=5,
            MaximumRecordAgeInSeconds=39_600,
            DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::archive"}},
        )
    )
    assert (read.batch_size, read.window_ms, read.parallelization) == (1000, 5000, 3)
    assert (read.partial_failures, read.bisect, read.retries_max) == (True, True, 5)
    assert (read.age_ms_max, read.failure_bucket) == (39_600_000, "archive")
    assert read.start == Position("TRIM_HORIZON")


def test_minus_one_means_no_limit_as_on_aws():
    read = read_settings(mapping(MaximumRetryAttempts=-1, MaximumRecordAgeInSeconds=-1))
    assert (read.retries_max, read.age_ms_max) == (None, None)


def test_latest_starts_when_the_mapping_was_made():
    read = read_settings(mapping(StartingPosition="LATEST"))
    assert read.start == Position("AT_TIMESTAMP", str(int(CREATED.timestamp() * 1000)))


def test_a_start_at_a_time_is_kept():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    read = read_settings(mapping(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=at))
    assert read.start == Position("AT_TIMESTAMP", str(int(at.timestamp() * 1000)))


@pytest.mark.parametrize(
    "wish",
    [
        {"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}},
        {"TumblingWindowInSeconds": 5},
        {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:0:queue"}}},
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_not_ignored(wish):
    with pytest.raises(UnsupportedMappingError):
        read_settings(mapping(**wish))
    cloud = Cloud(FakeStream({"a": records(1)}))
    cloud.tick(mapping(**wish))
    assert cloud.settled() == []
