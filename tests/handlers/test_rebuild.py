"""The states of a rebuild as functions: what they pass on, what they answer, what they keep to themselves."""

import json
import traceback
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import pytest

from infra.bundle import ROOT, functions_in
from shared import contract
from shared.app.frozen import freeze
from shared.app.rebuild.build import BuildEndedError, BuildFailedError, BuildName
from shared.app.rebuild.clean_up import CleanedUp
from shared.app.rebuild.cut_over import CutOver
from shared.app.rebuild.fail import Failed
from shared.app.rebuild.follow import Followed
from shared.app.rebuild.link import Linked
from shared.app.rebuild.plan import Part, Planned, Timing
from shared.app.rebuild.replay import PartitionNumber, Replayed
from shared.app.rebuild.scan import Scanned
from shared.app.rebuild.shuffle import PartNumber, Shuffled
from shared.app.rebuild.verify import Verified
from shared.app.registry import Status, Version
from shared.core.grammar import parse_definition
from tests.fakes.lambda_service import FUNCTION, REGION
from tests.moto_cloud import create_bucket, create_registry_table, empty_registry_table, moto_clients

ENVIRONMENT = {
    contract.ENV_STAGE: "test",
    contract.ENV_STREAM: "stream",
    contract.ENV_PROFILES_TABLE: "profiles",
    contract.ENV_USER_STORE: "user-store",
    contract.ENV_FUNCTIONS_SANDBOX: "arn:aws:lambda:eu-central-1:123456789012:function:sandbox",
    contract.ENV_IDENTIFIERS_TABLE: "identifiers",
    contract.ENV_REGISTRY_TABLE: "registry",
    contract.ENV_ARCHIVE_BUCKET: "archive",
    contract.ENV_INGEST_FUNCTION: FUNCTION,
    contract.ENV_TRANSFORM_FUNCTION: "arn:aws:lambda:eu-central-1:1:function:transform",
    contract.ENV_FUNCTIONS_SANDBOX: "arn:aws:lambda:eu-central-1:1:function:sandbox",
    contract.ENV_CONSUMER: '{"MaximumRecordAgeInSeconds": 3600}',
    contract.ENV_RELEASE: "this",
    contract.ENV_REBUILD_LEAD_S: "60",
    contract.ENV_REBUILD_MARKER_DELAY_S: "120",
    contract.ENV_REBUILD_POLL_S: "15",
    contract.ENV_REBUILD_WRITE_UNITS: "4000",
    contract.ENV_REBUILD_CONCURRENCY: "50",
}
CONTEXT = SimpleNamespace(
    function_name="rebuild",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-central-1:1:function:rebuild",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 900_000,
)
NEW_ACCOUNT = 10
STATES = [name.removeprefix("rebuild_") for name in functions_in("rebuild")]
NAME = BuildName("customers", 2)
FROZEN, SHA256 = freeze(parse_definition("name: customers\nidentifiers: {user_id: {from: userId}}\n"), {})
VERSION = Version(
    builder="customers",
    version=2,
    status=Status.BUILDING,
    definition_key="definitions/customers/2/x.json",
    sha256=SHA256,
    t0=1_000,
    created_at=0,
    created_by="ann",
    release="this",
)
VERIFIED = Verified(7, 3, 1, 1, 1, 1, 3, 0, 0, 0)
LINKED = Linked(1, 2, 3, "rebuild/shuffle.jsonl", "rebuild/replay.jsonl")

