"""The archiver on a pretended AWS: a golden event, and what may go wrong."""

import json
import traceback
from importlib import import_module, reload
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared import contract
from shared.adapters.s3 import S3Objects
from shared.core.archive import read_object
from shared.core.control import READER_ARCHIVE, Marker, control_record
from shared.core.records import kinesis_record
from tests.kinesis import SHARD, envelope
from tests.moto_cloud import create_bucket, moto_clients

REGION = "eu-central-1"
GOLDEN = json.loads((Path(__file__).parent / "golden" / "kinesis.json").read_text())
ENVIRONMENT = {contract.ENV_STAGE: "test", contract.ENV_ARCHIVE_BUCKET: "archive"}
CONTEXT = SimpleNamespace(
    function_name="archive",
    memory_limit_in_mb=512,
    invoked_function_arn=f"arn:aws:lambda:{REGION}:123456789012:function:archive",
    aws_request_id="request",
)
TOKEN = "ab" * 16


@pytest.fixture(scope="module")
def s3():
    with moto_clients(REGION, **ENVIRONMENT) as client:
        create_bucket(client("s3"), "archive", REGION)
        yield client("s3")


@pytest.fixture
def objects(s3):
    objects = S3Objects(s3, "archive")
    for listed in list(objects.list("")):
        objects.delete(listed.key)
    return objects


@pytest.fixture
def module(s3):
    assert s3
    return reload(import_module("lambdas.archive.handler"))


def test_the_golden_event_is_archived_as_it_was_sent(module, objects, s3, caplog):
    module.handler(GOLDEN, CONTEXT)
    [listed] = objects.list(contract.PREFIX_EVENTS)
    data, _ = objects.get(listed.key)
    assert list(read_object(data)) == [kinesis_record(record) for record in GOLDEN["Records"]]
    assert s3.head_object(Bucket="archive", Key=listed.key)["ContentType"] == "application/gzip"
    assert "ContentEncoding" not in s3.head_object(Bucket="archive", Key=listed.key)
    [record] = caplog.records
    assert record.code == "KITH-400"
    assert record.data == {"records": len(GOLDEN["Records"]), "objects": 1, "bytes": len(data)}


def test_what_was_archived_is_counted(module, objects, capfd):
    assert objects
    module.handler(GOLDEN, CONTEXT)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if '"_aws"' in line]
    [metrics] = lines
    assert metrics[contract.METRIC_RECORDS_ARCHIVED] == [len(GOLDEN["Records"])]
    assert metrics[contract.METRIC_ARCHIVE_BYTES][0] > 0
    assert metrics[contract.METRIC_ARCHIVE_AGE][0] > 0
    assert contract.DIMENSION_BUILDER not in metrics


def test_a_marker_is_acknowledged(module, objects):
    module.handler({"Records": [envelope(control_record(Marker(TOKEN, READER_ARCHIVE)))]}, CONTEXT)
    assert [one.key for one in objects.list(contract.PREFIX_MARKERS)] == [
        f"{contract.PREFIX_MARKERS}{TOKEN}/{SHARD}"
    ]


def test_a_batch_that_cannot_be_written_fails_whole_and_no_value_reaches_the_log(
    module, monkeypatch, caplog, capfd
):
    def fail(*_):
        raise ValueError("ann@example.com")

    monkeypatch.setattr(S3Objects, "put", fail)
    with pytest.raises(module.ArchivingFailedError) as caught:
        module.handler(GOLDEN, CONTEXT)
    [record] = caplog.records
    assert (record.code, record.data["error"]) == ("KITH-401", "ValueError")
    said = "".join([*traceback.format_exception(caught.value), repr(vars(record)), *capfd.readouterr()])
    assert "ArchivingFailedError: ValueError" in said
    assert "ann@" not in said
