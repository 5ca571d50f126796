"""The ingestion function on a pretended AWS: a golden event, and what may go wrong."""

import gc
import json
import traceback
from dataclasses import replace
from importlib import import_module, reload
from pathlib import Path
from types import SimpleNamespace
from weakref import WeakSet

import pytest

from shared import contract
from shared.adapters.dynamo.attempts import ThrottledError
from shared.adapters.dynamo.followups import FollowUps
from shared.adapters.lru import Lru
from shared.adapters.registry import DynamoRegistry
from shared.app.frozen import freeze
from shared.app.registry import Status, Version
from shared.core.control import Marker, control_record
from shared.core.grammar import parse_definition
from shared.runtime.settings import SettingsError
from tests.kinesis import SHARD, envelope
from tests.moto_cloud import create_bucket, create_registry_table, moto_clients

REGION = "eu-central-1"
GOLDEN = json.loads((Path(__file__).parent / "golden" / "kinesis.json").read_text())
DEFINITION = parse_definition(
    """
    name: customers
    identifiers: {user_id: {from: userId, known: true}, cookie_id: {from: anonymousId}}
    attributes:
      spent: {from: properties.total, type: number, aggregation: sum, when: {event: Order Completed}}
      pages: {from: context.page.url, type: string, aggregation: list}
    """
)
ENVIRONMENT = {
    contract.ENV_STAGE: "test",
    contract.ENV_PROFILES_TABLE: "profiles",
    contract.ENV_IDENTIFIERS_TABLE: "identifiers",
    contract.ENV_REGISTRY_TABLE: "registry",
    contract.ENV_ARCHIVE_BUCKET: "archive",
    contract.ENV_TRANSFORM_FUNCTION: "transform",
}


def a_context(alias="customers-v1"):
    return SimpleNamespace(
        function_name="ingest",
        memory_limit_in_mb=1024,
        invoked_function_arn=f"arn:aws:lambda:{REGION}:123456789012:function:ingest:{alias}",
        aws_request_id="request",
        get_remaining_time_in_millis=lambda: 120_000,
    )


TABLES = {"profiles": ("pk", "sk"), "identifiers": ("pk",)}


@pytest.fixture(scope="module")
def cloud():
    with moto_clients(REGION, **ENVIRONMENT) as client:
        create_registry_table(client("dynamodb"), "registry")
        create_bucket(client("s3"), "archive", REGION)
        data, sha256 = freeze(DEFINITION, {})
        client("s3").put_object(Bucket="archive", Key="definitions/customers.json", Body=data)
        DynamoRegistry("registry").add(
            Version(
                builder="customers",
                version=1,
                status=Status.ACTIVE,
                definition_key="definitions/customers.json",
                sha256=sha256,
                t0=0,
                created_at=0,
                created_by="test",
            )
        )
        yield client


@pytest.fixture(scope="module")
def module(cloud):  # noqa: ARG001 - it makes its clients when it is imported
    return reload(import_module("lambdas.ingest.handler"))


@pytest.fixture
def aws(cloud):
    """An AWS whose profiles, pointers and quarantine are empty."""
    for name, keys in TABLES.items():
        cloud("dynamodb").create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
            ],
        )
    yield cloud
    for name in cloud("dynamodb").list_tables()["TableNames"]:
        if name in TABLES:
            cloud("dynamodb").delete_table(TableName=name)


@pytest.fixture
def handler(aws, module):  # noqa: ARG001 - the tables must be there
    module.INGESTION._batches = Lru(1)  # and with the others, the stores' caches
    return module.handler


def profiles(aws):
    items = aws("dynamodb").scan(TableName="profiles")["Items"]
    return [item for item in items if item["sk"]["S"] == contract.SK_PROFILE]