ITEMS = {
    "scan": {"part": 4, "objects": [["events/a", 10]]},
    "shuffle": {"part": 4},
    "replay": {"partition": 4},
}
CASES = [
    ("plan", Planned(done=False, wait_s=9), {"status": "waiting", "wait_s": 9}),
    ("plan", Planned(done=True, manifest="m"), {"status": "done", "manifest": "m", "workers": 5}),
    ("scan", Scanned(4, 3, 2, 2, 1), {"status": "done"}),
    (
        "link",
        LINKED,
        {
            "status": "done",
            "shuffle": "rebuild/shuffle.jsonl",
            "replay": "rebuild/replay.jsonl",
            "partitions": 3,
        },
    ),
    ("shuffle", Shuffled(4, 3, 99), {"status": "done"}),
    ("replay", Replayed(done=False, partition=4, profiles=10), {"status": "again"}),
    ("replay", Replayed(done=True, partition=4, profiles=12), {"status": "done"}),
    ("verify", VERIFIED, {"status": "done"}),
    ("follow", Followed(done=False, wait_s=15), {"status": "waiting", "wait_s": 15}),
    ("follow", Followed(done=True), {"status": "done"}),
    ("cut_over", CutOver(active=2, retired=1), {"status": "done", "retired": 1}),
    ("cut_over", CutOver(active=2, retired=0), {"status": "done", "retired": 0}),
    ("clean_up", CleanedUp(done=False, deleted=5), {"status": "again"}),
    ("clean_up", CleanedUp(done=True, deleted=0), {"status": "done"}),
    ("fail", Failed("Scan: broken"), {"status": "done", "reason": "Scan: broken"}),
]


@pytest.fixture(scope="module")
def aws():
    with moto_clients(REGION, **ENVIRONMENT) as client:
        create_registry_table(client("dynamodb"), "registry")
        create_bucket(client("s3"), "archive", REGION)
        yield client


@pytest.fixture
def module(aws):
    """Import a state's module, on a registry that knows the version as building."""
    empty_registry_table(aws("dynamodb"), "registry")
    aws("s3").put_object(Bucket="archive", Key=VERSION.definition_key, Body=FROZEN)

    def imported(state):
        found = import_module(f"lambdas.rebuild_{state}.handler")
        found.REBUILD.registry.add(VERSION)
        found.REBUILD._definitions.clear()
        return found

    return imported


class UseCase:
    """Stands for a state's use case: remembers its arguments, and returns or raises what it should."""

    def __init__(self, outcome):
        self.outcome = outcome
        self.arguments = ()

    def __call__(self, *arguments):
        self.arguments = arguments
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def event(state, attempt=0):
    given = {"builder": "customers", "version": 2, "attempt": attempt, "partitions": 8, "workers": 50}
    return given | {"item": ITEMS.get(state), "error": "States.Timeout"}


def call(module, state, outcome, monkeypatch, attempt=0):
    loaded = module(state)
    use_case = UseCase(outcome)
    monkeypatch.setattr(loaded, state, use_case)
    monkeypatch.setattr(loaded, "free_concurrency", lambda _: NEW_ACCOUNT, raising=False)
    return loaded.handler(event(state, attempt), CONTEXT), use_case.arguments, loaded


def a_result(state):
    return next(outcome for name, outcome, _ in CASES if name == state)


@pytest.mark.parametrize("state", STATES)
def test_a_handler_is_thin(state):
    assert len((ROOT / "lambdas" / f"rebuild_{state}" / "handler.py").read_text().splitlines()) < 60


@pytest.mark.parametrize(("state", "outcome", "answer"), CASES)
def test_a_state_answers_how_far_it_is_and_with_references(
    module, state, outcome, answer, monkeypatch, caplog
):
    answered, _, _ = call(module, state, outcome, monkeypatch)
    assert answered == answer
    assert json.loads(json.dumps(answered)) == answered
    assert [record.code for record in caplog.records] == ["KITH-500"]
    assert caplog.records[0].data["builder"] == "customers"


@pytest.mark.parametrize("state", STATES)
def test_a_state_works_for_the_version_that_the_event_names(module, state, monkeypatch):
    _, arguments, _ = call(module, state, a_result(state), monkeypatch)
    names = [argument for argument in arguments if isinstance(argument, BuildName)]
    builds = [argument.name for argument in arguments if hasattr(argument, "t0")]
    assert names + builds == [NAME]


