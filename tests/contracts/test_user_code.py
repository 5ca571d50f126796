"""What is kept for user code outside of its process, where the environment of its functions says."""

import botocore.session
import msgspec
import pytest

from shared import contract
from shared.adapters.sandbox import Limits, Sandbox
from shared.core.definition import Secret
from shared.core.sandbox import Program
from tests.contracts.engines import CREDENTIALS

TABLE = "user-store-of-functions"
SOURCE = """
def transform(event, context):
    seen = (context.store.get("seen") or 0) + 1
    context.store.set("seen", seen, "1h")
    return {"seen": seen, "ttl": context.store.ttl("seen"), "length": len(context.env["KEY"])}
"""
PROGRAM = Program("customers", 3, SOURCE, {"KEY": Secret("kith/shop", "api")})


@pytest.fixture
def outside(ministack_endpoint, monkeypatch):
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": ministack_endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(contract.ENV_STAGE, "test")
    monkeypatch.setenv(contract.ENV_USER_STORE, TABLE)
    session = botocore.session.Session()
    dynamo = session.create_client("dynamodb")
    dynamo.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": contract.USER_STORE_PK, "AttributeType": "S"}],
        KeySchema=[{"AttributeName": contract.USER_STORE_PK, "KeyType": "HASH"}],
    )
    vault = session.create_client("secretsmanager")
    vault.create_secret(Name="kith/shop", SecretString='{"api": "s3cret"}')
    from shared.runtime.user_code import outside  # noqa: PLC0415 - what it imports reads the environment

    yield outside()
    dynamo.delete_table(TableName=TABLE)
    dynamo.close()
    vault.close()


def test_user_code_gets_its_store_and_secrets(outside):
    sandbox = Sandbox(PROGRAM, Limits(event_s=30), outside)
    answers = sandbox.run([msgspec.Raw(b"{}")] * 2, 60)
    sandbox.close()
    assert [msgspec.json.decode(one.made[0].text) for one in answers] == [
        {"seen": 1, "ttl": 3600, "length": 6},
        {"seen": 2, "ttl": 3600, "length": 6},
    ]
