"""The functions around profile functions: what they answer Lambda, log and count."""

import importlib
import json

import pytest

from shared import contract
from shared.adapters.sqs import QueueRefusedError
from shared.app.functions.deliver import Delivery, Message
from shared.app.functions.dispatch import Due
from shared.app.functions.run import Became
from shared.core.functions import FunctionFailure
from shared.runtime.functions import message_of, metrics_of
from tests.app.test_functions_dispatch import FakeQueue, change, message

DUE = Due("shop", 3, "p1", 1_000)
FAILURE = FunctionFailure("function_error", "ValueError in line 3")
ENVIRONMENT = {
    contract.ENV_STAGE: "test",
    contract.ENV_FUNCTIONS_QUEUE: "https://sqs.example.com/queue",
    contract.ENV_FUNCTIONS_SANDBOX: "arn:aws:lambda:eu-central-1:123456789012:function:sandbox",
    contract.ENV_FUNCTIONS_ATTEMPTS: "6",
    contract.ENV_FUNCTIONS_RETRY_S: "30",
    contract.ENV_PROFILES_TABLE: "profiles",
    contract.ENV_IDENTIFIERS_TABLE: "identifiers",
    contract.ENV_REGISTRY_TABLE: "registry",
    contract.ENV_ARCHIVE_BUCKET: "archive",
    "AWS_DEFAULT_REGION": "eu-central-1",
}


class Context:
    function_name = "functions"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:functions"
    aws_request_id = "r"


def handler_of(name, monkeypatch):
    for key, value in ENVIRONMENT.items():
        monkeypatch.setenv(key, value)
    return importlib.import_module(f"lambdas.{name}.handler")


def delivery(number=1, **changes):
    return Delivery(Message(f"m{number}", "r", "body", 2), DUE, **changes)


def logged(caplog):
    return [(record.code, record.data) for record in caplog.records if hasattr(record, "code")]


@pytest.fixture
def dispatch(monkeypatch):
    return handler_of("functions_dispatch", monkeypatch)


@pytest.fixture
def run(monkeypatch):
    module = handler_of("functions_run", monkeypatch)

    def answer(*deliveries):
        monkeypatch.setattr(module.FUNCTIONS, "take", lambda _: list(deliveries))
        return module.handler({"Records": []}, Context())

    return answer


def test_changes_become_messages(dispatch, monkeypatch, caplog):
    queue = FakeQueue()
    monkeypatch.setattr(dispatch, "QUEUE", queue)
    dispatch.handler({"Records": [change(), {"dynamodb": {}}]}, Context())
    assert queue.sent == [message()]
    assert logged(caplog) == [("KITH-702", {"changes": 1}), ("KITH-700", {"changes": 2, "profiles": 1})]


def test_changes_that_cannot_be_put_on_the_queue_come_again(dispatch, monkeypatch, caplog):
    class Refusing:
        def send(self, _):
            raise QueueRefusedError("1 of ann@example.com")

    monkeypatch.setattr(dispatch, "QUEUE", Refusing())
    with pytest.raises(dispatch.DispatchFailedError, match=r"^QueueRefusedError$"):
        dispatch.handler({"Records": [change()]}, Context())
    [(code, data)] = logged(caplog)
    assert (code, data["error"]) == ("KITH-701", "QueueRefusedError")
    assert "example.com" not in caplog.text


def test_only_messages_that_are_not_done_with_come_again(run):
    answer = run(
        delivery(1, became=Became.WRITTEN),
        delivery(2, became=Became.FAILED, failure=FAILURE, again=True),
        delivery(3, error=OSError(), again=True),
        delivery(4, became=Became.FAILED, failure=FAILURE),
        Delivery(Message("m5", "r", "no message", 1)),
    )
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m2"}, {"itemIdentifier": "m3"}]}


