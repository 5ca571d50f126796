"""Transforming by calls of a function: what fails there costs the event that did it, and nothing else."""

from io import BytesIO
from types import SimpleNamespace

import botocore.exceptions
import msgspec
import pytest

from shared.adapters.lambda_transformer import (
    REQUEST_BYTES_MAX,
    LambdaTransformer,
    TransformationUnavailableError,
)
from shared.app.reading import Postponed
from shared.app.sandboxes import KEPT_MAX, Sandboxes
from shared.core.chain import Chain, Failure
from shared.core.event import Position, event_of
from shared.core.records import Rejection
from shared.core.sandbox import Program, Request, answer_of
from shared.core.user_context import UserContext
from tests.kinesis import ARRIVAL

SOURCE = """
def transform(event, context):
    if event.get("do") == "drop":
        return "drop"
    if event.get("do") == "double":
        return [event, event]
    if event.get("do") == "fail":
        raise ValueError
"""
PROGRAM = Program("customers", 3, SOURCE, {})


class InProcess:
    """A sandbox without walls."""

    def __init__(self, program):
        context = UserContext(program.builder, program.version, program.env, lambda *_: None, {})
        self.chain = Chain(program.source, context)
        self.closed = False

    def run(self, events, time_s):
        assert time_s > 0
        return [answer_of(self.chain.run(bytes(one)), lines=[("info", "x")]) for one in events]

    def close(self):
        self.closed = True


class TooLargeError(Exception):
    pass


class FakeLambda:
    """The function, called as AWS calls it: JSON in, JSON out. It fails on what is `deadly`."""

    exceptions = SimpleNamespace(RequestTooLargeException=TooLargeError)

    def __init__(self):
        self.sandboxes = Sandboxes(InProcess)
        self.deadly = None
        self.sizes = []
        self.error = None

    def invoke(self, *, FunctionName, Payload):  # noqa: N803 - botocore's names
        assert FunctionName == "arn"
        if self.error:
            raise self.error
        request = msgspec.json.decode(Payload, type=Request)
        self.sizes.append(len(msgspec.json.decode(request.events)))
        if self.deadly and self.deadly in request.events:
            return {"FunctionError": "Unhandled", "Payload": BytesIO(b'{"errorType": "Sandbox.Timedout"}')}
        response, _ = self.sandboxes.run(request, 1)
        return {"Payload": BytesIO(msgspec.json.encode(response))}


def events(*dos, padding=0):
    return [
        event_of(
            {"messageId": f"m{number}", "do": do, "n": 1, "padding": "x" * padding},
            100,
            ARRIVAL,
            Position("s", str(number), 0),
        )
        for number, do in enumerate(dos)
    ]


def transform(client, some):
    return LambdaTransformer(client, "arn", PROGRAM).run(some)


def test_events_become_what_the_function_makes_of_them():
    client = FakeLambda()
    some = events("keep", "drop", "double", "fail")
    kept, dropped, doubled, failed = transform(client, some)
    assert kept == [some[0]]
    assert dropped == []
    assert [one.id for one in doubled] == ["m2#0", "m2#1"]
    assert isinstance(failed, Rejection)
    assert (failed.reason, failed.detail) == ("transform_error", "ValueError at transform.py:8")
    assert client.sizes == [4]
    assert transform(client, []) == []


def test_what_takes_the_function_with_it_is_found_by_halves():
    client = FakeLambda()
    client.deadly = "m5"
    results = transform(client, events(*["keep"] * 16))
    assert [number for number, one in enumerate(results) if isinstance(one, Rejection)] == [5]
    assert results[5].reason == "transform_crash"
    assert len(client.sizes) < 16


def test_a_function_that_always_fails_is_no_events_fault():
    client = FakeLambda()
    client.deadly = "["
    with pytest.raises(TransformationUnavailableError):
        transform(client, events("keep"))


def test_a_function_that_cannot_be_called_is_no_events_fault():
    client = FakeLambda()
    client.error = botocore.exceptions.EndpointConnectionError(endpoint_url="x")
    with pytest.raises(TransformationUnavailableError):
        transform(client, events("keep"))


def test_no_call_carries_too_much():
    client = FakeLambda()
    some = events(*["keep"] * 7, padding=REQUEST_BYTES_MAX // 3)
    assert transform(client, some) == [[one] for one in some]
    assert client.sizes == [2, 2, 2, 1]


class Lazy(InProcess):
    """Reaches two events of each run."""

    def run(self, events, time_s):
        unreached = answer_of(Failure("transform_retry", "not reached"), unreached=True)
        return super().run(events[:2], time_s) + [unreached] * len(events[2:])


def test_what_was_not_reached_is_given_again_until_time_is_up():
    client = FakeLambda()
    client.sandboxes = Sandboxes(Lazy)
    some = events(*["keep"] * 5)
    assert transform(client, some) == [[one] for one in some]
    assert client.sizes == [5, 3, 1]
    times = iter([0, 0, 31])
    results = LambdaTransformer(client, "arn", PROGRAM, lambda: next(times)).run(some)
    assert [isinstance(one, Postponed) and one.unreached for one in results] == [False] * 4 + [True]


def test_the_latest_programs_are_kept_and_others_closed():
    made = []

    def start(program):
        made.append(InProcess(program))
        return made[-1]

    sandboxes = Sandboxes(start)
    for version in [0, *range(KEPT_MAX), 0]:
        sandboxes.run(Request(msgspec.structs.replace(PROGRAM, version=version), "[]"), 1)
    assert len(made) == KEPT_MAX
    sandboxes.run(Request(msgspec.structs.replace(PROGRAM, version=99), "[]"), 1)
    assert [one.closed for one in made] == [False, True, *[False] * (KEPT_MAX - 1)]


def test_a_failure_is_carried_whole():
    failure = Failure("transform_retry", "RetryError", 2.5)
    answer = msgspec.json.decode(msgspec.json.encode(answer_of(failure)), type=type(answer_of(None)))
    assert answer.outcome == failure
