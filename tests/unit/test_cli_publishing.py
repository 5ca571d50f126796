"""The commands that publish: draft, publish, builds, versions, rollback, cancel."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cli import builds, publishing
from cli.main import app
from cli.target import Target
from shared import contract
from shared.adapters.registry import DynamoProgress, DynamoRegistry
from shared.adapters.s3 import S3Objects
from shared.app.deploy import Deployer
from shared.app.executions import Execution
from shared.app.folders import BuilderFolder
from shared.app.losses import DAY_MS
from shared.app.registry import Status
from shared.runtime import aws
from tests.fakes.consumers import FakeConsumers
from tests.fakes.executions import FakeExecutions
from tests.moto_cloud import create_bucket, empty_registry_table, moto_clients
from tests.people import an_event
from tests.unit.test_cli_cloud import NAMES, REGION, FakeCloudFormation, create_tables, ingest

YAML = "name: people\nidentifiers:\n  user_id: {from: userId, known: true}\n"
CHANGED = YAML + "  email: {from: traits.email}\n"
NOW = 1_790_000_000_000


def kith(*arguments, stage="dev"):
    return CliRunner().invoke(app, [*map(str, arguments), "--stage", stage])


@pytest.fixture(scope="module")
def clients():
    with moto_clients(REGION) as client:
        create_tables(client("dynamodb"))
        create_bucket(client("s3"), NAMES[contract.OUTPUT_ARCHIVE_BUCKET], REGION)
        yield client


class Cloud:
    def __init__(self, client) -> None:
        self.client = client
        self.registry = DynamoRegistry(NAMES[contract.OUTPUT_REGISTRY_TABLE], REGION)
        self.progress = DynamoProgress(NAMES[contract.OUTPUT_REGISTRY_TABLE], REGION)
        self.objects = S3Objects(client("s3"), NAMES[contract.OUTPUT_ARCHIVE_BUCKET])
        self.executions = FakeExecutions()

    def deploy(self, name="people", text=YAML):
        deployer = Deployer(self.registry, self.objects, FakeConsumers())
        deployer.deploy([BuilderFolder(name, {"builder.yaml": text})], {}, NOW)

    def activate(self, number):
        row = self.registry.version("people", number)
        was = self.registry.active().get("people")
        self.registry.activate(replace(row, finished_at=row.created_at + 60_000), was)
        old = self.registry.version("people", was)
        self.registry.replace(old, replace(old, status=Status.RETIRED))

    def fail(self, number, reason):
        row = self.registry.version("people", number)
        self.registry.replace(
            row, replace(row, status=Status.FAILED, reason=reason, finished_at=row.created_at + 9_000)
        )


@pytest.fixture
def cloud(clients, monkeypatch):
    """A stack `kith-dev` that has deployed one builder."""
    made = Cloud(clients)
    services = {"cloudformation": FakeCloudFormation(), "sts": FakeSts()}
    monkeypatch.setattr(aws, "client", lambda service: services.get(service) or clients(service))
    monkeypatch.setattr(publishing, "executions_of", lambda _: made.executions)
    monkeypatch.setattr(builds, "POLL_S", 0.0)
    monkeypatch.setattr(builds, "STUCK_POLLS_MAX", 0)
    empty_registry_table(clients("dynamodb"), NAMES[contract.OUTPUT_REGISTRY_TABLE])
    made.deploy()
    return made


class FakeSts:
    def get_caller_identity(self):
        return {"Arn": "arn:aws:sts::123456789012:assumed-role/Admin/ann"}


@pytest.fixture
def folder(tmp_path):
    """A changed folder of the builder."""
    path = tmp_path / "people"
    path.mkdir()
    (path / "builder.yaml").write_text(CHANGED)
    return path


@pytest.fixture
def drafted(cloud, folder):
    assert kith("draft", folder).exit_code == 0
    return cloud


def test_a_changed_folder_becomes_a_draft(cloud, folder):
    result = kith("draft", folder)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == "people has a draft: 1 line changed since version 1"
    assert cloud.registry.draft("people").created_by == "assumed-role/Admin/ann"


@pytest.mark.usefixtures("drafted")
def test_a_draft_is_shown_as_its_difference():
    lines = kith("draft").stdout.splitlines()
    assert lines[0].startswith("draft of people, by assumed-role/Admin/ann at 20")
    assert lines[0].endswith("; the active version is 1")
    assert lines[1:3] == ["--- version-1/builder.yaml", "+++ draft/builder.yaml"]
    assert lines[-1] == "+  email: {from: traits.email}"
    told = json.loads(kith("draft", "--builder", "people", "--json").stdout)
    assert told["difference"][-1] == "+  email: {from: traits.email}"
    assert (told["active_version"], told["draft"]["created_by"]) == (1, "assumed-role/Admin/ann")


@pytest.mark.usefixtures("drafted")
def test_a_folder_that_says_what_is_active_is_no_draft(folder):
    (folder / "builder.yaml").write_text(YAML)
    told = kith("draft", folder).stdout
    assert told == "people says what its active version 1 says: there is nothing to draft\n"
    assert kith("draft").stdout == "people has no draft\n"


@pytest.mark.usefixtures("drafted")
def test_a_draft_is_dropped():
    assert kith("draft", "--drop").stdout == "the draft of people is dropped\n"
    assert kith("draft", "--drop").stdout == "people has no draft\n"
    assert json.loads(kith("draft", "--drop", "--json").stdout)["draft"] is None


def test_a_broken_folder_is_told_with_all_problems_and_no_draft_is_made(cloud, folder):
    (folder / "builder.yaml").write_text("name: people\nidentifiers: {x: {form: y}}\n")
    result = kith("draft", folder)
    assert result.exit_code == 1
    assert "people/builder.yaml:2" in result.stderr
    assert cloud.registry.draft("people") is None
    assert kith("draft", folder / "nowhere").exit_code == 1
    assert kith("draft", folder, "--drop").exit_code == 2


def test_a_draft_of_a_new_builder_differs_from_nothing(cloud, tmp_path):
    folder = tmp_path / "accounts"
    folder.mkdir()
    (folder / "builder.yaml").write_text("name: accounts\nidentifiers: {group_id: {from: groupId}}\n")
    assert kith("draft", folder).stdout.startswith("accounts has a draft: a new builder\n")
    assert "--- /dev/null" in kith("draft", "--builder", "accounts").stdout
    assert "name one (accounts, people)" in kith("draft").stderr
    assert cloud.registry.draft("accounts") is not None


@pytest.mark.parametrize(("user", "known_as"), [("ann", "ann"), ("deploy", "user deploy")])
def test_locally_the_user_of_the_machine_publishes_and_is_never_taken_for_a_deploy(
    user, known_as, monkeypatch
):
    monkeypatch.setenv("LOGNAME", user)
    assert publishing.who(Target("local", {}, is_local=True)) == known_as


def test_publishing_starts_a_build(drafted):
    result = kith("publish", "--grace", "30m")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[0] == "version 2 of people is building"
    assert drafted.executions.graces["people", 2] == 1800
    assert drafted.registry.version("people", 2).created_by == "assumed-role/Admin/ann"


def test_what_cannot_be_published_is_told(cloud, folder):
    assert "builder people has no draft" in kith("publish").stderr
    assert "no builder nobody" in kith("publish", "nobody").stderr
    assert kith("draft", folder).exit_code == 0
    assert kith("publish").exit_code == 0
    result = kith("rollback", "people", 1)
    assert (result.exit_code, "version 2 of people is building" in result.stderr) == (1, True)
    assert cloud.registry.version("people", 3) is None


@pytest.mark.parametrize("grace", ["8d", "soon", "-1", "1.5h"])
def test_a_grace_period_that_is_none_is_refused(drafted, grace):
    assert kith("publish", "--grace", grace).exit_code == 2
    assert drafted.registry.version("people", 2) is None


def test_a_build_is_replaced(drafted, folder):
    kith("publish")
    (folder / "builder.yaml").write_text(CHANGED.replace("email", "mail"))
    kith("draft", folder)
    assert kith("publish", "--replace").stdout.startswith("version 3 of people is building\n")
    assert drafted.registry.version("people", 2).reason == "cancelled by assumed-role/Admin/ann"


def test_an_earlier_version_is_published_again(drafted):
    kith("publish")
    drafted.activate(2)
    assert kith("rollback", "people", 1).stdout.startswith("version 3 of people is building\n")
    rows = [line.split() for line in kith("versions").stdout.splitlines()]
    assert rows[0][:2] == ["version", "status"]
    assert [row[:2] for row in rows[1:]] == [["1", "retired"], ["2", "active"], ["3", "building"]]
    assert rows[3][-5:] == ["the", "definition", "of", "version", "1"]


def test_a_build_is_cancelled(drafted):
    kith("publish")
    told = kith("cancel", "people").stdout
    assert told == "version 2 of people is cancelled, and what it made is being deleted\n"
    assert drafted.executions.cleaning == [("people", 2)]
    assert json.loads(kith("cancel", "people", "--json").stdout)["status"] == "failed"
    told = json.loads(kith("versions", "people", "--json").stdout)
    assert told["versions"][1]["reason"] == "cancelled by assumed-role/Admin/ann"
    assert told["draft"] is None


def test_versions_lists_a_draft_and_knows_no_stranger(drafted):
    assert drafted
    assert kith("versions").stdout.splitlines()[-1].startswith("draft")
    assert "there are people" in kith("versions", "nobody").stderr


def in_state(cloud, state, status="RUNNING"):
    cloud.executions.running["people", 2] = Execution(
        status=status, state=state, started_at=1, entered_at=publishing.now_ms() - 10_000
    )


def test_builds_tell_each_state(drafted):
    kith("publish")
    in_state(drafted, "Scan")
    drafted.progress.add_progress("people", 2, {"plan.parts": 40, "scan.parts": 10, "scan.events": 9000})
    lines = kith("builds").stdout.splitlines()
    assert lines[0].startswith("people, version 2: building for ")
    assert lines[1] == "  Plan     done"
    assert lines[2].startswith("  Scan     running, 10/40 parts, 9,000 events ("), lines[2]
    assert lines[2].endswith(" s left")
    assert lines[3] == "  Link     waiting"
    told = json.loads(kith("builds", "people", "--json").stdout)
    assert told["states"][1] | {"left_s": 0, "events_per_s": 0} == {
        "name": "Scan",
        "status": "running",
        "unit": "parts",
        "done": 10,
        "total": 40,
        "counts": {"events": 9000},
        "left_s": 0,
        "events_per_s": 0,
    }


def test_builds_tell_how_the_last_one_ended(drafted):
    kith("publish")
    in_state(drafted, "Replay", "FAILED")
    drafted.fail(2, "object events/x is damaged")
    lines = kith("builds").stdout.splitlines()
    assert lines[0].startswith("people, version 2: failed after 9 s, published by ")
    assert "  Replay   failed, 0 partitions" in lines
    assert lines[-1] == "  object events/x is damaged"


def test_a_build_that_nothing_works_at_says_what_to_do(drafted):
    kith("publish")
    in_state(drafted, "Scan", "TIMED_OUT")
    assert "(execution: TIMED_OUT): `kith cancel people` ends it" in kith("builds").stdout
    del drafted.executions.running["people", 2]
    assert "never started: publish it again" in kith("builds").stdout
    assert "never started" in kith("builds", "--watch").stderr


def test_watching_prints_a_line_for_each_change_until_the_end(drafted, monkeypatch):
    steps = iter(
        [
            lambda: in_state(drafted, "Plan"),
            lambda: in_state(drafted, "Scan"),
            lambda: drafted.progress.add_progress("people", 2, {"plan.parts": 4, "scan.parts": 1}),
            lambda: None,
            lambda: drafted.activate(2),
        ]
    )
    monkeypatch.setattr(builds.time, "sleep", lambda _: next(steps)())
    result = kith("publish", "--watch")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "people v2: Plan",
        "people v2: Scan, 0 parts",
        "people v2: Scan, 1/4 parts",
        "people v2: active",
        "version 2 of people is active",
    ]


def test_watching_a_build_that_fails_ends_with_its_reason(drafted, monkeypatch):
    kith("publish")
    monkeypatch.setattr(builds.time, "sleep", lambda _: drafted.fail(2, "an object is gone"))
    result = kith("builds", "people", "--watch")
    assert result.exit_code == 1
    assert result.stderr == "kith: version 2 of people has failed: an object is gone\n"


def test_without_any_version_there_is_no_build(cloud):
    empty_registry_table(cloud.client("dynamodb"), NAMES[contract.OUTPUT_REGISTRY_TABLE])
    assert "no builder has a version yet" in kith("builds").stderr
    assert "there is no builder yet" in kith("publish").stderr


def test_profiles_that_began_before_the_archive_does_stop_a_publish(drafted, monkeypatch):
    arrival = publishing.now_ms() - 20 * DAY_MS
    ingest(drafted.client, an_event(messageId="old", userId="old", arrival=arrival))
    ingest(drafted.client, an_event(messageId="new", userId="new", arrival=arrival + 18 * DAY_MS))
    monkeypatch.setitem(NAMES, contract.OUTPUT_ARCHIVE_RETENTION, "10")
    result = kith("publish")
    assert result.exit_code == 1
    assert result.stderr.startswith("kith: 1 profile of people began before the archive does")
    assert "1 profile of people" in kith("rollback", "people", 1).stderr
    assert drafted.registry.version("people", 2) is None
    monkeypatch.setitem(NAMES, contract.OUTPUT_ARCHIVE_RETENTION, "30")
    assert kith("publish").exit_code == 0
    monkeypatch.setitem(NAMES, contract.OUTPUT_ARCHIVE_RETENTION, "10")
    assert kith("rollback", "people", 1, "--replace", "--accept-loss").exit_code == 0
