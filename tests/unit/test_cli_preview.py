"""`kith preview`: a draft or a folder, over samples or archived events, beside the active version."""

import json
import re

import pytest
from botocore.exceptions import EndpointConnectionError
from typer.testing import CliRunner

from cli.main import app
from shared import contract
from shared.core.archive import archive_line, archive_object, object_key
from shared.core.compile import Builder
from shared.core.grammar import parse_definition
from shared.core.records import Record
from tests.people import DAY, an_event
from tests.unit.test_cli_cloud import NAMES, NOW, ingest
from tests.unit.test_cli_publishing import CHANGED, YAML, clients, cloud, kith

__all__ = ["clients", "cloud"]  # fixtures

EVENTS = [
    {"messageId": "1", "timestamp": "2026-09-01T10:00:00Z", "userId": "ann"},
    {"messageId": "2", "timestamp": "2026-09-01T11:00:00Z", "userId": "ann", "traits": {"email": "a@b.com"}},
]


@pytest.fixture
def folder(tmp_path):
    """A changed folder of the builder, with samples."""
    path = tmp_path / "people"
    (path / "samples").mkdir(parents=True)
    (path / "builder.yaml").write_text(CHANGED)
    lines = "".join(json.dumps(one) + "\n" for one in EVENTS)
    (path / "samples" / "events.jsonl").write_text(lines)
    return path


@pytest.mark.usefixtures("cloud")
def test_a_folder_is_run_over_its_samples(folder):
    result = kith("preview", folder)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "active version 1: 2 events, 1 profile"
    assert lines[1] == "draft of people: 2 events, 1 profile"
    assert lines[2:4] == ["1 profile, 1 different:", "  identifiers.email  in 1"]
    assert lines[5].startswith("profile ")
    assert lines[5].endswith(" (user_id ann)")
    assert lines[6].split() == ["version", "1", "draft"]
    assert lines[7].split() == ["identifiers.email", "-", "a@b.com"]
    assert len(lines) == 8


@pytest.mark.usefixtures("cloud")
def test_all_values_are_shown_when_asked_for(folder):
    lines = kith("preview", folder, "--all").stdout.splitlines()
    assert any(line.split() == ["event_count", "2", "2"] for line in lines)


def test_a_draft_is_run_over_a_file(cloud, folder):
    kith("draft", folder)
    told = json.loads(kith("preview", "--events", folder / "samples" / "events.jsonl", "--json").stdout)
    assert (told["builder"], told["active_version"]) == ("people", 1)
    assert told["draft"] == {"profiles": 1, "tally": {"events_in": 2, **_rest(told)}}
    assert told["profiles"][0]["changed"] == ["identifiers.email"]
    assert told["profiles"][0]["draft"]["identifiers"]["email"] == ["a@b.com"]
    assert cloud.registry.version("people", 2) is None


def _rest(told):
    return {name: count for name, count in told["draft"]["tally"].items() if name != "events_in"}


@pytest.mark.usefixtures("cloud")
def test_a_draft_that_changes_nothing_is_told_so(folder):
    (folder / "samples" / "events.jsonl").write_text(json.dumps(EVENTS[0]))
    assert "1 profile, all the same" in kith("preview", folder).stdout


@pytest.mark.usefixtures("cloud")
def test_what_a_transformation_does_is_part_of_it(folder):
    (folder / "transform.py").write_text(
        "def transform(event, context):\n"
        "    if event['messageId'] == '2':\n"
        "        raise ValueError('a@b.com')\n"
    )
    lines = kith("preview", folder).stdout.splitlines()
    assert lines[1].startswith("draft of people: 2 events, 1 profile, 1 quarantined (")


@pytest.mark.usefixtures("cloud")
def test_code_of_both_sides_is_run_with_the_hash_seed_of_the_cloud(folder, monkeypatch):
    asked = []
    monkeypatch.setattr("cli.hashing.repeatable", lambda files: asked.append(set(files)))
    (folder / "transform.py").write_text("def transform(event, context): pass\n")
    assert kith("preview", folder).exit_code == 0
    assert [{"builder.yaml", "transform.py"}, {"builder.yaml"}] == asked


PROFILE = """
def profile(events, user, context):
    print("computing with", context.env["KEY"])
    seen = [event["messageId"] for event in events]
    if "fail" in user.identifiers["user_id"]:
        raise ValueError(context.env["KEY"])
    return {"traits": {"seen": len(seen), "key": context.env["KEY"], "bad": {"": 1}}, "profile_id": "p"}
"""
CHAIN = """
def transform(event, context):
    match event["messageId"]:
        case "dropped": return "drop"
        case "changed": return {**event, "context": {"ip": "1.2.3.4"}}
        case "twice": return [event, event]
        case "failed": raise ValueError(context.env["KEY"])
"""


