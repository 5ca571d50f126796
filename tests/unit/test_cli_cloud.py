"""The commands that talk to a deployed stack: send, get, events, quarantine."""

import dataclasses
import json
from base64 import b64decode

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from cli.main import app
from shared import contract
from shared.adapters.clock import SystemClock
from shared.adapters.dynamo.store import DynamoStore
from shared.adapters.quarantine import S3Quarantine
from shared.adapters.registry import DynamoRegistry
from shared.adapters.s3 import S3Objects
from shared.app.frozen import freeze
from shared.app.ingest import Ingest
from shared.app.quarantine import entry_of
from shared.app.registry import Status, Version
from shared.core.compile import Builder
from shared.runtime import aws
from tests.kinesis import envelope
from tests.moto_cloud import create_bucket, create_registry_table, moto_clients
from tests.people import DAY, a_definition, an_event, contributions_of

REGION = "eu-central-1"
NAMES = {
    contract.OUTPUT_STREAM: "events",
    contract.OUTPUT_PROFILES_TABLE: "profiles",
    contract.OUTPUT_IDENTIFIERS_TABLE: "identifiers",
    contract.OUTPUT_REGISTRY_TABLE: "registry",
    contract.OUTPUT_ARCHIVE_BUCKET: "archive",
    contract.OUTPUT_ARCHIVE_RETENTION: "forever",
    contract.OUTPUT_REBUILD: f"arn:aws:states:{REGION}:123456789012:stateMachine:rebuild",
    contract.OUTPUT_INGEST_FUNCTION: f"arn:aws:lambda:{REGION}:123456789012:function:ingest",
}
DEFINITION = a_definition()
BUILDER = Builder(DEFINITION)
CLOCK = SystemClock()
NOW = CLOCK.now_us() // 1000


def kith(*arguments, stage="dev", **options):
    return CliRunner().invoke(app, [*map(str, arguments), "--stage", stage], **options)


@pytest.fixture(scope="module")
def clients():
    """A stack `kith-dev` with one builder, version 1 of which is active."""
    with moto_clients(REGION) as client:
        create_tables(client("dynamodb"))
        create_bucket(client("s3"), NAMES[contract.OUTPUT_ARCHIVE_BUCKET], REGION)
        client("kinesis").create_stream(StreamName=NAMES[contract.OUTPUT_STREAM], ShardCount=2)
        publish(client, DEFINITION.name)
        yield client


class FakeCloudFormation:
    """Knows one stack; moto's CloudFormation would need half of all services installed."""

    def describe_stacks(self, *, StackName):  # noqa: N803 - an argument of AWS
        if StackName != "kith-dev":
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        outputs = [{"OutputKey": name, "OutputValue": value} for name, value in NAMES.items()]
        return {"Stacks": [{"Outputs": outputs}]}


@pytest.fixture(autouse=True)
def _aws(clients, monkeypatch):
    monkeypatch.setattr(
        aws,
        "client",
        lambda service: FakeCloudFormation() if service == "cloudformation" else clients(service),
    )


def create_tables(dynamodb):
    create_registry_table(dynamodb, NAMES[contract.OUTPUT_REGISTRY_TABLE])
    keys = {
        contract.OUTPUT_PROFILES_TABLE: {contract.PROFILES_PK: "HASH", contract.PROFILES_SK: "RANGE"},
        contract.OUTPUT_IDENTIFIERS_TABLE: {contract.IDENTIFIERS_PK: "HASH"},
    }
    for output, schema in keys.items():
        dynamodb.create_table(
            TableName=NAMES[output],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in schema.items()],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in schema],
            BillingMode="PAY_PER_REQUEST",
        )


def publish(client, name):
    data, sha256 = freeze(a_definition(name=name), {})
    key = contract.definition_key(name, "1", sha256)
    client("s3").put_object(Bucket=NAMES[contract.OUTPUT_ARCHIVE_BUCKET], Key=key, Body=data)
    registry = DynamoRegistry(NAMES[contract.OUTPUT_REGISTRY_TABLE], REGION)
    version = Version(
        builder=name,
        version=1,
        status=Status.BUILDING,
        definition_key=key,
        sha256=sha256,
        t0=0,
        created_at=NOW,
        created_by="test",
    )
    registry.add(version)
    registry.activate(version, None)