def test_failures_are_told_with_their_profile_and_nothing_of_its_events(run, caplog):
    run(
        delivery(1, became=Became.FAILED, failure=FAILURE, again=True, attempt=2),
        delivery(2, became=Became.FAILED, failure=FAILURE, attempt=2),
        delivery(3, error=OSError("ann@example.com"), again=True),
        Delivery(Message("m4", "r", "ann@example.com", 1)),
    )
    who = {"builder": "shop", "version": 3, "profile": "p1"}
    why = {"reason": "function_error", "detail": "ValueError in line 3", "attempt": 2}
    told = logged(caplog)
    assert told[:2] == [("KITH-704", who | why), ("KITH-705", who | why)]
    assert [code for code, _ in told] == ["KITH-704", "KITH-705", "KITH-706", "KITH-707", "KITH-703"]
    assert told[-1][1] == {"failed": 2, "unavailable": 1, "unreadable": 1}
    assert "example.com" not in caplog.text


def test_traits_that_cannot_be_kept_are_told_with_their_profile_and_their_number(run, caplog):
    run(delivery(1, became=Became.WRITTEN, left_out=2), delivery(2, became=Became.WRITTEN))
    who = {"builder": "shop", "version": 3, "profile": "p1"}
    assert logged(caplog) == [("KITH-708", who | {"left_out": 2}), ("KITH-703", {"written": 2})]


def test_what_becomes_of_messages_is_counted_by_builder(run, capsys):
    run(delivery(1, became=Became.WRITTEN, age_ms=70), delivery(2, became=Became.SUPERSEDED))
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    [one] = [each for each in metrics if each["builder"] == "shop"]
    assert one[contract.METRIC_FUNCTIONS_RUN] == [1.0]
    assert one[contract.METRIC_FUNCTION_AGE] == [70.0]


def test_each_metric_counts_what_its_name_says():
    found = metrics_of(
        [
            delivery(1, became=Became.WRITTEN, age_ms=70, left_out=2),
            delivery(2, became=Became.WRITTEN, age_ms=50),
            delivery(3, became=Became.SUPERSEDED, age_ms=900),
            delivery(4, became=Became.FAILED, failure=FAILURE, again=True),
            delivery(5, became=Became.FAILED, failure=FAILURE),
            delivery(6, error=OSError(), again=True),
            delivery(8, became=Became.POSTPONED),
            delivery(9, became=Became.RESTING, again=True),
            Delivery(Message("m7", "r", "no message", 1)),
        ]
    )
    assert found == {
        "shop": {
            contract.METRIC_FUNCTIONS_RUN: 2,
            contract.METRIC_FUNCTION_AGE: 70,
            contract.METRIC_VALUES_SET_ASIDE: 2,
            contract.METRIC_FUNCTIONS_DROPPED: 1,
            f"{contract.METRIC_FUNCTIONS_DROPPED}.superseded": 1,
            contract.METRIC_FUNCTIONS_FAILED: 2,
            contract.METRIC_FUNCTIONS_QUARANTINED: 1,
            f"{contract.METRIC_FUNCTIONS_QUARANTINED}.function_error": 1,
        }
    }


def test_a_version_runs_no_function_while_it_is_being_built_and_is_asked_for_each_time(monkeypatch):
    functions = handler_of("functions_run", monkeypatch).FUNCTIONS
    queue, statuses = FakeQueue(), iter(["building", "building", "failed"])
    monkeypatch.setattr(functions._definitions, "status", lambda *_: next(statuses))
    monkeypatch.setattr(functions._deliver, "_queue", queue)
    body = json.dumps({"builder": "shop", "version": 77, "profile_id": "p1", "rev": 1})
    record = {
        "messageId": "m1",
        "receiptHandle": "r1",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1"},
    }
    became = [functions.take([record])[0].became for _ in range(3)]
    assert became == [Became.POSTPONED, Became.POSTPONED, Became.GONE]
    assert [(one.due.version, one.delay_s) for one in queue.sent] == [(77, 900)] * 2


def test_a_record_of_the_queue_is_read_as_lambda_delivers_it():
    record = {
        "messageId": "m1",
        "receiptHandle": "r1",
        "body": "{}",
        "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1"},
        "eventSource": "aws:sqs",
    }
    assert message_of(record) == Message("m1", "r1", "{}", 3)
