import json
from collections.abc import Iterator
from itertools import pairwise

import pytest

from infra import bundle
from infra.bundle import ROOT, functions_in
from infra.function import camel
from shared import contract
from shared.app.rebuild.build import MAP_ITEMS_MAX
from tests.infra.conftest import as_list, flat
from tests.infra.test_function import allowed

BUNDLE_MB_MAX = 100
STATES = [name.removeprefix("rebuild_") for name in functions_in("rebuild")]
MAPS = {"Scan", "Shuffle", "Replay"}
REDRIVEN = {"CutOver", "Fail", "CleanUp"}
"""What is not undone: where one of these fails for good the execution does, and a redrive goes on there."""
OUTPUT_BYTES_MAX = 256 * 1024


@pytest.fixture(scope="module")
def machine(dev):
    [machine] = dev.resources("StepFunctions::StateMachine").values()
    return machine


@pytest.fixture(scope="module")
def definition(machine):
    return json.loads(flat(machine["DefinitionString"]))


def walk(definition) -> Iterator[tuple[str, dict]]:
    """All states by name, those of the children of maps too."""
    for name, state in definition["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from walk(state["ItemProcessor"])


def working(definition) -> dict[str, dict]:
    return {name: state for name, state in walk(definition) if state["Type"] in {"Task", "Map"}}


def tasks(definition) -> dict[str, dict]:
    return {name: state for name, state in walk(definition) if state["Type"] == "Task"}


def next_of(state) -> set[str]:
    found = {state[key] for key in ("Next", "Default") if key in state}
    found |= {choice["Next"] for choice in state.get("Choices", [])}
    return found | {catch["Next"] for catch in state.get("Catch", [])}


def selected(value) -> Iterator[str]:
    """The names of fields that a payload takes over from elsewhere, and all literal values."""
    for name, inner in value.items():
        if isinstance(inner, dict):
            yield from selected(inner)
        else:
            yield f"{name}={inner}"


# Names


def test_every_function_of_a_rebuild_is_a_state_of_its_name(definition):
    states = {camel(name) for name in STATES}
    assert states <= definition["States"].keys()
    for name, state in tasks(definition).items():
        function = state["Resource"].split("Rebuild")[2].split("Function")[0]
        assert name.removesuffix("One") == function


def test_every_function_has_a_use_case_of_its_name():
    for name in STATES:
        assert (ROOT / "shared" / "app" / "rebuild" / f"{name}.py").exists()


def test_the_states_come_in_the_order_of_the_protocol(definition):
    way = ["Plan", "Scan", "Link", "Shuffle", "Replay", "Verify", "Follow", "CutOver", "Grace"]
    for one, other in pairwise(way):
        outcome = definition["States"].get(f"{one}Outcome", definition["States"][one])
        assert other in next_of(outcome)


# What happens when something fails


def test_every_state_that_works_retries_with_backoff_and_jitter(definition):
    for name, state in working(definition).items():
        retry = state["Retry"][-1]
        assert retry["ErrorEquals"] == ["States.ALL"], name
        assert retry["BackoffRate"] > 1
        assert retry["JitterStrategy"] == "FULL"
        assert retry["MaxAttempts"] == contract.REBUILD_RETRIES


def test_every_state_that_works_catches_all_but_what_is_not_undone(definition):
    for name, state in working(definition).items():
        catches = [catch["ErrorEquals"] for catch in state.get("Catch", [])]
        assert catches == ([] if name in REDRIVEN else [["States.ALL"]]), name


def test_every_failure_on_the_way_leads_to_fail_and_fail_to_clean_up(definition):
    for name, state in definition["States"].items():
        for catch in state.get("Catch", []):
            assert catch["Next"] == "Fail", name
            assert catch["ResultPath"] == "$.error"
    failed = [
        choice["Next"]
        for name, state in definition["States"].items()
        for choice in state.get("Choices", [])
        if choice.get("StringEquals") == "failed" and name != "CleanUpOutcome"
    ]
    assert len(failed) == 5
    assert set(failed) == {"Fail"}
    assert definition["States"]["Fail"]["Next"] == "WorkersEnd"


def test_nothing_is_deleted_before_the_last_function_that_may_still_write_has_ended(dev, definition):
    before = {name for name, state in walk(definition) if "CleanUp" in next_of(state)}
    assert before == {"WorkersEnd", "CleanUpOutcome"}
    longest = max(function["Timeout"] for function in dev.functions().values())
    assert definition["States"]["WorkersEnd"]["Seconds"] > longest
    assert definition["States"]["CleanUpRetired"]["Next"] == "WorkersEnd"


def test_a_child_that_failed_for_good_fails_its_map_at_once(definition):
    for name in MAPS:
        state = definition["States"][name]
        assert "ToleratedFailurePercentage" not in state or state["ToleratedFailurePercentage"] == 0
        assert state["Retry"][0] == {
            "ErrorEquals": ["States.ExceedToleratedFailureThreshold"],
            "MaxAttempts": 0,
        }


def test_only_failures_and_nothing_else_end_the_execution_as_failed(definition):
    ends = {name for name, state in definition["States"].items() if state["Type"] == "Fail"}
    assert ends == {"Failed", "NotCleanedUp"}
    for name in ends:
        assert definition["States"][name]["CausePath"].endswith(".reason")


def test_no_state_waits_for_good(dev, definition):
    timeouts = {
        name.removeprefix("rebuild_"): function["Timeout"]
        for name, function in dev.functions().items()
        if name.startswith("rebuild_")
    }
    for name, state in tasks(definition).items():
        [function] = [one for one in STATES if camel(one) == name.removesuffix("One")]
        assert state["TimeoutSeconds"] > timeouts[function]
    assert definition["TimeoutSeconds"] > 7 * 24 * 3600, "the longest grace period"


def test_only_waiting_or_working_on_goes_back(definition):
    loops = {
        (name, target)
        for name, state in walk(definition)
        for target in next_of(state)
        if target.removesuffix("One") == name.removesuffix("Wait").removesuffix("Outcome")
        and state["Type"] in {"Wait", "Choice"}
    }
    assert loops == {
        ("PlanWait", "Plan"),
        ("FollowWait", "Follow"),
        ("CleanUpOutcome", "CleanUp"),
        ("ScanOutcome", "ScanOne"),
        ("ShuffleOutcome", "ShuffleOne"),
        ("ReplayOutcome", "ReplayOne"),
    }


# Payloads


def test_payloads_are_references(definition):
    allowed_values = {
        "builder.$=$.builder",
        "version.$=$.version",
        "version.$=$.cleaned",
        "attempt.$=$$.State.RetryCount",
        "item.$=$.item",
        "item.$=$$.Map.Item.Value",
        "partitions.$=$.partitions",
        "partitions.$=$.link.partitions",
        "workers.$=$.workers",
        "workers.$=$.plan.workers",
        "error.$=$.error.Error",
    }
    for state in working(definition).values():
        given = set(selected(state.get("Parameters", state.get("ItemSelector", {}))))
        assert given <= allowed_values


def test_what_children_answer_is_dropped_and_what_is_left_fits(definition):
    for name in MAPS:
        state = definition["States"][name]
        assert state["ResultPath"] is None
        ends = [end for end in state["ItemProcessor"]["States"].values() if end["Type"] == "Succeed"]
        assert [end["OutputPath"] for end in ends] == [None]
    assert len("{},") * MAP_ITEMS_MAX < OUTPUT_BYTES_MAX


def test_what_a_state_answers_stays_under_its_own_name(definition):
    for name, state in tasks(definition).items():
        [function] = [one for one in STATES if camel(one) == name.removesuffix("One")]
        assert state["ResultPath"] == f"$.{function}"


def test_maps_read_their_manifests_from_the_archive_line_by_line(definition):
    readers = {name: definition["States"][name]["ItemReader"] for name in MAPS}
    assert {reader["ReaderConfig"]["InputType"] for reader in readers.values()} == {"JSONL"}
    assert {name: reader["Parameters"]["Key.$"] for name, reader in readers.items()} == {
        "Scan": "$.plan.manifest",
        "Shuffle": "$.link.shuffle",
        "Replay": "$.link.replay",
    }


# Caps


def test_a_rebuild_takes_no_more_workers_than_the_stage_says(definition, dev):
    assert {definition["States"][name]["MaxConcurrencyPath"] for name in MAPS} == {"$.plan.workers"}
    environments = {name: one["Environment"]["Variables"] for name, one in dev.functions().items()}
    assert environments["rebuild_plan"][contract.ENV_REBUILD_CONCURRENCY] == "50"
    for name in ("rebuild_replay", "rebuild_clean_up"):
        assert environments[name][contract.ENV_REBUILD_WRITE_UNITS] == "4000"


def test_all_workers_of_a_rebuild_know_of_one_release(dev):
    releases = {
        one["Environment"]["Variables"][contract.ENV_RELEASE]
        for name, one in dev.functions().items()
        if name.startswith("rebuild_")
    }
    assert len(releases) == 1


def test_children_outlast_five_minutes(definition):
    for name in MAPS:
        config = definition["States"][name]["ItemProcessor"]["ProcessorConfig"]
        assert config == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}