@pytest.mark.parametrize(
    ("state", "passed"),
    [
        ("plan", Timing(60, 120, 15)),
        ("follow", Timing(60, 120, 15)),
        ("scan", Part(4, [("events/a", 10)])),
        ("shuffle", PartNumber(4)),
        ("replay", PartitionNumber(4)),
        ("fail", "a worker took longer than it may"),
    ],
)
def test_what_the_event_and_the_environment_say_is_passed_on(module, state, passed, monkeypatch):
    _, arguments, _ = call(module, state, a_result(state), monkeypatch)
    assert passed in arguments


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("States.ExceedToleratedFailureThreshold", "a worker failed again and again: its log says why"),
        ("States.ItemReaderFailed", "a manifest of its build is gone or damaged"),
        ("States.Timeout", "a worker took longer than it may"),
        ("States.DataLimitExceeded", "the state machine met States.DataLimitExceeded"),
    ],
)
def test_what_the_state_machine_met_is_said_in_words(module, error, reason, monkeypatch):
    loaded, use_case = module("fail"), UseCase(a_result("fail"))
    monkeypatch.setattr(loaded, "fail", use_case)
    loaded.handler(event("fail") | {"error": error}, CONTEXT)
    assert reason in use_case.arguments


def test_workers_share_the_write_units_of_the_stage(module):
    settings = module("replay").REBUILD.settings
    assert settings.write_units_each(partitions=8, workers=50) == 500
    assert settings.write_units_each(partitions=1000, workers=50) == 80
    assert settings.write_units_each(partitions=1000, workers=5) == 800


@pytest.mark.parametrize("state", ["scan", "link", "shuffle", "replay", "verify"])
def test_what_another_release_has_begun_is_not_gone_on_with(module, state, monkeypatch):
    loaded = module(state)
    registry = loaded.REBUILD.registry
    monkeypatch.setattr(loaded, state, UseCase(a_result(state)))
    registry.replace(VERSION, replace(VERSION, release="other"))
    answered = loaded.handler(event(state), CONTEXT)
    assert answered["status"] == "failed"
    assert "another release of Kith was deployed" in answered["reason"]
    assert registry.version("customers", 2).status is Status.FAILED


@pytest.mark.parametrize("state", STATES)
def test_a_build_that_cannot_go_on_is_answered_and_not_tried_again(module, state, monkeypatch):
    error = BuildFailedError("events/a is damaged")
    answered, _, loaded = call(module, state, error, monkeypatch)
    assert answered == {"status": "failed", "reason": "events/a is damaged"}
    row = loaded.REBUILD.registry.version("customers", 2)
    assert row.status is Status.FAILED
    assert row.reason.endswith(": events/a is damaged")
    assert row.finished_at > 0


@pytest.mark.parametrize("state", STATES)
def test_a_build_that_has_ended_is_left_as_it_is(module, state, monkeypatch):
    answered, _, loaded = call(module, state, BuildEndedError("cancelled by ann"), monkeypatch)
    assert answered == {"status": "failed", "reason": "cancelled by ann"}
    assert loaded.REBUILD.registry.version("customers", 2) == VERSION


@pytest.mark.parametrize("state", ["scan", "link", "shuffle", "replay", "verify"])
def test_a_worker_does_nothing_for_a_version_that_is_not_being_built(module, state, monkeypatch):
    loaded = module(state)
    registry = loaded.REBUILD.registry
    row = registry.version("customers", 2)
    registry.replace(row, replace(row, status=Status.FAILED, reason="cancelled by ann"))
    use_case = UseCase(a_result(state))
    monkeypatch.setattr(loaded, state, use_case)
    answered = loaded.handler(event(state), CONTEXT)
    assert answered["status"] == "failed"
    assert "cancelled by ann" in answered["reason"]
    assert use_case.arguments == ()


@pytest.mark.parametrize("state", STATES)
def test_any_other_error_is_tried_again_and_its_text_told_to_nobody(
    module, state, monkeypatch, caplog, capfd
):
    loaded = module(state)
    monkeypatch.setattr(loaded, state, UseCase(ValueError("ann@example.com")))
    with pytest.raises(Exception, match="ValueError") as caught:
        loaded.handler(event(state), CONTEXT)
    assert type(caught.value).__name__ == "StateFailedError"
    [record] = caplog.records
    assert (record.code, record.data["error"], record.data["attempt"]) == ("KITH-501", "ValueError", 0)
    said = "".join([*traceback.format_exception(caught.value), repr(vars(record)), *capfd.readouterr()])
    assert "ann@" not in said
    assert loaded.REBUILD.registry.version("customers", 2).status is Status.BUILDING


