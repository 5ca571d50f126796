"""The function that transforms: its answers, and what it tells of user code."""

import importlib
import json

import msgspec
import pytest

from shared import contract
from shared.adapters.lambda_transformer import LambdaTransformer
from shared.core.event import Position, event_of
from shared.core.sandbox import Program, Request
from tests.kinesis import ARRIVAL, json_of

SOURCE = """
def transform(event, context):
    context.log.info("seen", type=event["type"])
    context.metrics.count("seen")
    if event["type"] == "bad":
        raise ValueError(event["userId"])
    return {**event, "total": event["total"] * 2}
"""


class Context:
    function_name = "transform"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:transform"
    aws_request_id = "r"

    @staticmethod
    def get_remaining_time_in_millis():
        return 60_000


@pytest.fixture
def handler(monkeypatch):
    monkeypatch.setenv(contract.ENV_STAGE, "test")
    module = importlib.import_module("lambdas.transform.handler")
    yield module.handler
    module.SANDBOXES.close()


def call(handler, *events, env=()):
    program = Program("customers", 3, SOURCE, dict(env))
    request = Request(program, json_of(list(events)).decode())
    # As the runtime of Lambda hands it over, and takes the answer.
    payload = json.loads(json.dumps({"program": vars_of(program), "events": request.events}))
    return json.loads(json.loads(json.dumps(handler(payload, Context())))["answers"])


def vars_of(program):
    return msgspec.to_builtins(program)


GOOD = {"type": "good", "userId": "Ann Example", "total": 1.25}


def test_events_are_transformed_and_failures_told(handler):
    answers = call(handler, GOOD, GOOD | {"type": "bad"})
    assert answers[0] == {"made": [["", {**GOOD, "total": 2.50}]]}
    assert answers[1] == {
        "failure": {"reason": "transform_error", "detail": "ValueError at transform.py:6", "delay_s": None}
    }


def test_numbers_stay_exact_on_their_way_through_the_runtime(handler):
    class Client:
        class exceptions:  # noqa: N801 - botocore's name
            class RequestTooLargeException(Exception):  # noqa: N818 - botocore's name
                pass

        @staticmethod
        def invoke(FunctionName, Payload):  # noqa: N803 - botocore's names
            del FunctionName
            answer = json.dumps(handler(json.loads(Payload), Context())).encode()
            return {"Payload": type("Body", (), {"read": lambda _: answer})()}

    body = {"messageId": "m", "type": "good", "total": 10**30 + 1}
    event = event_of(body, 50, ARRIVAL, Position("s", "1", 0))
    [[one]] = LambdaTransformer(Client, "arn", Program("customers", 3, SOURCE, {})).run([event])
    assert one.body["total"] == 2 * (10**30 + 1)


def test_the_log_tells_of_user_code_but_nothing_of_events_that_it_does_not_tell_itself(
    handler, caplog, capsys
):
    call(handler, GOOD, GOOD | {"type": "bad"}, GOOD | {"type": "bad"})
    told = {record.code: record.data for record in caplog.records if record.code != "KITH-601"}
    assert told["KITH-602"] == {
        "builder": "customers",
        "version": 3,
        "reason": "transform_error",
        "detail": "ValueError at transform.py:6",
        "events": 2,
    }
    assert told["KITH-600"] == {"builder": "customers", "version": 3, "events": 3, "failed": 2}
    logged = [record.data["text"] for record in caplog.records if record.code == "KITH-601"]
    assert logged == ["seen type=good", "seen type=bad", "seen type=bad"]
    assert "Example" not in caplog.text
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [one["User.seen"] for one in metrics] == [[3.0]]
