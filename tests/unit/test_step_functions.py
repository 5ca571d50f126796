"""Builds as executions: what is asked of Step Functions, and what its answers mean."""

import json
from datetime import UTC, datetime

import botocore.session
import pytest
from botocore.stub import Stubber

from shared.adapters.step_functions import StepFunctions
from shared.app.executions import Execution

MACHINE = "arn:aws:states:eu-central-1:123456789012:stateMachine:Rebuild"
BUILD = "arn:aws:states:eu-central-1:123456789012:execution:Rebuild:customers-v7"
AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
AT_MS = 1_795_608_000_000


@pytest.fixture
def stub():
    session = botocore.session.Session()
    client = session.create_client(
        "stepfunctions", "eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    with Stubber(client) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def executions(stub):
    return StepFunctions(stub.client, MACHINE)


def started(stub, name, payload):
    """What one execution is started for; the input of each call is its own."""
    request = AnyRequest(payload)
    stub.add_response(
        "start_execution",
        {"executionArn": BUILD, "startDate": AT},
        {"stateMachineArn": MACHINE, "name": name, "input": request},
    )
    return request


class AnyRequest(str):
    """JSON that is equal to other JSON but for its `request`, which it keeps."""

    __slots__ = ("request",)

    def __eq__(self, other):
        found = json.loads(other)
        self.request = found.pop("request")
        return found == json.loads(str(self))

    def __ne__(self, other):
        return not self == other

    __hash__ = str.__hash__


def described(stub, status, name="customers-v7"):
    arn = BUILD.replace("customers-v7", name)
    stub.add_response(
        "describe_execution",
        {"executionArn": arn, "stateMachineArn": MACHINE, "status": status, "startDate": AT},
        {"executionArn": arn},
    )


def entered(name):
    return {"timestamp": AT, "type": "TaskStateEntered", "id": 9, "stateEnteredEventDetails": {"name": name}}


def test_a_build_is_named_by_its_version(stub, executions):
    started(stub, "customers-v7", '{"builder":"customers","version":7}')
    assert executions.start("customers", 7, None)


def test_two_that_start_a_build_ask_for_different_things(stub, executions):
    """Of equal inputs under one name, Step Functions tells each that it has started the execution."""
    requests = [started(stub, "customers-v7", '{"builder":"customers","version":7}') for _ in range(2)]
    for _ in range(2):
        executions.start("customers", 7, None)
    assert len({one.request for one in requests}) == 2


def test_a_grace_period_is_passed_on(stub, executions):
    started(stub, "customers-v7", '{"builder":"customers","version":7,"grace_s":60}')
    executions.start("customers", 7, 60)


def test_cleaning_up_has_a_name_of_its_own(stub, executions):
    stub.add_client_error("describe_execution", "ExecutionDoesNotExist")
    started(stub, "customers-v7-clean-up", '{"builder":"customers","version":7,"clean_up":true}')
    executions.clean_up("customers", 7)


def test_cleaning_up_that_goes_on_is_left_alone(stub, executions):
    described(stub, "RUNNING", "customers-v7-clean-up")
    executions.clean_up("customers", 7)


def test_cleaning_up_that_died_is_begun_again_under_the_next_name(stub, executions):
    described(stub, "FAILED", "customers-v7-clean-up")
    described(stub, "ABORTED", "customers-v7-clean-up-2")
    stub.add_client_error("describe_execution", "ExecutionDoesNotExist")
    started(stub, "customers-v7-clean-up-3", '{"builder":"customers","version":7,"clean_up":true}')
    executions.clean_up("customers", 7)


def test_what_was_started_is_not_started_again(stub, executions):
    stub.add_client_error("start_execution", "ExecutionAlreadyExists")
    assert not executions.start("customers", 7, None)


def test_only_what_runs_is_stopped(stub, executions):
    described(stub, "SUCCEEDED")
    executions.stop("customers", 7, "cancelled by ann")
    stub.add_client_error("describe_execution", "ExecutionDoesNotExist")
    executions.stop("customers", 7, "cancelled by ann")
    described(stub, "RUNNING")
    stub.add_response(
        "stop_execution",
        {"stopDate": AT},
        {"executionArn": BUILD, "error": "Cancelled", "cause": "cancelled by ann"},
    )
    executions.stop("customers", 7, "cancelled by ann")


def test_a_build_that_was_never_started_is_none(stub, executions):
    stub.add_client_error("describe_execution", "ExecutionDoesNotExist")
    assert executions.of("customers", 7) is None


@pytest.mark.parametrize(
    ("newest", "state"),
    [
        (["Scan"], "Scan"),
        (["FollowWait", "Follow"], "Follow"),
        (["CleanUpOutcome", "CleanUp", "Fail", "Replay"], "Replay"),
        (["Start"], ""),
        ([], ""),
    ],
)
def test_the_state_is_the_one_entered_last(stub, executions, newest, state):
    described(stub, "RUNNING")
    other = {"timestamp": AT, "type": "TaskStarted", "id": 10}
    stub.add_response("get_execution_history", {"events": [other, *map(entered, newest)]})
    assert executions.of("customers", 7) == Execution(
        status="RUNNING", state=state, started_at=AT_MS, entered_at=AT_MS if state else 0
    )
