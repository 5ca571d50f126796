"""Secrets: read by whoever starts user code, and seen in nothing that comes of it."""

import boto3
import msgspec
import pytest
from moto import mock_aws

from shared.adapters.process import Outside
from shared.adapters.sandbox import FunctionSandbox, Limits, Sandbox
from shared.adapters.secrets_manager import SecretsManager
from shared.app.secrets import NO_SECRETS, SecretUnavailableError, hidden_of, start_of
from shared.core.definition import Secret
from shared.core.sandbox import Program
from tests.app.functions_input import an_input
from tests.kinesis import json_of

URL = "postgresql+pg8000://ann:p%40ss-word@127.0.0.1:1/x"


class Vault:
    """Secrets by name; it counts how often it is asked."""

    def __init__(self, **secrets):
        self.secrets = {f"kith/{name}": text for name, text in secrets.items()}
        self.read_times = 0

    def read(self, name):
        self.read_times += 1
        if name not in self.secrets:
            raise SecretUnavailableError(f"the secret {name} cannot be read: ResourceNotFoundException")
        return self.secrets[name]


VAULT = {"key": "s3cret-key", "json": '{"key": "s3cret-of-json", "n": 7}', "url": URL}
ENV = {"PLAIN": "plain", "KEY": Secret("kith/key"), "JSON": Secret("kith/json", "key")}

TRANSFORM = """
def transform(event, context):
    print(context.env["KEY"], repr(context.env))
    context.log.info("logged", key=context.env["KEY"], json=context.env["JSON"])
    for number in range(10):
        context.log.warn(context.env["KEY"][: number + 4])
    if event["do"] == "raise":
        raise ValueError(context.env["KEY"])
    if event["do"] == "name":
        raise type(context.env["JSON"], (Exception,), {})(context.env["KEY"])
    if event["do"] == "type":
        return {"a": type(context.env["KEY"], (), {})()}
    if event["do"] == "query":
        context.get_warehouse("main").query("SELECT 1")
    return {"length": len(context.env["KEY"] + context.env["JSON"])}
"""
PROFILE = """
async def profile(events, user, context):
    [event] = events
    print(context.env["JSON"])
    if event["do"] == "query":
        context.get_warehouse("main").query("SELECT 1")
    raise type(context.env["JSON"], (Exception,), {})(context.env["KEY"])
"""


def program(source, file="transform.py", env=ENV):
    return Program("customers", 1, source, env, file, warehouses={"main": Secret("kith/url")})


def outside(vault):
    return Outside(vault)


def told_of(*dos):
    """Run the chain; return its answers, and all that is told of them as one text."""
    sandbox = Sandbox(program(TRANSFORM), Limits(), outside(Vault(**VAULT)))
    answers = sandbox.run([msgspec.Raw(json_of({"do": do})) for do in dos], 60)
    sandbox.close()
    return answers, msgspec.json.encode(answers).decode()


def test_user_code_gets_secrets_and_nothing_that_comes_of_it_shows_them():
    answers, told = told_of("go", "raise", "name", "type", "query")
    assert msgspec.json.decode(answers[0].made[0].text) == {"length": len("s3cret-keys3cret-of-json")}
    assert [one.failure.detail for one in answers[1:4]] == [
        "ValueError at transform.py:8",
        "*** at transform.py:10",
        "the result cannot become JSON: Encoding objects of type *** is unsupported",
    ]
    assert answers[0].lines[1] == ("info", "logged key=*** json=***")
    for hidden in ("s3cret-key", "s3cret-of-json", "p%40ss-word", "p@ss-word"):
        assert hidden not in told


def test_a_profile_function_gets_and_shows_as_much():
    sandbox = FunctionSandbox(program(PROFILE, "profile.py"), Limits(), outside(Vault(**VAULT)))
    answers = sandbox.run([an_input([{"do": do}]) for do in ("raise", "query")], 60)
    sandbox.close()
    assert [one.failure.detail for one in answers] == [
        "*** at profile.py:7",
        "WarehouseError at profile.py:6",
    ]
    assert "s3cret" not in msgspec.json.encode(answers).decode()


def test_secrets_are_read_when_a_process_is_started_and_not_again_while_it_is_kept(monkeypatch):
    vault = Vault(**VAULT)
    sandbox = Sandbox(program(TRANSFORM), Limits(), outside(vault))
    assert vault.read_times == 0
    for _ in range(3):
        sandbox.run([msgspec.Raw(b'{"do": "go"}')], 60)
    assert vault.read_times == 3
    monkeypatch.setattr("shared.adapters.sandbox.AGE_S_MAX", -1)
    vault.secrets["kith/key"] = "another-key"
    [answer] = sandbox.run([msgspec.Raw(b'{"do": "go"}')], 60)
    assert msgspec.json.decode(answer.made[0].text) == {"length": len("another-keys3cret-of-json")}
    sandbox.close()


@pytest.mark.parametrize(
    ("secret", "vault", "detail"),
    [
        (Secret("kith/key"), {}, "the secret kith/key cannot be read: ResourceNotFoundException"),
        (Secret("kith/key"), {"key": "abc"}, "the secret kith/key must be text of 4 characters or more"),
        (Secret("kith/key", "a"), {"key": "s3cret"}, "the secret kith/key is no JSON object with the key a"),
        (Secret("kith/key", "a"), {"key": "{}"}, "the secret kith/key is no JSON object with the key a"),
        (Secret("kith/key", "a"), {"key": '{"a": 7}'}, "the secret kith/key must be text of 4 characters"),
    ],
)
def test_events_wait_for_a_secret_that_cannot_be_read(secret, vault, detail):
    sandbox = Sandbox(program(TRANSFORM, env={"KEY": secret}), Limits(), outside(Vault(url=URL, **vault)))
    answers = sandbox.run([msgspec.Raw(b"{}")] * 2, 60)
    assert [one.failure.reason for one in answers] == ["transform_retry"] * 2
    assert detail in answers[0].failure.detail
    assert "s3cret" not in answers[0].failure.detail


def test_without_a_vault_there_are_none():
    with pytest.raises(SecretUnavailableError, match="kith/key cannot be read here"):
        start_of(program(TRANSFORM), NO_SECRETS)


def test_of_a_url_all_of_it_and_its_password_are_hidden():
    assert hidden_of([URL, "duckdb:///x", "http://[bad"]) == (
        URL,
        "p%40ss-word",
        "p@ss-word",
        "duckdb:///x",
        "http://[bad",
    )


@mock_aws
def test_secrets_manager_is_asked_by_name():
    client = boto3.client("secretsmanager", "eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    client.create_secret(Name="kith/text", SecretString="s3cret")
    client.create_secret(Name="kith/bytes", SecretBinary=b"s3cret")
    secrets = SecretsManager(client)
    assert secrets.read("kith/text") == "s3cret"
    with pytest.raises(SecretUnavailableError, match="kith/bytes is no text"):
        secrets.read("kith/bytes")
    with pytest.raises(SecretUnavailableError, match="cannot be read: ResourceNotFoundException"):
        secrets.read("kith/other")
