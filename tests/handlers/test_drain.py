"""The drain on a pretended AWS: what its adapters make of the services' answers."""

import json
import traceback
from importlib import import_module, reload
from types import SimpleNamespace

import pytest

from shared import contract
from shared.adapters.lambda_ import LambdaIngestion
from shared.adapters.quarantine import S3Quarantine
from shared.adapters.registry import DynamoRegistry
from shared.adapters.s3 import S3Objects
from shared.app.delivery import IngestionUnavailableError, VersionGoneError
from shared.app.drain import CALL_MS_MAX
from shared.app.quarantine import FAILED_REPEATEDLY, entry_of
from shared.app.registry import Status, Version
from tests.fakes.lambda_service import FUNCTION, REGION, LambdaService
from tests.fakes.objects import FakeObjects
from tests.kinesis import SHARD, envelope
from tests.moto_cloud import create_bucket, create_registry_table, moto_clients

KEY = f"{contract.PREFIX_FAILED}7cc5a2b4-0000-4000-8000-000000000000/{SHARD}/2026/01/02/one"
CONTEXT = SimpleNamespace(
    function_name="drain",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-central-1:1:function:drain",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: CALL_MS_MAX * 2,
)
RECORDS = [envelope(b'{"event": "e"}', sequence=str(number)) for number in range(1, 5)]


@pytest.fixture(scope="module")
def s3():
    with moto_clients(REGION) as client:
        create_bucket(client("s3"), "archive", REGION)
        create_registry_table(client("dynamodb"), "registry")
        yield client("s3")


@pytest.fixture
def bucket(s3):
    objects = S3Objects(s3, "archive")
    for listed in list(objects.list("")):
        objects.delete(listed.key)
    return objects


@pytest.fixture(params=["bucket", "fake"])
def objects(request):
    return FakeObjects() if request.param == "fake" else request.getfixturevalue("bucket")


class Function:
    """An ingestion function that answers what it is told to, and remembers its calls."""

    def __init__(self):
        self.calls = []
        self.answer = {"batchItemFailures": []}
        self.fails = False
        self.service = LambdaService(self._call)
        self.service.aliases["customers-v1"] = {}

    def _call(self, alias, payload):
        self.calls.append((alias, json.loads(payload)))
        return json.dumps(self.answer).encode(), self.fails

    def ingest(self, records=RECORDS, version=1):
        return LambdaIngestion(self.service.client(), FUNCTION).ingest("customers", version, records)


@pytest.fixture
def function():
    return Function()


# Objects


def test_an_object_comes_back_with_its_tag(objects):
    assert objects.get("a") is None
    objects.put("a", b"one")
    data, tag = objects.get("a")
    assert data == b"one"
    objects.put("a", b"two")
    assert objects.get("a")[1] != tag


def test_objects_are_listed_below_a_prefix_by_key(objects):
    for key in ("b/2", "a/1", "b/1", "c"):
        objects.put(key, b"12")
    assert [(one.key, one.size) for one in objects.list("b/")] == [("b/1", 2), ("b/2", 2)]
    assert [one.key for one in objects.list("b/", after="b/1")] == ["b/2"]


def test_an_object_written_again_is_not_deleted_by_its_old_tag(objects):
    objects.put("a", b"one")
    _, tag = objects.get("a")
    objects.put("a", b"two")
    assert not objects.delete_if("a", tag)
    assert objects.delete_if("a", objects.get("a")[1])
    assert objects.get("a") is None


def test_an_object_that_is_gone_counts_as_deleted(objects):
    assert objects.delete_if("a", "tag")
    objects.delete("a")


def test_quarantine_works_on_a_bucket(bucket):
    store = S3Quarantine(bucket)
    entries = [entry_of("customers", 1, record, "not_json", "line 1") for record in RECORDS]
    store.put(entries)
    assert sorted(one.entry.sequence for one in store.list(builder="customers")) == ["1", "2", "3", "4"]
    read = store.get(entries[0].id)
    store.put(entries[:1])
    assert not store.delete(read)
    assert store.delete(store.get(entries[0].id))


# Calls of ingestion


def test_ingestion_is_called_by_the_versions_alias_as_the_stream_calls_it(function):
    assert function.ingest() == 4
    assert function.calls == [("customers-v1", {"Records": RECORDS})]


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": None}, {"batchItemFailures": []}])
def test_an_answer_without_failures_accepts_all(function, answer):
    function.answer = answer
    assert function.ingest() == 4


def test_records_before_the_first_failure_are_accepted(function):
    function.answer = {"batchItemFailures": [{"itemIdentifier": "4"}, {"itemIdentifier": "3"}]}
    assert function.ingest() == 2


@pytest.mark.parametrize("failure", [{"itemIdentifier": "99"}, {"itemIdentifier": ""}, {}])
def test_a_failure_that_names_no_record_accepts_none(function, failure):
    function.answer = {"batchItemFailures": [failure]}
    assert function.ingest() == 0


def test_a_crashed_call_accepts_none(function):
    function.fails = True
    assert function.ingest() == 0


def test_a_call_too_large_accepts_none(function):
    function.service.errors.append(("Invoke", "RequestTooLargeException"))
    assert function.ingest() == 0


def test_a_missing_alias_means_the_version_is_gone(function):
    with pytest.raises(VersionGoneError):
        function.ingest(version=2)


@pytest.mark.parametrize("code", ["TooManyRequestsException", "ServiceException", "AccessDeniedException"])
def test_a_refused_call_says_nothing_of_the_records(function, code):
    function.service.errors.append(("Invoke", code))
    with pytest.raises(IngestionUnavailableError):
        function.ingest()


