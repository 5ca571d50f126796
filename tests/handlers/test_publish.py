"""CloudFormation's requests, answered whatever happens, on a pretended AWS."""

import json
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from lambdas.publish import handler as handler_module
from lambdas.publish.handler import PHYSICAL_ID, handler
from shared import contract
from shared.adapters import cloudformation as cloudformation_module
from shared.adapters.lambda_ import SETTLE_S_MAX, LambdaConsumers
from shared.runtime.settings import SettingsError, read_consumer
from tests.fakes.lambda_service import FUNCTION, REGION, LambdaService, mapping_uuid
from tests.moto_cloud import create_bucket, create_registry_table, empty_registry_table, moto_clients

BUILDER = "name: customers\nidentifiers: {user_id: {from: userId}}\n"
BUSY = ["ResourceInUseException", "ResourceConflictException"]
TOO_EARLY = ["InvalidParameterValueException", "AccessDeniedException"]
CONTEXT = SimpleNamespace(
    function_name="publish",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-central-1:1:function:publish",
    aws_request_id="request",
)


@pytest.fixture(scope="module")
def aws():
    with moto_clients(REGION) as client:
        create_registry_table(client("dynamodb"), "registry")
        create_bucket(client("s3"), "archive", REGION)
        yield client


@pytest.fixture
def service(aws, monkeypatch):
    """Put a Lambda service in memory in the place of the real one; all else is moto's."""
    service = LambdaService()
    clients = {"lambda": service.client(), "s3": aws("s3")}
    monkeypatch.setattr(handler_module.aws, "client", clients.__getitem__)
    return service


@pytest.fixture
def consumer():
    return {
        "EventSourceArn": "arn:aws:kinesis:eu-central-1:123456789012:stream/events",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 1000,
        "MaximumBatchingWindowInSeconds": 5,
        "MaximumRecordAgeInSeconds": 39_600,
        "MaximumRetryAttempts": 5,
        "BisectBatchOnFunctionError": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:s3:::archive"}},
    }


@pytest.fixture
def deployment(aws, service, consumer, tmp_path, monkeypatch):  # noqa: ARG001 - it replaces a client
    """Return the folder of bundled builders of a publish function that is set up."""
    empty_registry_table(aws("dynamodb"), "registry")
    folder = tmp_path / contract.BUNDLED_BUILDERS / "customers"
    folder.mkdir(parents=True)
    (folder / "builder.yaml").write_text(BUILDER)
    (folder.parent / "__pycache__").mkdir()
    for name, value in {
        "LAMBDA_TASK_ROOT": str(tmp_path),
        contract.ENV_STAGE: "test",
        contract.ENV_REGISTRY_TABLE: "registry",
        contract.ENV_ARCHIVE_BUCKET: "archive",
        contract.ENV_INGEST_FUNCTION: FUNCTION,
        contract.ENV_CONSUMER: json.dumps(consumer),
    }.items():
        monkeypatch.setenv(name, value)
    return folder.parent


@pytest.fixture(scope="module")
def cloudformation():
    """Listen where answers go; return the address and the answers that came."""
    answers = []

    class Listener(BaseHTTPRequestHandler):
        def do_PUT(self):
            assert self.headers["content-type"] == ""
            answers.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/answer", answers
        server.shutdown()
        thread.join()


@pytest.fixture
def ask(cloudformation, deployment):  # noqa: ARG001 - there is nothing to ask without a deployment
    address, answers = cloudformation

    def ask(kind: str, **more):
        answers.clear()
        request = {
            "StackId": "stack",
            "RequestId": "1",
            "LogicalResourceId": "Builders",
            "ResponseURL": address,
        }
        handler({"RequestType": kind, **request, **more}, CONTEXT)
        [found] = answers
        assert (found["StackId"], found["RequestId"], found["LogicalResourceId"]) == (
            "stack",
            "1",
            "Builders",
        )
        return found

    return ask


def test_the_first_deploy_makes_version_1_its_alias_and_its_mapping(ask, service):
    found = ask("Create")
    assert (found["Status"], found["PhysicalResourceId"]) == ("SUCCESS", PHYSICAL_ID)
    assert found["Data"] == {"customers": "published"}
    [mapping] = service.mappings.values()
    assert mapping["FunctionArn"] == f"{FUNCTION}:customers-v1"
    assert (mapping["StartingPosition"], mapping["BatchSize"]) == ("TRIM_HORIZON", 1000)
    assert service.aliases["customers-v1"]["FunctionVersion"] == "$LATEST"


def test_a_later_deploy_makes_nothing_twice(ask, service):
    ask("Create")
    before = deepcopy(service.mappings)
    service.calls.clear()
    found = ask("Update", PhysicalResourceId=PHYSICAL_ID)
    assert (found["Data"], service.mappings) == ({"customers": "unchanged"}, before)
    assert [name for name, _ in service.calls] == ["CreateAlias", "ListEventSourceMappings"]


def test_only_changed_settings_are_applied_to_a_mapping(ask, service, consumer, monkeypatch):
    ask("Create")
    monkeypatch.setenv(contract.ENV_CONSUMER, json.dumps({**consumer, "BatchSize": 77}))
    ask("Update")
    assert service.calls[-1] == ("UpdateEventSourceMapping", {"UUID": mapping_uuid(1), "BatchSize": 77})


def test_a_broken_builder_fails_the_deploy_with_its_problems(deployment, ask, service):
    (deployment / "customers" / "builder.yaml").write_text("name: customers\nidentifers: {}\n")
    found = ask("Create")
    assert found["Status"] == "FAILED"
    assert "customers/builder.yaml:2" in found["Reason"]
    assert service.calls == []


