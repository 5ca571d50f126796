"""The same with every permission checked: each function works with exactly the role it has."""

import pytest

from local.cloud import LocalCloud
from shared import contract
from tests.e2e.conftest import Live, Person, eventually

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def guarded(cloud: LocalCloud) -> Live:
    """The deployed cloud, restarted with the engine's IAM enforcement on; it stays on afterwards."""
    cloud.restart_enforcing_iam()
    return Live(cloud)


def test_permissions_are_checked_at_all(guarded: Live):
    client = guarded.client("lambda")
    role = client.get_function_configuration(FunctionName=guarded.function("DrainFunction"))["Role"]
    theirs = guarded.client_as(role, "dynamodb")
    with pytest.raises(theirs.exceptions.ClientError, match="AccessDenied"):
        theirs.scan(TableName=guarded.outputs[contract.OUTPUT_PROFILES_TABLE])


def test_events_are_folded_and_stitched(guarded: Live, person: Person):
    guarded.put(person.event("page"), person.event("identify", userId=person.user_id))
    profile = guarded.profile_with("user_id", person.user_id, 2)
    assert profile["identifiers"] == {"cookie_id": [person.cookie], "user_id": [person.user_id]}


def test_a_bad_record_reaches_quarantine(guarded: Live):
    guarded.settle()
    before = set(guarded.objects(contract.PREFIX_QUARANTINE))
    guarded.put(b"\xff")
    assert len(eventually(lambda: set(guarded.objects(contract.PREFIX_QUARANTINE)) - before)) == 1


def test_a_failing_batch_reaches_the_failure_destination_and_is_drained(guarded: Live, person: Person):
    client = guarded.client("lambda")
    name = guarded.function("IngestFunction")
    environment = client.get_function_configuration(FunctionName=name)["Environment"]
    broken = {"Variables": environment["Variables"] | {contract.ENV_PROFILES_TABLE: "no-such-table"}}
    client.update_function_configuration(FunctionName=name, Environment=broken)
    try:
        guarded.put(person.order(7))
        eventually(lambda: guarded.objects(contract.PREFIX_FAILED))
    finally:
        client.update_function_configuration(FunctionName=name, Environment=environment)
    guarded.invoke("DrainFunction")
    assert guarded.profile_with("cookie_id", person.cookie, 1)["attributes"]["orders"] == 1
    assert guarded.objects(contract.PREFIX_FAILED) == []
