"""The local cloud's own parts: ports, environment, time to live, one change at a time."""

import base64
import json
import socket
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from local import deploy, engine
from local.cloud import BusyError, LocalCloud
from local.engine import HOST, PORT_FIRST, Endpoint, free_port
from local.engine_main import (
    accept_metric_math,
    change,
    check_statements,
    keep_start,
    lease_as_invoked,
    name_the_alias,
    name_the_stream,
    take_batches_for_what_they_do,
    trust_loopback,
    unpack_once,
)

ENDPOINT = Endpoint(4711, "1-2")


def test_a_port_in_use_is_passed_over(monkeypatch):
    with socket.socket() as taken:
        taken.bind((HOST, 0))  # one that the system knows to be free, whatever else runs here
        taken.listen()
        first = taken.getsockname()[1]
        monkeypatch.setattr(engine, "PORT_FIRST", first)
        assert free_port() > first


def test_another_port_than_the_usual_one_is_told(monkeypatch, tmp_path: Path):
    monkeypatch.setattr("local.cloud.free_port", lambda: PORT_FIRST + 1)
    cloud, told = LocalCloud(tmp_path), []
    monkeypatch.setattr(cloud.engine, "start", lambda *_, **__: ENDPOINT)
    monkeypatch.setattr(cloud, "_deploy", lambda *_: False)
    monkeypatch.setattr(cloud, "start_runner", lambda _: None)
    cloud.start(told.append)
    assert told == ["Starting the local engine", "Port 4566 is in use: taking 4567"]


def test_nothing_of_the_users_aws_setup_reaches_a_command(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "theirs")
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", "123456789012")
    environment = deploy.environment(ENDPOINT, tmp_path)
    assert "AWS_PROFILE" not in environment
    assert "AWS_SESSION_TOKEN" not in environment
    assert "CDK_DEFAULT_ACCOUNT" not in environment
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4711"
    assert environment["AWS_ACCESS_KEY_ID"] == "kithlocalengine"
    assert environment["AWS_CONFIG_FILE"].startswith(str(tmp_path))


class FakeCloudFormation:
    def get_paginator(self, _):
        return self

    def paginate(self, **_):
        return [
            {"StackResourceSummaries": [{"LogicalResourceId": "Profiles", "PhysicalResourceId": "p-1"}]},
            {"StackResourceSummaries": [{"LogicalResourceId": "Pointers", "PhysicalResourceId": "i-1"}]},
        ]


class FakeDynamo:
    def __init__(self) -> None:
        self.set = {"i-1": "expires_at"}

    def describe_time_to_live(self, TableName):  # noqa: N803 - boto3's name
        attribute = self.set.get(TableName)
        return {"TimeToLiveDescription": {"AttributeName": attribute} if attribute else {}}

    def update_time_to_live(self, TableName, TimeToLiveSpecification):  # noqa: N803 - likewise
        assert TableName not in self.set
        self.set[TableName] = TimeToLiveSpecification["AttributeName"]