def test_a_file_that_is_not_utf8_is_named(deployment, ask):
    (deployment / "customers" / "profile.py").write_bytes(b"\xff")
    assert "customers/profile.py: is not UTF-8" in ask("Create")["Reason"]


def test_a_reason_too_long_for_cloudformation_is_cut(deployment, ask):
    lines = "".join(f"ключ{number}: 1\n" for number in range(500))
    (deployment / "customers" / "builder.yaml").write_text(BUILDER + lines)
    assert len(json.dumps(ask("Create"))) < 4096


def test_more_outcomes_than_cloudformation_takes_are_left_out(ask, monkeypatch):
    monkeypatch.setattr(cloudformation_module, "DATA_BYTES_MAX", len('{"customers": "published"}') - 1)
    found = ask("Create")
    assert (found["Status"], found["Data"]) == ("SUCCESS", {"left_out": 1})


@pytest.mark.parametrize("name", [contract.ENV_REGISTRY_TABLE, contract.ENV_CONSUMER])
def test_missing_settings_are_answered_too(ask, monkeypatch, name):
    monkeypatch.delenv(name)
    found = ask("Create")
    assert found["Status"] == "FAILED"
    assert name in found["Reason"]


def test_an_unexpected_error_is_answered_with_its_text(ask, monkeypatch):
    monkeypatch.setenv(contract.ENV_ARCHIVE_BUCKET, "no-such-bucket")
    found = ask("Create")
    assert found["Status"] == "FAILED"
    assert "NoSuchBucket" in found["Reason"]


def test_deletion_removes_the_consumers_and_nothing_else(ask, service, aws):
    ask("Create")
    assert ask("Delete", PhysicalResourceId=PHYSICAL_ID)["Status"] == "SUCCESS"
    assert (service.mappings, service.aliases) == ({}, {})
    assert aws("dynamodb").scan(TableName="registry")["Count"] == 2
    assert ask("Delete", PhysicalResourceId=PHYSICAL_ID)["Status"] == "SUCCESS"


def test_an_answer_keeps_the_physical_id_that_cloudformation_knows(ask):
    assert ask("Update", PhysicalResourceId="other")["PhysicalResourceId"] == "other"


def test_a_mapping_that_somebody_disabled_stays_disabled(ask, service, consumer, monkeypatch):
    ask("Create")
    [mapping] = service.mappings.values()
    mapping["State"] = "Disabled"
    monkeypatch.setenv(contract.ENV_CONSUMER, json.dumps({**consumer, "Enabled": True, "BatchSize": 9}))
    ask("Update")
    assert service.calls[-1] == ("UpdateEventSourceMapping", {"UUID": mapping_uuid(1), "BatchSize": 9})


def test_a_later_version_consumes_from_its_t0(service, consumer):
    consumers = LambdaConsumers(service.client(), FUNCTION)
    consumers.ensure_alias("customers", 2)
    consumers.ensure_mapping("customers", 2, 1_700_000_000_500, consumer)
    [mapping] = service.mappings.values()
    assert mapping["StartingPosition"] == "AT_TIMESTAMP"
    assert mapping["StartingPositionTimestamp"].timestamp() == 1_700_000_000.5


@pytest.fixture
def waits():
    """What was waited, in seconds, instead of waiting."""
    return []


@pytest.fixture
def consumers(service, waits):
    found = LambdaConsumers(service.client(), FUNCTION, wait=waits.append)
    found.ensure_alias("customers", 1)
    return found


@pytest.mark.parametrize("code", [*BUSY, *TOO_EARLY])
def test_a_mapping_that_cannot_be_made_yet_is_waited_for(service, consumers, consumer, waits, code):
    service.errors += [("CreateEventSourceMapping", code)] * 3
    consumers.ensure_mapping("customers", 1, 0, consumer)
    assert len(service.mappings) == 1
    assert len(waits) == 3
    assert waits == sorted(waits)


@pytest.mark.parametrize("code", [*BUSY, *TOO_EARLY])
def test_a_mapping_that_is_refused_for_a_minute_is_given_up(service, consumers, consumer, waits, code):
    service.errors += [("CreateEventSourceMapping", code)] * 100
    with pytest.raises(ClientError, match=code):
        consumers.ensure_mapping("customers", 1, 0, consumer)
    assert 60 <= sum(waits) <= 70


@pytest.mark.parametrize("code", TOO_EARLY)
def test_a_change_that_is_refused_for_good_is_not_repeated(service, consumers, consumer, waits, code):
    consumers.ensure_mapping("customers", 1, 0, consumer)
    service.errors.append(("UpdateEventSourceMapping", code))
    with pytest.raises(ClientError, match=code):
        consumers.ensure_mapping("customers", 1, 0, {**consumer, "BatchSize": 77})
    assert waits == []


def test_all_waits_together_leave_the_function_time_to_answer(service, consumers, consumer, waits):
    service.errors += [("CreateEventSourceMapping", TOO_EARLY[0])] * 1000
    for _ in range(20):
        with pytest.raises(ClientError):
            consumers.ensure_mapping("customers", 1, 0, consumer)
    assert sum(waits) <= SETTLE_S_MAX


@pytest.mark.parametrize("age_s", [None, -1, 0, 12 * 3600])
def test_settings_that_retry_past_half_the_dedup_window_are_refused(consumer, age_s):
    settings = {**consumer, "MaximumRecordAgeInSeconds": age_s}
    if age_s is None:
        del settings["MaximumRecordAgeInSeconds"]
    with pytest.raises(SettingsError):
        read_consumer(json.dumps(settings))