def emitted(capsys):
    """Metrics of the one batch since the last look."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [metrics] = [line for line in lines if "_aws" in line]
    return metrics


def test_a_marker_is_acknowledged_and_is_no_event(aws, handler, caplog):
    token = "ab" * 16
    marker = control_record(Marker(token, "customers-v1"))
    assert handler({"Records": [envelope(marker)]}, a_context()) == {"batchItemFailures": []}
    listed = aws("s3").list_objects_v2(Bucket="archive", Prefix=contract.PREFIX_MARKERS)["Contents"]
    assert [one["Key"] for one in listed] == [f"{contract.PREFIX_MARKERS}{token}/{SHARD}"]
    [record] = caplog.records
    assert (record.code, record.data["records_control"]) == ("KITH-100", 1)
    assert "events_in" not in record.data


def test_the_golden_event_becomes_one_stitched_profile(aws, handler, caplog):
    assert handler(GOLDEN, a_context()) == {"batchItemFailures": []}
    [profile] = profiles(aws)
    assert profile["identifiers"]["M"] == {
        "user_id": {"L": [{"S": "ann"}]},
        "cookie_id": {"L": [{"S": "c1"}]},
    }
    assert profile["attributes"]["M"]["spent"] == {"N": "75.25"}
    assert profile["traits"]["M"] == {"name": {"S": "Ann"}}
    assert profile["event_count"] == {"N": "3"}
    assert [record.code for record in caplog.records] == ["KITH-102", "KITH-100"]
    assert not any("ann" in str(vars(record)["data"]) for record in caplog.records)


def test_the_unreadable_record_waits_in_quarantine(aws, handler):
    handler(GOLDEN, a_context())
    [listed] = aws("s3").list_objects_v2(Bucket="archive", Prefix=contract.PREFIX_QUARANTINE)["Contents"]
    assert listed["Key"].startswith("quarantine/customers/v1/dt=2026-01-02/")


def test_a_batch_that_comes_again_changes_nothing(aws, handler):
    handler(GOLDEN, a_context())
    before = profiles(aws)
    handler(GOLDEN, a_context())
    assert profiles(aws) == before


def test_metrics_say_what_became_of_the_events(handler, capsys):
    handler(GOLDEN, a_context())
    metrics = emitted(capsys)
    assert metrics[contract.METRIC_EVENTS_IN] == [4.0]
    assert metrics[contract.METRIC_EVENTS_FOLDED] == [3.0]
    assert metrics[contract.METRIC_EVENTS_QUARANTINED] == [1.0]
    assert metrics[contract.METRIC_PROFILES_CREATED] == [1.0]
    assert metrics[contract.METRIC_REQUEST_UNITS][0] > 0
    assert metrics[contract.METRIC_BATCH_AGE][0] > 0
    assert metrics["builder"] == "customers"


def test_a_store_that_does_not_answer_gives_the_lowest_record_back(aws, handler):
    aws("dynamodb").delete_table(TableName="profiles")
    answer = handler({"Records": GOLDEN["Records"][2:]}, a_context())
    assert answer == {
        "batchItemFailures": [{"itemIdentifier": GOLDEN["Records"][2]["kinesis"]["sequenceNumber"]}]
    }


def test_events_that_could_not_be_written_are_counted(aws, handler, capsys):
    aws("dynamodb").delete_table(TableName="profiles")
    handler(GOLDEN, a_context())
    assert emitted(capsys)[contract.METRIC_EVENTS_FAILED] == [3.0]


def test_what_is_left_undone_after_a_write_is_counted_with_its_batch(handler, monkeypatch, capsys):
    def throttled():
        raise ThrottledError

    monkeypatch.setattr(FollowUps, "follow", lambda self, _: self.best_effort(throttled))
    for _ in range(2):  # a process counts on and on, a metric by batch
        handler(GOLDEN, a_context())
        assert emitted(capsys)[contract.METRIC_FOLLOW_UPS_UNFINISHED] == [1.0]


def test_an_unknown_version_fails_the_whole_invocation_and_says_why(module, handler, caplog):
    with pytest.raises(module.BatchFailedError, match=r"^UnknownVersionError$"):
        handler(GOLDEN, a_context("customers-v9"))
    [record] = caplog.records
    assert (record.code, record.data["version"]) == ("KITH-109", 9)


def test_a_damaged_definition_fails_the_whole_invocation_and_says_why(module, handler, caplog):
    sound = DynamoRegistry("registry").version("customers", 1)
    DynamoRegistry("registry").add(replace(sound, version=2, sha256="0" * 64))
    with pytest.raises(module.BatchFailedError, match=r"^DamagedDefinitionError$"):
        handler(GOLDEN, a_context("customers-v2"))
    assert [record.code for record in caplog.records] == ["KITH-109"]


def test_a_process_keeps_little_of_versions_that_it_is_called_for_no_more(module, handler):
    sound = DynamoRegistry("registry").version("customers", 1)
    stores = WeakSet()
    module.INGESTION._batches = Lru(1)
    for version in (100, 101, 102):
        DynamoRegistry("registry").add(replace(sound, version=version))
        handler(GOLDEN, a_context(f"customers-v{version}"))
        stores.add(module.INGESTION._batches.get(("customers", version))[1])
    gc.collect()
    assert len(stores) == 1


def test_no_value_reaches_the_log_when_a_batch_fails(module, handler, monkeypatch, caplog, capfd):
    def fail(*_):
        raise ValueError("ann@example.com")

    monkeypatch.setattr(module.INGESTION, "run", fail)
    with pytest.raises(module.BatchFailedError) as caught:
        handler(GOLDEN, a_context())
    [record] = caplog.records
    assert (record.code, record.data["error"]) == ("KITH-101", "ValueError")
    said = "".join([*traceback.format_exception(caught.value), repr(vars(record)), *capfd.readouterr()])
    assert "BatchFailedError: ValueError" in said
    assert "ann@" not in said


def test_a_call_without_an_alias_is_refused(handler):
    with pytest.raises(ValueError, match="names no version"):
        handler(GOLDEN, a_context("ingest"))


def test_missing_settings_are_all_named_at_once(module, monkeypatch):
    monkeypatch.delenv(contract.ENV_PROFILES_TABLE)
    monkeypatch.delenv(contract.ENV_ARCHIVE_BUCKET)
    with pytest.raises(SettingsError, match=r"KITH_PROFILES_TABLE.*KITH_ARCHIVE_BUCKET"):
        reload(module)
