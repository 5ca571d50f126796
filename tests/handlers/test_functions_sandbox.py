"""The function that runs profile functions: its answers, and what it tells of user code."""

import importlib
import json

import msgspec
import pytest

from shared import contract
from shared.app.sandboxes import inputs_json
from shared.core.sandbox import FunctionRequest, Program
from tests.app.functions_input import an_input
from tests.handlers.test_transform import Context

SOURCE = """
def profile(events, user, context):
    context.log.info("seen", key=context.env["KEY"])
    context.metrics.count("seen")
    names = [event["name"] for event in events]
    if "bad" in names:
        raise ValueError(names)
    return {"traits": {"names": names}}
"""


@pytest.fixture
def handler(monkeypatch):
    monkeypatch.setenv(contract.ENV_STAGE, "test")
    module = importlib.import_module("lambdas.functions_sandbox.handler")
    yield module.handler
    module.SANDBOXES.close()


def call(handler, *names):
    inputs = inputs_json([an_input([{"name": name}]) for name in names]).decode()
    request = FunctionRequest(Program("customers", 3, SOURCE, {"KEY": "s3cret"}, "profile.py"), inputs)
    payload = json.loads(json.dumps(msgspec.to_builtins(request)))
    return json.loads(json.loads(json.dumps(handler(payload, Context())))["answers"])


def test_profiles_get_what_the_function_returns_and_failures_are_told(handler):
    good, bad = call(handler, "Ann Example", "bad")
    assert good == {"value": {"traits": {"names": ["Ann Example"]}}}
    assert bad == {"failure": {"reason": "function_error", "detail": "ValueError at profile.py:7"}}


def test_the_log_tells_of_user_code_but_nothing_of_profiles_nor_secrets(handler, caplog, capsys):
    call(handler, "Ann Example", "bad", "bad")
    told = {record.code: record.data for record in caplog.records if record.code != "KITH-601"}
    assert told["KITH-602"]["profiles"] == 2
    assert told["KITH-603"] == {"builder": "customers", "version": 3, "profiles": 3, "failed": 2}
    logged = [record.data["text"] for record in caplog.records if record.code == "KITH-601"]
    assert logged == ["seen key=***"] * 3
    assert "Example" not in caplog.text
    assert "s3cret" not in caplog.text
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [one["User.seen"] for one in metrics] == [[3.0]]