@pytest.mark.parametrize("state", STATES)
def test_when_the_last_try_fails_the_version_says_so_unless_it_is_redriven(module, state, monkeypatch):
    loaded = module(state)
    monkeypatch.setattr(loaded, state, UseCase(ValueError("ann@example.com")))
    with pytest.raises(Exception, match="ValueError"):
        loaded.handler(event(state, attempt=contract.REBUILD_RETRIES), CONTEXT)
    row = loaded.REBUILD.registry.version("customers", 2)
    if state in {"cut_over", "fail", "clean_up"}:
        assert row.status is Status.BUILDING
    else:
        assert row.status is Status.FAILED
        assert row.reason.endswith(f"ValueError, {contract.REBUILD_RETRIES + 1} times")


def test_a_definition_that_is_gone_fails_the_build_by_name(module, aws, monkeypatch):
    loaded = module("scan")
    aws("s3").delete_object(Bucket="archive", Key=VERSION.definition_key)
    monkeypatch.setattr(loaded, "scan", UseCase(a_result("scan")))
    answered = loaded.handler(event("scan"), CONTEXT)
    assert answered["reason"] == f"the frozen definition is gone: {VERSION.definition_key}"


def test_a_definition_that_was_changed_fails_the_build_by_name_at_once(module, aws, monkeypatch):
    loaded = module("scan")
    aws("s3").put_object(Bucket="archive", Key=VERSION.definition_key, Body=FROZEN + b" ")
    monkeypatch.setattr(loaded, "scan", UseCase(a_result("scan")))
    answered = loaded.handler(event("scan"), CONTEXT)
    assert answered["status"] == "failed"
    assert answered["reason"].startswith(f"{VERSION.definition_key}: the frozen definition has SHA-256 ")
    assert loaded.REBUILD.registry.version("customers", 2).reason == f"Scan: {answered['reason']}"


@pytest.mark.parametrize(
    ("state", "metric", "value"),
    [
        ("scan", contract.METRIC_REBUILD_EVENTS, 2),
        ("replay", contract.METRIC_REBUILD_PROFILES, 12),
    ],
)
def test_what_workers_did_is_a_metric_of_the_builder(module, state, metric, value, monkeypatch, capsys):
    outcome = [outcome for name, outcome, _ in CASES if name == state][-1]
    call(module, state, outcome, monkeypatch)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [(line[metric], line["builder"]) for line in lines] == [([float(value)], "customers")]


def test_replay_has_the_profile_function_run_of_a_builder_that_has_one(module, aws, monkeypatch):
    loaded = module("replay")
    files = {"profile.py": "def profile(events, user, context):\n    return None\n"}
    data, sha256 = freeze(
        parse_definition("name: customers\nidentifiers: {user_id: {from: userId}}\n"), files
    )
    aws("s3").put_object(Bucket="archive", Key="definitions/with_function.json", Body=data)
    loaded.REBUILD.registry.replace(
        VERSION, replace(VERSION, definition_key="definitions/with_function.json", sha256=sha256)
    )
    use_case = UseCase(a_result("replay"))
    monkeypatch.setattr(loaded, "replay", use_case)
    assert loaded.handler(event("replay"), CONTEXT)["status"] == "again"
    [build] = [one for one in use_case.arguments if hasattr(one, "t0")]
    assert build.function is not None
    assert build.builder.window_ms is not None


def test_replay_runs_nothing_for_a_builder_without_a_profile_function(module, monkeypatch):
    _, arguments, _ = call(module, "replay", a_result("replay"), monkeypatch)
    [build] = [one for one in arguments if hasattr(one, "t0")]
    assert build.function is None