def test_time_to_live_is_set_where_the_template_says_so_and_it_is_not_set_yet():
    ttl = {"Properties": {"TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True}}}
    dynamo = FakeDynamo()
    template = {"Resources": {"Profiles": ttl, "Pointers": ttl, "Registry": {"Properties": {}}, "Policy": {}}}
    deploy.set_ttl(FakeCloudFormation(), dynamo, template)
    assert dynamo.set == {"p-1": "expires_at", "i-1": "expires_at"}


def test_the_fingerprint_covers_every_folder_that_is_deployed():
    folders = {path.relative_to(deploy.ROOT).parts[0] for path in deploy._source_files()}
    assert {"builders", "infra", "lambdas", "shared", "local", "app.py", "cdk.json"} <= folders
    assert deploy.fingerprint() == deploy.fingerprint()


def test_only_one_command_at_a_time_changes_a_cloud(tmp_path: Path):
    with LocalCloud(tmp_path).locked(), pytest.raises(BusyError), LocalCloud(tmp_path).locked():
        pass
    with LocalCloud(tmp_path).locked():
        pass


def test_stopping_a_cloud_that_does_not_run_is_fine(tmp_path: Path):
    assert not LocalCloud(tmp_path).stop()


def test_the_engine_keeps_the_start_of_a_mapping():
    mappings = {"m1": {}}
    create = keep_start(lambda _: (202, {}, b'{"UUID": "m1"}'), mappings)
    create({"StartingPositionTimestamp": 17})
    assert mappings == {"m1": {"StartingPositionTimestamp": 17}}


def test_the_engine_accepts_alarms_on_metric_math():
    record = accept_metric_math(lambda _, properties: properties)
    assert record("a", {"Metrics": [1], "Threshold": 3}) == {
        "Threshold": 3,
        "MetricName": "MetricMath",
        "Namespace": "NotEvaluatedLocally",
    }
    assert record("a", {"MetricName": "Errors"}) == {"MetricName": "Errors"}


def test_requests_on_this_machine_count_as_encrypted():
    resolve = trust_loopback(lambda key, _: key)
    assert resolve("aws:SecureTransport", None) == "true"
    assert resolve("aws:SourceIp", None) == "aws:SourceIp"


@pytest.mark.parametrize(
    ("arn", "query", "expected"),
    [
        ("arn:aws:lambda:eu-west-1:000000000000:function:f", {"Qualifier": ["v1"]}, ":v1"),
        ("arn:aws:lambda:eu-west-1:000000000000:function:f", {}, ""),
        ("arn:aws:lambda:eu-west-1:000000000000:function:f:v1", {"Qualifier": ["v1"]}, ""),
        ("*", {"Qualifier": ["v1"]}, ""),
    ],
)
def test_the_permission_to_invoke_an_alias_is_that_of_the_alias(arn, query, expected):
    assert name_the_alias(lambda *_: arn)("lambda", "POST", "/", query) == arn + expected


@pytest.mark.parametrize(
    "call",
    [
        {"StreamArn": "arn:of:a:stream"},
        {"ShardIterator": base64.urlsafe_b64encode(b'{"arn": "arn:of:a:stream", "p": 1}').decode()},
    ],
)
def test_the_permission_to_read_a_tables_stream_is_that_of_the_stream(call):
    extract = name_the_stream(lambda *_: "as before")
    body = json.dumps(call).encode()
    assert extract("dynamodbstreams", "POST", "/", {}, body, {}, "eu-west-1", "1") == "arn:of:a:stream"
    assert extract("dynamodb", "POST", "/", {}, body, {}, "eu-west-1", "1") == "as before"
    assert extract("dynamodbstreams", "POST", "/", {}, b"{}", {}, "eu-west-1", "1") == "*"


def test_a_batch_of_messages_is_checked_as_what_is_done_to_each():
    assert take_batches_for_what_they_do(lambda *_: "sqs:SendMessageBatch")("sqs") == "sqs:SendMessage"
    assert take_batches_for_what_they_do(lambda *_: "x:GetBatch")("x") == "x:GetBatch"
    assert take_batches_for_what_they_do(lambda *_: None)("sqs") is None


def test_statements_are_checked_as_what_they_do_to_their_tables():
    check = check_statements(lambda *_: "as before")
    table = "arn:aws:dynamodb:eu-west-1:1:table/profiles"
    statements = ["INSERT INTO \"profiles\" VALUE {'pk': ?}", 'select * from "profiles" where pk = ?']
    body = json.dumps({"Statements": [{"Statement": one} for one in statements]}).encode()
    checked = check("dynamodb:BatchExecuteStatement", body, "eu-west-1", "1")
    assert checked == [("dynamodb:PartiQLInsert", table), ("dynamodb:PartiQLSelect", table)]
    strange = json.dumps({"Statement": "EXPLAIN anything"}).encode()
    assert check("dynamodb:ExecuteStatement", strange, "eu-west-1", "1") == [], "the call itself is checked"
    assert check("dynamodb:TransactWriteItems", b"{}", "eu-west-1", "1") == "as before"


def test_an_engine_without_a_name_that_is_changed_does_not_start():
    with pytest.raises(SystemExit, match="_poll_kinesis"):
        change(object(), "_poll_kinesis", lambda original: original)


def test_the_code_of_a_function_is_unpacked_once_for_all_processes_that_run_it(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    packed = tmp_path / "code.zip"
    for content in ("one", "another"):
        with zipfile.ZipFile(packed, "w") as code:
            code.writestr("lambdas/handler.py", content)
        for process in ("first", "second"):
            folder = tmp_path / f"{process} with {content}"
            folder.mkdir()
            with unpack_once(zipfile).ZipFile(packed) as code:
                code.extractall(folder)
            assert (folder / "lambdas" / "handler.py").read_text() == content
        assert folder.samefile(tmp_path / f"first with {content}")
    assert len(list((tmp_path / "unpacked").iterdir())) == 2


def test_a_function_is_run_with_the_settings_it_is_invoked_with():
    """Though one that had begun before these changed has started a process with those of before."""
    process, killed = SimpleNamespace(config={"RevisionId": "before"}, code_zip=b"before"), []
    lease = lease_as_invoked(lambda *_, **__: (process, "reused"), killed.extend)
    now = {"RevisionId": "now"}
    assert lease("function", now, b"now", qualifier="$LATEST") == (process, "reused")
    assert (killed, process.config, process.code_zip) == ([process], now, b"now")
    lease("function", dict(now), b"now", qualifier="$LATEST")
    assert killed == [process]


def test_a_function_that_may_not_run_once_more_has_no_process_to_start_anew():
    lease = lease_as_invoked(lambda *_: (None, "func_cap"), lambda _: None)
    assert lease("function", {}, b"") == (None, "func_cap")