def test_a_mapping_names_its_alias(function):
    uuid = "7cc5a2b4-0000-4000-8000-000000000000"
    ingestion = LambdaIngestion(function.service.client(), FUNCTION)
    assert ingestion.alias_of(uuid) is None
    function.service.mappings[uuid] = {"FunctionArn": f"{FUNCTION}:customers-v1"}
    assert ingestion.alias_of(uuid) == "customers-v1"
    function.service.mappings[uuid] = {"FunctionArn": FUNCTION}
    assert ingestion.alias_of(uuid) is None


# The handler


@pytest.fixture
def handler(bucket, function, s3, monkeypatch):  # noqa: ARG001 - the bucket must be empty
    for name, value in {
        contract.ENV_STAGE: "test",
        contract.ENV_REGISTRY_TABLE: "registry",
        contract.ENV_ARCHIVE_BUCKET: "archive",
        contract.ENV_INGEST_FUNCTION: FUNCTION,
    }.items():
        monkeypatch.setenv(name, value)
    module = import_module("lambdas.drain.handler")  # it reads its settings when it is imported
    ingestion = LambdaIngestion(function.service.client(), FUNCTION)
    monkeypatch.setattr(module, "OBJECTS", S3Objects(s3, "archive"))
    monkeypatch.setattr(module, "INGESTION", ingestion)
    return module.handler


@pytest.mark.usefixtures("handler")
def test_the_drain_calls_ingestion_with_the_client_that_never_repeats_a_call(function, monkeypatch):
    monkeypatch.setattr("shared.runtime.aws.caller", function.service.client)
    module = reload(import_module("lambdas.drain.handler"))
    assert module.INGESTION.ingest("customers", 1, RECORDS) == len(RECORDS)
    assert len(function.calls) == 1


@pytest.mark.usefixtures("handler")
def test_no_value_reaches_the_log_when_the_drain_breaks_off(monkeypatch, caplog, capfd):
    def fail(*_, **__):
        raise ValueError("ann@example.com")

    module = import_module("lambdas.drain.handler")
    monkeypatch.setattr(module.Drain, "run", fail)
    with pytest.raises(module.DrainFailedError) as caught:
        module.handler({}, CONTEXT)
    [record] = caplog.records
    assert (record.code, record.data["error"]) == ("KITH-305", "ValueError")
    said = "".join([*traceback.format_exception(caught.value), repr(vars(record)), *capfd.readouterr()])
    assert "DrainFailedError: ValueError" in said
    assert "ann@" not in said


def fail_batch(bucket):
    document = {
        "requestContext": {"functionArn": f"{FUNCTION}:customers-v1", "condition": "RetryAttemptsExhausted"},
        "payload": {"Records": RECORDS},
    }
    bucket.put(KEY, json.dumps(document).encode())


def codes(caplog):
    return [record.code for record in caplog.records]


def metrics(capsys):
    """Return what was written in CloudWatch's embedded format, as one mapping."""
    written = {}
    for line in capsys.readouterr().out.splitlines():
        if "_aws" in line:
            written |= json.loads(line)
    return written


def test_the_drain_empties_the_destination(handler, bucket, function, caplog):
    fail_batch(bucket)
    handler({}, CONTEXT)
    assert function.calls == [("customers-v1", {"Records": RECORDS})]
    assert bucket.get(KEY) is None
    assert codes(caplog) == ["KITH-300"]


def test_the_drain_logs_a_line_even_if_nothing_waits(handler, caplog):
    handler({}, CONTEXT)
    assert [record.data for record in caplog.records] == [{"waiting": 0, "due": 0, "looked_at": 0}]


def test_the_drain_counts_the_batches_that_wait(handler, bucket, function, capsys):
    fail_batch(bucket)
    function.fails = True
    handler({}, CONTEXT)
    assert bucket.get(KEY) is not None
    assert metrics(capsys)[contract.METRIC_BATCHES_FAILED] == [1.0]


def test_the_drain_drops_what_was_for_a_version_that_is_retired(handler, bucket, function, capsys, caplog):
    registry = DynamoRegistry("registry")
    row = Version(
        builder="customers",
        version=1,
        status=Status.RETIRED,
        definition_key="k",
        sha256="s",
        t0=0,
        created_at=0,
        created_by="deploy",
    )
    registry.add(row)
    fail_batch(bucket)
    function.service.aliases.clear()
    handler({}, CONTEXT)
    assert bucket.get(KEY) is None
    assert list(S3Quarantine(bucket).list()) == []
    assert metrics(capsys)[contract.METRIC_RECORDS_DROPPED] == [4.0]
    assert codes(caplog) == ["KITH-306", "KITH-300"]


def test_the_drain_gives_up_after_six_hours(handler, bucket, function, monkeypatch, capsys, caplog):
    fail_batch(bucket)
    function.fails = True
    later = next(iter(bucket.list(KEY))).modified_at + 6 * 3_600_000
    monkeypatch.setattr("lambdas.drain.handler.time.time_ns", lambda: later * 1_000_000)
    handler({}, CONTEXT)
    assert bucket.get(KEY) is None
    stored = list(S3Quarantine(bucket).list(reason=FAILED_REPEATEDLY))
    assert [one.entry.envelope for one in stored] == RECORDS
    assert metrics(capsys)[contract.METRIC_EVENTS_QUARANTINED] == [4.0]
    assert codes(caplog) == ["KITH-302", "KITH-300"]
