"""What the context of user code offers, with the permissions that its functions really have."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared import contract
from tests.e2e.conftest import Live, Person, eventually
from tests.e2e.unpublished import ingest, unpublished

pytestmark = pytest.mark.e2e

BUILDER = "reaching"
SECRET, PASSWORD = "s3cret-of-the-shop", "p4ssw0rd"
DEFINITION = f"""\
name: {BUILDER}
identifiers:
  user_id: {{from: userId, known: true}}
attributes:
  seen: {{from: properties.seen, type: number, aggregation: max}}
  length: {{from: properties.length, type: number, aggregation: last}}
  refused: {{from: properties.refused, type: string, aggregation: unique_list}}
profile_function: {{debounce: 0 seconds}}
env: {{KEY: {{secret: kith/shop, key: api}}}}
warehouses: {{main: {{url: {{secret: kith/warehouse}}}}}}
"""
REFUSED = """\
def refused(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def reach(context):
    return [
        refused(lambda: context.fetch("http://169.254.169.254/latest/meta-data/")),
        refused(lambda: context.get_warehouse("main").query("SELECT 1")),
    ]


"""
TRANSFORM = f"""\
{REFUSED}
def transform(event, context):
    if event["type"] == "screen":
        raise type("named_" + context.env["KEY"], (Exception,), {{}})
    seen = (context.store.get(event["userId"]) or 0) + 1
    context.store.set(event["userId"], seen, "1h")
    properties = {{"seen": seen, "length": len(context.env["KEY"]), "refused": reach(context)}}
    return {{**event, "properties": properties}}
"""
PROFILE = f"""\
{REFUSED}
async def profile(events, user, context):
    context.store.set(user.profile_id, len(list(events)), "forever")
    (kept, _), length = context.store.get_with_ttl(user.profile_id), len(context.env["KEY"])
    return {{"traits": {{"kept": kept, "length": length, "refused": reach(context)}}}}
"""
NOTHING_REACHED = [
    "FetchError: the address is none of the public network",
    "WarehouseError: the query failed: InterfaceError",
]


@pytest.fixture(scope="module")
def reaching(guarded: Live) -> Iterator[str]:
    vault = guarded.client("secretsmanager")
    vault.create_secret(Name="kith/shop", SecretString=f'{{"api": "{SECRET}"}}')
    vault.create_secret(
        Name="kith/warehouse", SecretString=f"postgresql+pg8000://nobody:{PASSWORD}@127.0.0.1:1/x"
    )
    with unpublished(guarded, DEFINITION, {"transform.py": TRANSFORM, "profile.py": PROFILE}) as alias:
        yield alias


def test_user_code_uses_store_secrets_and_network_as_far_as_it_may(
    guarded: Live, reaching: str, person: Person
):
    """One event first, again and again: what reaches out takes long to import, where much runs beside it."""

    def after(events: int) -> dict[str, Any] | None:
        given = [person.event("page", userId=person.user_id) for _ in range(events)]
        assert ingest(guarded, reaching, given) == {"batchItemFailures": []}
        return guarded.profile("user_id", person.user_id, BUILDER)

    first = eventually(lambda: after(1))
    seen = first["attributes"]["seen"]
    found = after(2)
    assert found is not None
    assert found["attributes"] == {"seen": seen + 2, "length": len(SECRET), "refused": NOTHING_REACHED}
    expected = {"kept": found["event_count"], "length": len(SECRET), "refused": NOTHING_REACHED}

    def traits() -> Any:
        profile = guarded.profile("user_id", person.user_id, BUILDER) or {}
        return profile.get("computed", {}).get("traits")

    eventually(lambda: traits() == expected)


def test_no_log_shows_a_secret(guarded: Live, reaching: str, person: Person):
    """Not even where an error has its name from one."""
    failing = [person.event("screen", userId=person.user_id)]
    assert ingest(guarded, reaching, failing) == {"batchItemFailures": []}
    logs = guarded.client("logs")
    groups = [one["logGroupName"] for one in logs.describe_log_groups()["logGroups"]]

    def lines() -> list[str]:
        pages = (
            page
            for group in groups
            for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        )
        return [event["message"] for page in pages for event in page["events"]]

    eventually(lambda: any("named_*** at transform.py" in line for line in lines()))
    assert not [line for line in lines() if SECRET in line or PASSWORD in line]


def test_user_code_may_read_no_other_secret_and_no_other_table(guarded: Live, reaching: str):
    del reaching  # its secret is there
    guarded.client("secretsmanager").create_secret(Name="other/secret", SecretString="x" * 9)
    for part in ("TransformFunction", "FunctionsSandboxFunction"):
        name = guarded.function(part)
        role = guarded.client("lambda").get_function_configuration(FunctionName=name)["Role"]
        vault = guarded.client_as(role, "secretsmanager")
        assert SECRET in vault.get_secret_value(SecretId="kith/shop")["SecretString"]
        with pytest.raises(vault.exceptions.ClientError, match="AccessDenied"):
            vault.get_secret_value(SecretId="other/secret")
        dynamo = guarded.client_as(role, "dynamodb")
        with pytest.raises(dynamo.exceptions.ClientError, match="AccessDenied"):
            dynamo.get_item(
                TableName=guarded.outputs[contract.OUTPUT_PROFILES_TABLE],
                Key={contract.PROFILES_PK: {"S": "x"}, contract.PROFILES_SK: {"S": contract.SK_PROFILE}},
            )
