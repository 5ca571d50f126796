"""What reads what services answer, and what is told to them: databases, S3 behind a URL, CloudFormation, and
all that the local cloud delivers in Lambda's place."""

import io
import json
import socket
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import msgspec
import urllib3
from botocore.response import StreamingBody

from cli import target
from cli.errors import Failure
from kith import WarehouseError
from local.event_sources.checkpoints import FileCheckpoints
from local.event_sources.filters import UnsupportedFilterError, is_wanted, read_filters
from local.event_sources.kinesis import LambdaInvoker
from local.event_sources.lane import Discard, Invoke, Lane, Wait
from local.event_sources.ports import PortError
from local.event_sources.records import StreamRecord, event_of
from local.event_sources.settings import Settings
from local.event_sources.shard import lane_of
from shared.adapters.cloudformation import answer
from shared.adapters.presigned import fetch_object
from shared.adapters.warehouses import SqlWarehouse
from shared.core.functions import FunctionFailure, FunctionResult
from shared.core.made_json import json_rounded
from shared.core.records import kinesis_records
from shared.core.sandbox import FunctionAnswer
from shared.runtime import aws
from tests.fuzz.outside import ARRIVAL
from tests.kinesis import SHARD

MAPPING = Settings(
    "uuid", "arn:aws:kinesis:eu-central-1:1:stream/s", "f", partial_failures=True, retries_max=2
)
ANSWER_BYTES_MAX = 4096
"""What CloudFormation takes of an answer."""
QUERY = "SELECT :bytes AS bytes, CAST(:bytes AS TEXT) AS cast, :text AS text, :number AS number, 1e999 AS inf"
NUMBER_BYTES = 9


@cache
def _warehouse():
    return SqlWarehouse("sqlite://")


def rows(data):
    """What a database answers a profile function, which returns it as it is."""
    asked = {
        "bytes": data,
        "text": data.decode("utf-8", "surrogateescape"),
        "number": int.from_bytes(data[:NUMBER_BYTES], "big", signed=True),
    }
    with suppress(WarehouseError):
        [row] = _warehouse().query(QUERY, asked)
        assert row["bytes"] == data
        returned = msgspec.Raw(json_rounded({"traits": {"row": row}, "profile_id": row["text"]}))
        outcome = FunctionAnswer(returned).outcome
        assert isinstance(outcome, FunctionResult | FunctionFailure)


class _Connection:
    """A connection to a server that answers these bytes, whatever it is asked."""

    def __init__(self, data):
        self._data = data

    def makefile(self, _mode):
        return io.BytesIO(self._data)

    def __getattr__(self, _name):
        return lambda *_arguments: None


def behind_url(data):
    """What is behind a URL: what S3 answers, or nothing."""
    with (
        patch.object(socket, "create_connection", lambda *_more, **_options: _Connection(data)),
        suppress(OSError),
    ):
        assert isinstance(fetch_object("http://bucket.example.com/functions/inputs/x?signature"), bytes)


def resource(data):
    """What CloudFormation is told of a custom resource: never more than it takes."""
    text = data.decode("utf-8", "surrogateescape")
    told = []

    def request(_pool, _method, _url, body, **_options):
        told.append(body)
        return SimpleNamespace(status=200)

    asked = dict.fromkeys(("StackId", "RequestId", "LogicalResourceId", "ResponseURL"), "x" * 200)
    with patch.object(urllib3.PoolManager, "request", request):
        answer(asked, "FAILED", "kith-builders", text)
        answer(asked, "SUCCESS", "kith-builders", data=dict.fromkeys(text.split("\n"), "published"))
    assert all(len(one) < ANSWER_BYTES_MAX for one in told)
    reason = json.loads(told[0])["Reason"]
    assert reason == text or reason.endswith(" ...")


def stack(data):
    """What CloudFormation says of a stack: its outputs, as names and values, one a line."""
    pairs = [line.partition("=")[::2] for line in data.decode("utf-8", "replace").split("\n")]
    outputs = [{"OutputKey": name, "OutputValue": value} for name, value in pairs]
    stacks = [{"Outputs": outputs} if data else {}]
    client = SimpleNamespace(describe_stacks=lambda StackName: {"Stacks": stacks})  # noqa: ARG005, N803 - as AWS has it
    with patch.object(aws, "client", lambda _service: client), suppress(Failure):
        assert target.resolve("dev").output(pairs[-1][0]) == pairs[-1][1]


def delivered(data):
    """A record as the local cloud delivers it: ingestion reads just what was in the stream."""
    key = data.decode("utf-8", "surrogateescape" if data[:1] == b"s" else "replace")
    one = StreamRecord("4957", key, data, ARRIVAL)
    assert 0 <= lane_of(key, 4) < 4
    payload = json.dumps(event_of([one, one], MAPPING, SHARD, "role"))
    assert len(payload) <= 2 * one.payload_bytes
    found = [each for one in json.loads(payload)["Records"] for each in kinesis_records(one)]
    assert [(each.data, each.arrival, each.sequence) for each in found] == [(data, ARRIVAL, "4957")] * 2


def answered(data):
    """What a function answers the local cloud: each record is done, or comes again, or is given up."""
    body = SimpleNamespace(invoke=lambda **_: _invoked(data))
    outcome = LambdaInvoker(body).invoke("f", {})
    lane, now = Lane(MAPPING), 0
    lane.offer([StreamRecord(str(one), "key", b"", now) for one in range(1, 4)], now)
    for _ in range(3 * (MAPPING.retries_max + 2)):
        action = lane.next(now)
        before = lane.queued
        if isinstance(action, Wait):
            now = action.until_ms
        elif isinstance(action, Invoke):
            lane.settle(outcome, now)
        elif isinstance(action, Discard):
            lane.discarded()
        assert lane.queued <= before
        assert lane.queued + int(lane.done or 0) == 3
    assert lane.queued == 0


def _invoked(data):
    body = StreamingBody(io.BytesIO(data), len(data))
    return {"Payload": body, "StatusCode": 200, "ResponseMetadata": {}}


def pattern(data):
    """A filter of a mapping: refused, or it says of any record whether it is wanted."""
    criteria = {"Filters": [{"Pattern": data.decode("utf-8", "replace")}]}
    record = {"eventName": "MODIFY", "dynamodb": {"NewImage": {"due": {"N": "1"}}, "Keys": None}}
    with suppress(UnsupportedFilterError):
        filters = read_filters(criteria)
        for one in (record, {}, {"dynamodb": []}):
            assert isinstance(is_wanted(one, filters), bool)


def checkpoints(data):
    """How far the local cloud has come: what it says, or that it is damaged."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "uuid.json").write_bytes(data)
        kept = FileCheckpoints(Path(folder), "uuid")
        with suppress(PortError):
            for shard_id, one in kept.load().items():
                kept.save(shard_id, one)
            assert FileCheckpoints(Path(folder), "uuid").load() == kept.load()