def ingest(client, *events, builder=BUILDER, version=1):
    store = DynamoStore(
        client("dynamodb"),
        builder,
        version,
        NAMES[contract.OUTPUT_PROFILES_TABLE],
        NAMES[contract.OUTPUT_IDENTIFIERS_TABLE],
        CLOCK,
    )
    outcome = Ingest(builder, store, CLOCK).run(contributions_of(builder, events))
    assert not outcome.failed


def records(client):
    """Return all that is on the stream, as (partition key, event)."""
    kinesis = client("kinesis")
    found = []
    for shard in kinesis.list_shards(StreamName="events")["Shards"]:
        iterator = kinesis.get_shard_iterator(
            StreamName="events", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        got = kinesis.get_records(ShardIterator=iterator)["Records"]
        found += [(one["PartitionKey"], json.loads(one["Data"])) for one in got]
    return found


def test_a_file_is_sent_whole_and_plainly_when_piped(clients, tmp_path):
    file = tmp_path / "events.jsonl"
    file.write_text("".join(f'{{"anonymousId": "sent-{number}"}}\n' for number in range(1200)))
    result = kith("send", file)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("sent 1200 events in ")
    assert result.stderr == "", "no progress bar"
    sent = sorted(one for one in records(clients) if one[0].startswith("sent-"))
    assert len(sent) == 1200
    assert all(key == body["anonymousId"] for key, body in sent)


def test_stdin_is_sent_and_an_event_without_anonymous_id_goes_by_its_best_identifier(clients):
    result = kith("send", "-", input='{"userId": "by-user", "traits": {"email": "x@example.com"}}\n')
    assert result.exit_code == 0, result.stderr
    assert "by-user" in [key for key, _ in records(clients)]
    result = kith("send", "-", "--builder", "people", input='{"traits": {"email": " BY@mail.example.com"}}\n')
    assert result.exit_code == 0, result.stderr
    assert "by@mail.example.com" in [key for key, _ in records(clients)]


def test_lines_that_are_no_events_are_reported_and_the_rest_is_sent(clients):
    bad = b"{nope\n" * 12
    good = b'\xef\xbb\xbf{"anonymousId": "first"}\n', b'{"anonymousId": "after-bad"}\n'
    result = kith("send", "-", input=good[0] + bad[:-6] + b"x" * 5_000_000 + b"\n" + good[1])
    assert result.exit_code == 1
    assert result.stdout.startswith("sent 2 events in ")
    assert "line 2: not_json: " in result.stderr
    assert "... and 2 more" in result.stderr
    assert "12 lines are no events and were not sent" in result.stderr
    assert "after-bad" in [key for key, _ in records(clients)]


def test_a_file_that_does_not_exist_is_told_in_a_sentence():
    result = kith("send", "no-such-file")
    assert result.exit_code == 1
    assert result.stderr == "kith: no-such-file cannot be read: No such file or directory\n"


def test_a_profile_is_read_by_identifier_and_by_id_as_canonical_json(clients):
    ingest(
        clients,
        an_event(
            messageId="1",
            userId="g1",
            anonymousId="gc1",
            arrival=NOW - 5,
            type="identify",
            traits={"name": "Zoë", "age": 1.50},
            properties={"page": "/a"},
        ),
        an_event(messageId="2", userId="g1", arrival=NOW, event="Order", properties={"total": "125.50"}),
    )
    result = kith("get", "user_id", " g1 ", "--json")
    assert result.exit_code == 0, result.stderr
    profile = json.loads(result.stdout)
    assert list(profile) == sorted(profile)
    assert profile["identifiers"] == {"user_id": ["g1"], "cookie_id": ["gc1"]}
    assert profile["attributes"]["spent"] == 125.5
    assert profile["event_count"] == 2
    assert "Zoë" in result.stdout
    assert kith("get", "--id", profile["profile_id"], "--json").stdout == result.stdout
    assert (
        kith("get", "cookie_id", "gc1", "--builder", "people", "--version", 1, "--json").stdout
        == result.stdout
    )


def test_a_profile_is_plain_text_when_piped(clients):
    pages = [f"/{number}" for number in range(9)]
    ingest(clients, an_event(messageId="p1", userId="plain", arrival=NOW, properties={"pages": pages}))
    result = kith("get", "user_id", "plain")
    lines = result.stdout.splitlines()
    assert "identifiers" in lines
    assert "  user_id: plain" in lines
    assert "  pages: 9, the last 5" in lines
    assert lines[lines.index("  pages: 9, the last 5") + 1].endswith("  /4")
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("arguments", [("user_id", "nobody"), ("--id", "nobody")])
def test_a_profile_that_is_not_there_exits_with_1(clients, arguments):
    assert clients
    result = kith("get", *arguments)
    assert result.exit_code == 1
    assert "no profile of builder people, version 1" in result.stderr
    assert "nobody" not in result.stderr
    assert result.stdout == ""


def test_an_expired_profile_exits_with_1(clients):
    ingest(clients, an_event(messageId="old", anonymousId="old", arrival=NOW - 40 * DAY))
    assert kith("get", "cookie_id", "old").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("phone", "1"), "no identifier phone; it has user_id, email, cookie_id"),
        (("user_id", "u", "--builder", "nobody"), "builders that have one: people"),
        (("user_id", "u", "--version", "7"), "builder people has no version 7"),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(clients, arguments, message):
    assert clients
    result = kith("get", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr


def test_a_row_or_a_definition_that_is_damaged_is_told(clients):
    row = {contract.REGISTRY_PK: {"S": "people"}, contract.REGISTRY_SK: {"S": contract.registry_version(2)}}
    clients("dynamodb").put_item(TableName=NAMES[contract.OUTPUT_REGISTRY_TABLE], Item=row)
    try:
        result = kith("get", "user_id", "u", "--version", 2)
    finally:
        clients("dynamodb").delete_item(TableName=NAMES[contract.OUTPUT_REGISTRY_TABLE], Key=row)
    assert (result.exit_code, result.stderr) == (
        1,
        "kith: the registry's row of version 2 of people is damaged\n",
    )


def test_a_stage_that_is_not_deployed_is_told():
    result = kith("get", "user_id", "u", stage="nowhere")
    assert result.exit_code == 1
    assert "there is no stack kith-nowhere" in result.stderr


def test_events_tells_where_values_come_from(clients):
    ingest(
        clients,
        an_event(messageId="e1", userId="e1", arrival=NOW - 9, properties={"page": "/first", "total": 2}),
        an_event(messageId="e2", anonymousId="ec", arrival=NOW - 8),
        an_event(
            messageId="e3", userId="e1", anonymousId="ec", arrival=NOW - 7, properties={"page": "/next"}
        ),
    )
    told = json.loads(kith("events", "user_id", "e1", "--json").stdout)
    assert told["attributes"]["first_page"]["first"]["event_id"] == "e1"
    assert told["merges"][0]["linked_by"] == ["user_id", "cookie_id"]
    lines = kith("events", "user_id", "e1").stdout.splitlines()
    assert any(line.startswith("  first_page: first /first at ") for line in lines)
    assert "  events: count of all its events, none kept" in lines
    assert any(line.endswith("linked by user_id, cookie_id") for line in lines)


@pytest.fixture
def entry(clients):
    """One entry in quarantine."""
    store = S3Quarantine(S3Objects(clients("s3"), NAMES[contract.OUTPUT_ARCHIVE_BUCKET]))
    envelope = {
        "eventID": "shard-0:17",
        "kinesis": {
            "data": "e25vcGU=",
            "sequenceNumber": "17",
            "approximateArrivalTimestamp": NOW / 1000,
        },
    }
    entry = entry_of("people", 1, envelope, "not_json", "JSON is malformed")
    store.put([entry])
    yield entry
    for stored in list(store.list()):
        store.delete(stored)


def test_quarantine_lists_and_shows_its_entries(entry):
    assert kith("quarantine", "list").stdout.split()[0] == entry.id
    (listed,) = kith("quarantine", "list", "--json", "--reason", "not_json").stdout.splitlines()
    assert json.loads(listed)["detail"] == "JSON is malformed"
    assert kith("quarantine", "list", "--reason", "too_deep").stdout == "nothing matches\n"
    shown = json.loads(kith("quarantine", "show", entry.id, "--json").stdout)
    assert shown["data"] == b64decode("e25vcGU=").decode()
    lines = kith("quarantine", "show", entry.id).stdout.splitlines()
    assert {"data: {nope", "reasons: not_json (1)"} <= set(lines)


def test_what_is_no_entry_is_told_once_the_others_are_gone_through(clients, entry):
    bucket, broken = NAMES[contract.OUTPUT_ARCHIVE_BUCKET], "people/v1/dt=2026-01-01/broken"
    key = f"{contract.PREFIX_QUARANTINE}{broken}.json"
    clients("s3").put_object(Bucket=bucket, Key=key, Body=b"{}")
    try:
        results = [kith("quarantine", *one) for one in (("list",), ("replay", "--all"), ("show", broken))]
    finally:
        clients("s3").delete_object(Bucket=bucket, Key=key)
    for result in results:
        assert (result.exit_code, result.stderr.count("is no entry of quarantine")) == (1, 1)
    assert results[0].stdout.split()[0] == entry.id
    assert "orphaned: 1" in results[1].stdout


def test_many_entries_are_listed_by_id(clients, entry):
    store = S3Quarantine(S3Objects(clients("s3"), NAMES[contract.OUTPUT_ARCHIVE_BUCKET]))
    store.put([dataclasses.replace(entry, sequence=f"{number:03}") for number in range(40)])
    listed = [line.split()[0] for line in kith("quarantine", "list").stdout.splitlines()]
    assert len(listed) == 41
    assert listed == sorted(listed)


def test_nothing_that_an_event_says_reaches_a_terminal_as_a_command(clients):
    evil = "\x1b[2J\x1b]0;owned\x07"
    traits = {"type": "identify", "traits": {f"name{evil}": evil}}
    ingest(clients, an_event(messageId=f"evil{evil}", userId=f"evil{evil}", arrival=NOW, **traits))
    store = S3Quarantine(S3Objects(clients("s3"), NAMES[contract.OUTPUT_ARCHIVE_BUCKET]))
    record = envelope(f"{{nope{evil}\n".encode(), sequence="9")
    store.put([bad := entry_of("people", 1, record, "not_json", "JSON is malformed")])
    told = [
        kith("get", "user_id", f"evil{evil}"),
        kith("events", "user_id", f"evil{evil}"),
        kith("quarantine", "list"),
        kith("quarantine", "show", bad.id),
    ]
    for stored in list(store.list()):
        store.delete(stored)
    for one in told:
        assert one.exit_code == 0, one.stderr
        assert one.stdout.replace("\n", "").isprintable()
    assert r"data: {nope\x1b[2J" in told[-1].stdout


def test_an_empty_quarantine_says_so(clients):
    assert clients
    assert kith("quarantine", "list").stdout == "nothing is in quarantine\n"
    assert kith("quarantine", "list", "--json").stdout == ""


def test_an_entry_that_does_not_exist_is_told(clients):
    assert clients
    for command in ("show", "replay"):
        result = kith("quarantine", command, "people/v1/dt=2026-01-01/s-1-0")
        assert result.exit_code == 1
        assert "kith quarantine list" in result.stderr


def test_an_entry_whose_version_is_gone_stays_and_exits_with_1(entry):
    result = kith("quarantine", "replay", "--all", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["orphaned"] == [entry.id]


def test_of_several_builders_one_must_be_named(clients):
    publish(clients, "zoo")
    result = kith("get", "user_id", "u")
    assert result.exit_code == 1
    assert "--builder (people, zoo)" in result.stderr
