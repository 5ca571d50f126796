"""Profile functions: what comes to the queue, what becomes of it, and what user code may do."""

import json

import pytest

from infra.function import camel
from shared import contract
from tests.infra.conftest import as_list, flat
from tests.infra.test_transform import statements_on


def mapping(dev, name):
    return dev.one("Lambda::EventSourceMapping", f"Functions{name}")


def queue(dev, name):
    return dev.one("SQS::Queue", f"Functions{name}")


def test_nobody_is_invoked_for_a_profile_that_is_not_due(dev):
    [one] = mapping(dev, "Changes")["FilterCriteria"]["Filters"]
    assert json.loads(one["Pattern"]) == {
        "dynamodb": {"NewImage": {contract.PROFILES_DUE: {"N": [{"exists": True}]}}}
    }


def test_no_change_is_given_up_before_the_stream_forgets_it(dev):
    asked = mapping(dev, "Changes")
    assert (asked["MaximumRetryAttempts"], asked["MaximumRecordAgeInSeconds"]) == (-1, -1)
    assert asked["StartingPosition"] == "TRIM_HORIZON"


def test_a_message_comes_again_alone_and_only_when_its_invocation_is_surely_over(dev):
    assert mapping(dev, "Due")["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    run = dev.functions()["functions_run"]
    assert queue(dev, "Queue")["VisibilityTimeout"] >= 6 * run["Timeout"]
    assert run["Timeout"] > 2 * dev.functions()["functions_sandbox"]["Timeout"]


def test_functions_take_no_more_of_the_account_than_the_stage_says_and_leave_most_of_one_by_default(dev):
    assert mapping(dev, "Due")["ScalingConfig"] == {"MaximumConcurrency": 20}


def test_what_cannot_even_be_tried_ends_among_the_dead_letters_long_after_the_last_attempt(dev):
    redrive = queue(dev, "Queue")["RedrivePolicy"]
    assert "DeadLetters" in flat(redrive["deadLetterTargetArn"])
    attempts = dev.functions()["functions_run"]["Environment"]["Variables"][contract.ENV_FUNCTIONS_ATTEMPTS]
    assert redrive["maxReceiveCount"] > 10 * int(attempts)
    assert {one["MessageRetentionPeriod"] for one in dev.resources("SQS::Queue").values()} == {14 * 86_400}


def test_queues_are_encrypted_and_spoken_to_by_tls_alone(dev):
    assert all(one["SqsManagedSseEnabled"] for one in dev.resources("SQS::Queue").values())
    policies = dev.resources("SQS::QueuePolicy").values()
    assert len(policies) == len(dev.resources("SQS::Queue"))
    for policy in policies:
        [statement] = policy["PolicyDocument"]["Statement"]
        assert (statement["Effect"], statement["Action"]) == ("Deny", "sqs:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("function", ["transform", "functions_sandbox"])
def test_user_code_may_do_what_its_context_offers_and_no_more(dev, function):
    allowed = statements_on(dev, function)
    on = {
        "logs": f"{camel(function)}FunctionLogs",
        "dynamodb": "StorageUserStore",
        "secretsmanager": f":secret:{contract.SECRETS}*",
    }
    for action, resource in allowed:
        assert on[action.partition(":")[0]] in resource
    assert {action for action, _ in allowed} == {
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "secretsmanager:GetSecretValue",
    }


@pytest.mark.parametrize("function", ["transform", "functions_sandbox"])
def test_user_code_learns_no_name_of_what_it_may_not_touch(dev, function):
    environment = dev.functions()[function]["Environment"]["Variables"]
    assert set(environment) == {contract.ENV_STAGE, contract.ENV_USER_STORE, "POWERTOOLS_SERVICE_NAME"}


def test_only_runs_and_rebuilds_call_the_function_that_runs_profile_functions(dev):
    [name] = [one for one in dev.resources("Lambda::Function") if "FunctionsSandbox" in one]
    callers = {
        function: statement["Action"]
        for function in dev.functions()
        for statement in dev.statements(function)
        if any(flat(resource) == f"<{name}.Arn>" for resource in as_list(statement["Resource"]))
    }
    assert callers == dict.fromkeys(("functions_run", "rebuild_replay"), "lambda:InvokeFunction")
    for caller in callers:
        environment = dev.functions()[caller]["Environment"]["Variables"]
        assert flat(environment[contract.ENV_FUNCTIONS_SANDBOX]) == f"<{name}.Arn>"