def test_the_grace_period_is_the_stages_unless_an_execution_says_otherwise(definition):
    assert definition["States"]["Defaults"]["Result"] == {"clean_up": False, "grace_s": 24 * 3600}
    options = definition["States"]["Start"]["Parameters"]["options.$"]
    assert options == "States.JsonMerge($.defaults, $$.Execution.Input, false)"
    assert definition["States"]["Grace"]["SecondsPath"] == "$.options.grace_s"


# What it may do


def test_the_machine_may_call_its_functions_and_read_manifests(dev, machine):
    role = machine["RoleArn"]["Fn::GetAtt"][0]
    allowed_actions: dict[str, set[str]] = {}
    for policy in dev.resources("IAM::Policy").values():
        if {"Ref": role} in policy["Roles"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                for action in as_list(statement["Action"]):
                    resources = {flat(one) for one in as_list(statement["Resource"])}
                    allowed_actions.setdefault(action, set()).update(resources)
    functions = {name for name in dev.resources("Lambda::Function") if name.startswith("Rebuild")}
    assert allowed_actions["lambda:InvokeFunction"] == {f"<{name}.Arn>" for name in functions}
    [manifests] = allowed_actions["s3:GetObject"]
    assert manifests.endswith(f"/{contract.PREFIX_REBUILD}*")
    anywhere = {action for action, resources in allowed_actions.items() if "*" in resources}
    assert {action.split(":")[0] for action in anywhere} == {"logs", "xray"}


def test_the_machine_starts_after_it_may_write_its_log(dev, machine):
    role = machine["RoleArn"]["Fn::GetAtt"][0]
    [resource] = dev.raw("StepFunctions::StateMachine").values()
    assert any(name.startswith("RebuildMachineRoleDefaultPolicy") for name in resource["DependsOn"])
    assert role in resource["DependsOn"]


def test_all_is_logged_but_no_payload(machine):
    logging = machine["LoggingConfiguration"]
    assert (logging["Level"], logging["IncludeExecutionData"]) == ("ALL", False)


@pytest.mark.parametrize("state", STATES)
def test_only_replay_and_clean_up_change_profiles(dev, state):
    changes = {
        action
        for table in ("StorageProfiles", "StorageIdentifiers")
        for action in allowed(dev, f"rebuild_{state}", table)
        if not action.startswith(("dynamodb:BatchGet", "dynamodb:Get", "dynamodb:Scan"))
    }
    assert bool(changes) == (state in {"replay", "clean_up"})


@pytest.mark.parametrize("state", STATES)
def test_only_clean_up_deletes_objects(dev, state):
    deletes = "s3:DeleteObject" in allowed(dev, f"rebuild_{state}", "ArchiveBucket")
    assert deletes == (state == "clean_up")


@pytest.mark.parametrize("state", STATES)
def test_only_scan_reads_events_and_nobody_may_change_them(dev, state):
    actions = allowed(dev, f"rebuild_{state}", f"/{contract.PREFIX_EVENTS}*")
    assert actions == ({"s3:GetObject"} if state == "scan" else set())


@pytest.mark.parametrize("state", STATES)
def test_a_consumer_is_made_by_follow_alone_and_removed_by_those_that_meet_an_ended_version(dev, state):
    made = allowed(dev, f"rebuild_{state}", "*") & {
        "lambda:CreateEventSourceMapping",
        "lambda:DeleteEventSourceMapping",
    }
    expected = {
        "follow": {"lambda:CreateEventSourceMapping", "lambda:DeleteEventSourceMapping"},
        "cut_over": {"lambda:DeleteEventSourceMapping"},
        "fail": {"lambda:DeleteEventSourceMapping"},
        "clean_up": {"lambda:DeleteEventSourceMapping"},
    }
    assert made == expected.get(state, set())


# The bundle


def test_all_functions_share_one_asset_that_others_do_not(dev):
    keys = {
        name: function["Code"]["S3Key"] if "S3Key" in function["Code"] else json.dumps(function["Code"])
        for name, function in dev.functions().items()
    }
    shared = {key for name, key in keys.items() if name.startswith("rebuild_")}
    assert len(shared) == 1
    assert not shared & {key for name, key in keys.items() if not name.startswith("rebuild_")}


def test_the_bundle_is_far_from_lambdas_limit_and_the_only_one_with_numpy():
    rebuild = bundle.bundle_function("rebuild", "aws").path
    size = sum(file.stat().st_size for file in rebuild.rglob("*") if file.is_file())
    assert size < BUNDLE_MB_MAX * 1_000_000
    assert (rebuild / "numpy").is_dir()
    assert not (bundle.bundle_function("ingest", "aws").path / "numpy").exists()
