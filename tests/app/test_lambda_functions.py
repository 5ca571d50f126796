"""Running profile functions by calls of the function: what fails there costs its own profile."""

import json
from decimal import Decimal
from io import BytesIO

import botocore.exceptions
import msgspec
import pytest

from shared.adapters import lambda_functions
from shared.adapters.lambda_functions import FunctionUnavailableError, LambdaProfileFunction
from shared.app.functions.local import LocalProfileFunction
from shared.app.sandboxes import FunctionSandboxes
from shared.core.definition import Definition
from shared.core.functions import FunctionFailure, FunctionResult
from shared.core.profile_code import ProfileCode
from shared.core.sandbox import FunctionAnswer, FunctionRequest, Program
from shared.core.user_context import UserContext
from tests.app.functions_input import an_input

SOURCE = """
def profile(events, user, context):
    names = [event["name"] for event in events]
    if "fail" in names:
        raise ValueError
    return {"traits": {"names": names, **user.traits}} if names != ["none"] else None
"""
PROGRAM = Program("customers", 3, SOURCE, {}, "profile.py")
UNREACHED = FunctionAnswer(failure=FunctionFailure("function_timeout", "not reached"), unreached=True)


class InProcess:
    """A sandbox without walls, that reaches `reach` profiles of a call."""

    reach = 100

    def __init__(self, program):
        context = UserContext(program.builder, program.version, program.env, lambda *_: None, {})
        self.code = ProfileCode(program.source, context)

    def run(self, inputs, time_s, run_s=None):
        assert (time_s, run_s) == (1, 4)
        answers = [self.answer(one) for one in inputs[: self.reach]]
        return answers + [UNREACHED] * (len(inputs) - len(answers))

    def answer(self, one):
        result = self.code.run(one.user, one.chunks, one.since_ms)
        if isinstance(result, FunctionFailure):
            return FunctionAnswer(failure=result, lines=[("info", "logged")])
        return FunctionAnswer(value=msgspec.Raw(result or b"null"), lines=[("info", "logged")])

    def close(self):
        pass


class FakeLambda:
    """The function, called as AWS calls it: JSON in, JSON out. It fails on what is `deadly`."""

    def __init__(self):
        self.objects = {}
        self.sandboxes = FunctionSandboxes(InProcess, self.objects.get)
        self.deadly = None
        self.sizes = []
        self.error = None

    def invoke(self, *, FunctionName, Payload):  # noqa: N803 - botocore's names
        assert FunctionName == "arn"
        if self.error:
            raise self.error
        # As the runtime of Lambda hands it over, and takes the answer.
        request = msgspec.convert(json.loads(Payload), FunctionRequest)
        inputs = json.loads(self.objects[request.url] if request.url else request.inputs)
        self.sizes.append(len(inputs))
        if self.deadly in [one["user"]["profile_id"] for one in inputs]:
            return {"FunctionError": "Unhandled", "Payload": BytesIO(b'{"errorType": "Sandbox.Timedout"}')}
        response, answers = self.sandboxes.run(request, 1)
        assert all(one.lines or one.unreached for one in answers)
        assert '"logged"' not in response.answers
        return {"Payload": BytesIO(json.dumps(msgspec.to_builtins(response)).encode())}

    def keep(self, data):
        self.objects["url"] = data
        return "url"


def inputs(*names):
    traits = {"x": Decimal("1.10"), "n": 10**30}
    return [an_input([{"name": name}], profile_id=f"p{name}", traits=traits) for name in names]


def run(client, *names):
    return LambdaProfileFunction(client, "arn", PROGRAM, client.keep).run(inputs(*names), 4)


def made(name):
    return FunctionResult({"names": [name], "x": Decimal("1.1"), "n": 10**30})


def test_each_profile_gets_its_outcome_the_same_as_in_this_process():
    outcomes = run(FakeLambda(), "a", "none", "fail")
    assert outcomes[:2] == [made("a"), None]
    assert outcomes[2] == FunctionFailure("function_error", "ValueError at profile.py:5")
    local = LocalProfileFunction(SOURCE, Definition("customers", (), ()), lambda *_: None, {})
    assert local.run(inputs("a", "none", "fail")) == outcomes


def test_nobody_is_asked_about_nothing():
    client = FakeLambda()
    assert run(client) == []
    assert client.sizes == []


def test_what_is_too_large_for_a_call_goes_another_way(monkeypatch):
    client = FakeLambda()
    monkeypatch.setattr(lambda_functions, "REQUEST_BYTES_MAX", 600)
    assert run(client, "a" * 1000, "b", "c") == [made("a" * 1000), made("b"), made("c")]
    assert (client.sizes[0], sum(client.sizes)) == (1, 3)
    assert client.objects


def test_what_was_not_reached_is_run_by_another_call(monkeypatch):
    client = FakeLambda()
    monkeypatch.setattr(InProcess, "reach", 2)
    assert run(client, *"abcde") == [made(one) for one in "abcde"]
    assert client.sizes == [5, 3, 1]
    monkeypatch.setattr(InProcess, "reach", 0)
    with pytest.raises(FunctionUnavailableError):
        run(client, "a")


def test_one_that_takes_the_function_with_it_fails_alone():
    client = FakeLambda()
    client.deadly = "pc"
    crashed = FunctionFailure("function_crash", "the function failed, or its answer is too large")
    assert run(client, *"abcd") == [made("a"), made("b"), crashed, made("d")]


def test_where_the_function_fails_whatever_it_is_given_nothing_is_known():
    client = FakeLambda()
    client.error = botocore.exceptions.ReadTimeoutError(endpoint_url="x")
    with pytest.raises(FunctionUnavailableError, match="ReadTimeoutError"):
        run(client, "a")

    class Broken(FakeLambda):
        def invoke(self, **_):
            return {"FunctionError": "Unhandled", "Payload": BytesIO(b"{}")}

    with pytest.raises(FunctionUnavailableError, match="whatever"):
        run(Broken(), "a")


def test_few_enough_go_in_one_call_that_their_results_fit_its_answer(monkeypatch):
    client = FakeLambda()
    monkeypatch.setattr(lambda_functions, "INPUTS_MAX", 2)
    run(client, *"abcde")
    assert client.sizes == [2, 2, 1]