@pytest.mark.usefixtures("cloud")
def test_what_code_does_is_told_without_what_events_say_and_secrets(folder, monkeypatch):
    monkeypatch.setenv("KEY", "s3cret")
    (folder / "builder.yaml").write_text(CHANGED + "env: {KEY: {secret: kith/key}}\n")
    (folder / "transform.py").write_text(CHAIN)
    (folder / "profile.py").write_text(PROFILE)
    ids = ["same", "dropped", "changed", "twice", "failed"]
    events = [{**EVENTS[0], "messageId": one} for one in ids] + [EVENTS[1] | {"userId": "fail"}]
    (folder / "samples" / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    result = kith("preview", folder)
    assert result.exit_code == 0, result.stderr
    assert "s3cret" not in result.stdout + result.stderr
    assert "1.2.3.4" not in result.stdout
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    [start] = [number for number, line in enumerate(lines) if line.startswith("transform.py of the draft: 6")]
    assert lines[start + 1 : start + 5] == [
        "dropped dropped",
        "changed changed context",
        "made more twice 2 events",
        "failed failed transform_error: ValueError at transform.py:7",
    ]
    assert re.fullmatch(
        r"profile\.py of the draft: 2 profiles in [\d.]+ ms, [\d.]+ ms each", lines[start + 5]
    )
    assert re.fullmatch(r"left out [0-9a-f]{32} 1 name", lines[start + 6])
    assert re.fullmatch(r"failed [0-9a-f]{32} function_error: ValueError at profile\.py:6", lines[start + 7])
    assert "traits.key - ***" in lines
    assert "traits.seen - 4" in lines
    assert "profile.py: info: computing with ***" in result.stderr
    told = json.loads(kith("preview", folder, "--json").stdout)
    assert told["code"]["profile.py"]["runs"] == 2
    assert [one["became"] for one in told["code"]["transform.py"]["notes"]] == [
        "dropped", "changed", "made more", "failed",
    ]  # fmt: skip
    assert "s3cret" not in json.dumps(told)


@pytest.mark.usefixtures("cloud")
def test_archived_events_of_one_person_are_run(clients, folder):
    arrival = NOW - DAY
    event = an_event(messageId="1", userId="archived", arrival=arrival)
    ingest(clients, event, builder=Builder(parse_definition(YAML)))
    records = [
        Record(json.dumps(EVENTS[1] | {"userId": name}).encode(), arrival, "shard-0", str(number))
        for number, name in enumerate(("archived", "another"))
    ]
    clients("s3").put_object(
        Bucket=NAMES[contract.OUTPUT_ARCHIVE_BUCKET],
        Key=object_key(arrival, "shard-0", "0", "1"),
        Body=archive_object(archive_line(one, "") for one in records),
    )
    result = kith("preview", folder, "--identifier", "user_id=archived")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "active version 1: 2 events, 2 profiles"
    assert lines[1] == "draft of people: 2 events, 1 profile", "it links the two by email"
    assert kith("preview", folder, "--identifier", "user_id=nobody").exit_code == 1


@pytest.mark.usefixtures("cloud")
def test_what_is_missing_is_told(folder):
    assert "has no draft: `kith preview DIR` runs a folder" in kith("preview", "people").stderr
    (folder / "samples" / "events.jsonl").unlink()
    assert "--events" in kith("preview", folder).stderr
    wrong = kith("preview", folder, "--events", folder / "builder.yaml", "--identifier", "user_id=ann")
    assert wrong.exit_code == 2


@pytest.fixture
def no_cloud(folder, monkeypatch):
    """No cloud runs, none ever did, and nobody has an account."""
    monkeypatch.chdir(folder.parent)

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr("shared.runtime.aws.client", refuse)
    return folder


def test_without_a_cloud_a_folder_is_run_alone(no_cloud):
    runs = CliRunner().invoke(app, ["preview", str(no_cloud)])
    assert runs.exit_code == 0, runs.stderr
    lines = runs.stdout.splitlines()
    assert lines[:3] == [
        "draft of people: 2 events, 1 profile",
        "no active version to compare it with",
        "",
    ]
    assert lines[4].split() == ["draft"]
    assert ["identifiers.email", "a@b.com"] in [line.split() for line in lines]


def test_without_a_cloud_drafts_and_people_cannot_be_run(no_cloud):
    for arguments in (["shop"], [], [str(no_cloud), "--identifier", "user_id=ann"]):
        runs = CliRunner().invoke(app, ["preview", *arguments])
        assert (runs.exit_code, runs.stdout) == (1, "")
        assert "make run" in runs.stderr


def test_a_cloud_that_no_longer_runs_is_as_good_as_none(no_cloud, monkeypatch):
    def gone(_):
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")

    monkeypatch.setattr("cli.publishing.publisher_of", gone)
    monkeypatch.setattr("cli.target.resolve", lambda _: None)
    runs = CliRunner().invoke(app, ["preview", str(no_cloud)])
    assert runs.exit_code == 0, runs.stderr
    assert "no active version" in runs.stdout


@pytest.mark.usefixtures("no_cloud")
def test_a_line_of_any_length_is_read_by_its_beginning(folder):
    file = folder / "samples" / "events.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes() + b"x" * 5_000_000 + b"\n")
    runs = CliRunner().invoke(app, ["preview", str(folder)])
    assert runs.stdout.startswith("draft of people: 3 events, 1 profile, 1 quarantined (too_large)")
