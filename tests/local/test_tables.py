"""Streams of tables: read as Lambda reads them, delivered as Lambda delivers them."""

import json
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from local.event_sources.dynamodb import TableStream
from local.event_sources.ports import PortError, Reading
from local.event_sources.settings import Position, UnsupportedMappingError, read_settings
from local.event_sources.shard import Checkpoint, ShardInfo
from local.event_sources.worker import ShardWorker
from tests.local.streams import FUNCTION_ARN, Bench, Clock, InlineExecutor

STREAM = "arn:aws:dynamodb:eu-west-1:000000000000:table/profiles/stream/2026-01-01T00:00:00.000"
SHARD = "shardId-0"
CREATED = datetime(2026, 1, 1, tzinfo=UTC)
START = Position("TRIM_HORIZON")


def change(number, *, due=True):
    image = {"pk": {"S": f"p{number}"}, "rev": {"N": "1"}, "state": {"B": b"\xff\x00"}}
    return {
        "eventID": f"e{number}",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": CREATED,
            "Keys": {"pk": {"S": f"p{number}"}},
            "NewImage": image | ({"due": {"N": "1"}} if due else {}),
            "SequenceNumber": str(1000 + number),
            "SizeBytes": 1,
            "StreamViewType": "NEW_IMAGE",
        },
    }


class FakeStreams:
    """boto3's client of table streams, on one shard; records before `horizon` are gone."""

    def __init__(self, held, horizon=0):
        self.held = list(held)
        self.horizon = horizon
        self.error = None

    def describe_stream(self, **request):
        if "ExclusiveStartShardId" in request:
            return {"StreamDescription": {"Shards": [{"ShardId": "child", "ParentShardId": SHARD}]}}
        shards = [{"ShardId": SHARD}]
        return {"StreamDescription": {"Shards": shards, "LastEvaluatedShardId": SHARD}}

    def get_shard_iterator(self, **request):
        if request["ShardIteratorType"] == "TRIM_HORIZON":
            return {"ShardIterator": str(self.horizon)}
        numbers = [one["dynamodb"]["SequenceNumber"] for one in self.held]
        index = numbers.index(request["SequenceNumber"])
        if index < self.horizon:
            raise ClientError({"Error": {"Code": "TrimmedDataAccessException"}}, "GetShardIterator")
        return {"ShardIterator": str(index + (request["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER"))}

    def get_records(self, ShardIterator, Limit):  # noqa: N803 - boto3's names
        if self.error:
            raise ClientError({"Error": {"Code": self.error}}, "GetRecords")
        start = int(ShardIterator)
        page = self.held[start : start + Limit]
        return {"Records": page, "NextShardIterator": str(start + len(page))}


def reader(client):
    return TableStream(client, STREAM, Clock()).reader(SHARD)


def mapping(**changes):
    plain = {"UUID": "m1", "EventSourceArn": STREAM, "FunctionArn": FUNCTION_ARN, "State": "Enabled"}
    return plain | {"StartingPosition": "TRIM_HORIZON"} | changes


def run(held, **changes):
    """Run one mapping on a shard; return what its function received."""
    bench = Bench()
    worker = ShardWorker(
        read_settings(mapping(**changes)), SHARD, Checkpoint(START), reader(FakeStreams(held)), bench.ports
    )
    received = []
    bench.function.invoke = lambda _, event: received.append(event)
    worker.step(InlineExecutor())
    return received


def test_shards_are_listed_page_by_page():
    assert TableStream(FakeStreams([]), STREAM, Clock()).shards() == [
        ShardInfo(SHARD),
        ShardInfo("child", (SHARD,)),
    ]


def test_changes_are_read_on_from_where_they_were_read_to():
    read = reader(FakeStreams([change(number) for number in range(3)])).read
    first = read(START, 2)
    assert [one.sequence for one in first.records] == ["1000", "1001"]
    rest = read(Position("AFTER_SEQUENCE_NUMBER", "1001"), 2)
    assert [one.sequence for one in rest.records] == ["1002"]
    assert read(Position("AT_SEQUENCE_NUMBER", "1001"), 1).records[0].sequence == "1001"


def test_after_what_is_no_longer_there_reading_goes_on_with_the_oldest_that_is():
    client = FakeStreams([change(number) for number in range(4)], horizon=2)
    found = reader(client).read(Position("AFTER_SEQUENCE_NUMBER", "1000"), 10)
    assert [one.sequence for one in found.records] == ["1002", "1003"]


def test_a_stream_that_is_gone_is_closed_and_one_that_refuses_is_read_later():
    client = FakeStreams([])
    client.error = "ResourceNotFoundException"
    assert reader(client).read(START, 1) == Reading((), closed=True)
    client.error = "LimitExceededException"
    with pytest.raises(PortError, match="LimitExceededException"):
        reader(client).read(START, 1)


def test_the_function_receives_changes_as_lambda_delivers_them():
    pattern = json.dumps({"dynamodb": {"NewImage": {"due": {"N": [{"exists": True}]}}}})
    [event] = run(
        [change(0), change(1, due=False)], FilterCriteria={"Filters": [{"Pattern": pattern}]}, BatchSize=10
    )
    [record] = event["Records"]
    assert record["eventSourceARN"] == STREAM
    assert record["dynamodb"]["ApproximateCreationDateTime"] == int(CREATED.timestamp())
    assert record["dynamodb"]["NewImage"]["state"] == {"B": "/wA="}
    assert record["dynamodb"]["SequenceNumber"] == "1000"


def test_only_streams_of_tables_are_filtered_and_they_start_with_the_oldest_change():
    filtered = {"FilterCriteria": {"Filters": [{"Pattern": '{"a": "b"}'}]}}
    for wish in ({"StartingPosition": "LATEST"}, filtered):
        with pytest.raises(UnsupportedMappingError):
            read_settings(mapping(**wish))
