"""`make run` and `make stop`: what they do and what they say, without a cloud."""

from pathlib import Path

import pytest
from rich.console import Console

from local import run, stop
from local.cloud import Connection, LocalCloud
from local.drafts import drafts
from shared import contract

OUTPUTS = {contract.OUTPUT_REGISTRY_TABLE: "registry", contract.OUTPUT_PROFILES_TABLE: "profiles"}


class FakeDynamo:
    """Tables of one page each."""

    def __init__(self, **tables: list[dict]) -> None:
        self.tables = tables

    def get_paginator(self, operation):
        assert operation == "scan"
        return self

    def paginate(self, TableName, **_):  # noqa: N803 - boto3's name
        return [{"Items": self.tables[TableName]}]


def registered(builder, version, **values):
    return {"builder": {"S": builder}, "version": {"S": version}} | values


def profile(**identifiers):
    return {"identifiers": {"M": {kind: {"SS": values} for kind, values in identifiers.items()}}}


ACTIVE = registered("customers", "active", active_version={"N": "1"})
VERSION = registered("customers", "00000001")
DRAFT = registered("customers", "draft")


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch) -> LocalCloud:
    """A cloud that starts at once and is caught up."""
    cloud = LocalCloud(tmp_path)
    monkeypatch.setattr(LocalCloud, "start", lambda _, tell: tell("Starting"))
    monkeypatch.setattr(LocalCloud, "is_caught_up", lambda _: True)
    connection = Connection("http://127.0.0.1:4711", "eu-west-1", "local", OUTPUTS, "key", "secret")
    monkeypatch.setattr(LocalCloud, "connection", lambda _: connection)
    return cloud


@pytest.fixture
def dynamo(monkeypatch) -> FakeDynamo:
    dynamo = FakeDynamo(registry=[ACTIVE, VERSION], profiles=[profile(user_id=["u1"], cookie_id=["c1"])])
    monkeypatch.setattr(run, "_dynamodb", lambda _: dynamo)
    return dynamo


@pytest.fixture
def commands(monkeypatch) -> list[tuple[str, ...]]:
    """The commands of `kith` that were run."""
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(run, "_kith", lambda _, *arguments: commands.append(arguments))
    return commands


def printed(cloud: LocalCloud) -> str:
    console = Console(highlight=False, soft_wrap=True, record=True)
    assert run._run(cloud, console) == 0
    return console.export_text()


@pytest.mark.usefixtures("dynamo")
def test_a_new_cloud_gets_the_sample_stream_once(cloud, commands):
    assert "Sending the sample stream" in printed(cloud)
    assert commands == [("send", str(run.SAMPLES)), ("get", "user_id", "u1")]
    commands.clear()
    assert "Sending the sample stream" not in printed(cloud)
    assert commands == [("get", "user_id", "u1")]


@pytest.mark.usefixtures("dynamo")
def test_a_sample_stream_that_was_not_folded_is_sent_again(cloud, commands, monkeypatch):
    monkeypatch.setattr(LocalCloud, "is_caught_up", lambda _: False)
    monkeypatch.setattr(run, "FOLD_S_MAX", 0)
    with pytest.raises(run.RunError, match="not folded within 0 seconds"):
        printed(cloud)
    monkeypatch.setattr(LocalCloud, "is_caught_up", lambda _: True)
    printed(cloud)
    assert [command[0] for command in commands] == ["send", "send", "get"]


def test_waiting_ends_when_every_record_is_dealt_with(cloud, monkeypatch):
    answers = iter([False, False, True])
    monkeypatch.setattr(LocalCloud, "is_caught_up", lambda _: next(answers))
    monkeypatch.setattr(run, "POLL_S", 0)
    run._wait_until_folded(cloud)
    assert list(answers) == []


def test_the_profiles_shown_are_those_with_the_most_kinds_of_identifiers(cloud, dynamo):
    dynamo.tables["profiles"] = [
        profile(cookie_id=["c1", "c2", "c3"]),
        profile(user_id=["u2"], cookie_id=["c4"]),
        profile(user_id=["u3"], email=["e3"], cookie_id=["c5"]),
        {"identifiers": {"M": {"cookie_id": {"L": [{"S": "c6"}]}}}},
        {},  # what a merged profile has left
    ]
    assert run._some_identifiers(cloud) == [("user_id", "u3"), ("user_id", "u2"), ("cookie_id", "c1")]


def test_a_command_that_fails_ends_the_run(cloud, monkeypatch):
    monkeypatch.setattr(run, "KITH", "/bin/false")
    monkeypatch.setattr(LocalCloud, "environment", lambda _: {})
    with pytest.raises(run.RunError, match="kith send failed"):
        run._kith(cloud, "send")


@pytest.mark.usefixtures("commands")
def test_a_changed_builder_is_told(cloud, dynamo):
    assert "draft" not in printed(cloud)
    dynamo.tables["registry"].append(DRAFT)
    assert "customers: changed; kept as a draft, version 1 goes on until it is published\n" in printed(cloud)


def test_only_drafts_of_builders_with_an_active_version_count():
    other = registered("shops", "draft")
    assert list(drafts(FakeDynamo(registry=[other, DRAFT, VERSION, ACTIVE]), "registry")) == [
        ("customers", 1)
    ]


def test_stopping_again_is_fine(cloud, monkeypatch, capsys):
    monkeypatch.setattr(stop, "LocalCloud", lambda: cloud)
    ran = iter([True, False])
    monkeypatch.setattr(LocalCloud, "stop", lambda _: next(ran))
    assert [stop.main(), stop.main()] == [0, 0]
    assert capsys.readouterr().out == "The local cloud is stopped.\nThe local cloud did not run.\n"


@pytest.mark.parametrize("command", [run, stop])
def test_two_commands_at_once_do_not_disturb_each_other(command, cloud, monkeypatch, capsys):
    monkeypatch.setattr(command, "LocalCloud", lambda: cloud)
    with cloud.locked():
        assert command.main() == 1
    assert "another make run or make stop is at work" in capsys.readouterr().err


def test_an_interrupted_run_says_how_to_go_on(cloud, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "LocalCloud", lambda: cloud)
    monkeypatch.setattr(LocalCloud, "start", interrupted)
    assert run.main() == 130
    assert "make run goes on from here" in capsys.readouterr().err
