"""The same with every permission checked: each function works with exactly the role it has.

What follows a write (segments to delete, pointers to move) may fail without failing the batch: a permission
that is missing there shows in what stays behind.
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from shared import contract
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.dynamo.layout import MERGED_AT
from shared.adapters.kinesis import KinesisShards
from shared.app.markers import put_markers
from shared.core.control import READER_ARCHIVE
from shared.core.identity.identifiers import Identifier
from tests.e2e.conftest import BUILDER, VERSION, Live, Person, eventually
from tests.e2e.functions import DEFINITION, FunctionVisitors
from tests.e2e.unpublished import ingest, unpublished

pytestmark = pytest.mark.e2e

VIEWS = 20
"""Page views in one batch: more than fit into the kilobytes that a profile's item takes anyway, so that each
batch makes a segment."""
BATCHES = MERGED_AT + 2
"""More than the small segments that become a large one."""
COOKIES = 110
"""More than one transaction takes (100), so that a profile with as many leaves a redirect."""


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


def test_lists_grow_into_segments_which_are_merged(guarded: Live, person: Person):
    for batch in range(1, BATCHES + 1):
        guarded.put(*_views(person, VIEWS))
        profile = guarded.profile_with("cookie_id", person.cookie, batch * VIEWS)
    guarded.settle()
    assert profile["attributes"]["page_views"] == BATCHES * VIEWS
    segments = [item for item in _items(guarded, profile) if item.startswith(contract.SK_BODY_PREFIX)]
    assert 0 < len(segments) < BATCHES, "segments that were merged are still there"


def test_a_merged_profile_leaves_a_tombstone_and_no_segments(guarded: Live, person: Person):
    other = Person()
    guarded.put(*_views(person, 2 * VIEWS), *_views(other, 2 * VIEWS))
    profiles = [guarded.profile_with("cookie_id", one.cookie, 2 * VIEWS) for one in (person, other)]
    assert all(len(_items(guarded, profile)) > 1 for profile in profiles)

    guarded.put(person.event("alias", previousId=other.cookie))
    merged = guarded.profile_with("cookie_id", other.cookie, 4 * VIEWS + 1)
    guarded.settle()
    [gone] = [one for one in profiles if one[contract.PROFILES_PK] != merged[contract.PROFILES_PK]]
    assert _items(guarded, gone) == [contract.SK_PROFILE]


def test_pointers_of_a_profile_too_large_for_one_transaction_are_moved(guarded: Live, person: Person):
    other = Person()
    for one in (person, other):
        guarded.put(*(_login(one, number) for number in range(COOKIES)))
    profiles = [guarded.profile_with("user_id", one.user_id, COOKIES) for one in (person, other)]

    guarded.put(_login(person, 0, previousId=f"{other.cookie}-0"))
    merged = guarded.profile_with("user_id", person.user_id, 2 * COOKIES + 1)
    guarded.settle()
    assert len(merged["identifiers"]["cookie_id"]) == 2 * COOKIES
    [gone] = [one for one in profiles if one[contract.PROFILES_PK] != merged[contract.PROFILES_PK]]
    assert _items(guarded, gone) == [contract.SK_PROFILE], "a redirect, and nothing else"
    cookies = [f"{one.cookie}-{number}" for one in (person, other) for number in range(COOKIES)]
    assert _owners(guarded, cookies) == {merged[contract.PROFILES_PK]}


def test_an_identifier_whose_profile_has_expired_founds_another(guarded: Live, person: Person):
    # Only what outlives a profile is there: one that had been would come back with the next version.
    keyspace, expired = Keyspace(BUILDER, VERSION), uuid4().hex
    pointer = keyspace.pointer(Identifier("cookie_id", person.cookie)) | {
        "profile_id": {"S": expired},
        "first_seen": {"S": "2020-01-01T00:00:00.000Z"},
        contract.TTL_ATTRIBUTE: {"N": str(int(time.time()) + 3600)},
    }
    table = guarded.outputs[contract.OUTPUT_IDENTIFIERS_TABLE]
    guarded.client("dynamodb").put_item(TableName=table, Item=pointer)
    guarded.put(person.event("page"))
    profile = guarded.profile_with("cookie_id", person.cookie, 1)
    assert profile[contract.PROFILES_PK] != keyspace.profile(expired)[contract.PROFILES_PK]["S"]


def test_a_bad_record_reaches_quarantine(guarded: Live):
    guarded.settle()
    before = set(guarded.objects(contract.PREFIX_QUARANTINE))
    guarded.put(b"\xff")
    assert len(eventually(lambda: set(guarded.objects(contract.PREFIX_QUARANTINE)) - before)) == 1


def test_records_and_markers_reach_the_archive(guarded: Live, person: Person):
    shards = KinesisShards(guarded.client("kinesis"), guarded.outputs[contract.OUTPUT_STREAM])
    before = set(guarded.objects(contract.PREFIX_EVENTS))
    guarded.put(person.order(1))
    token = uuid4().hex
    marked = put_markers(shards, token, READER_ARCHIVE)
    prefix = f"{contract.PREFIX_MARKERS}{token}/"
    eventually(lambda: set(guarded.objects(prefix)) == {prefix + shard for shard in marked})
    assert any(person.cookie.encode() in one.data for one in guarded.archived_since(before))


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


def test_the_state_machine_may_call_its_functions_and_read_its_manifests(guarded: Live):
    """The engine asks nobody when a state machine calls: its role is tried as if somebody else had it."""
    machine = guarded.outputs[contract.OUTPUT_REBUILD]
    found = guarded.client("stepfunctions").describe_state_machine(stateMachineArn=machine)
    called = set(re.findall(r"arn:[^\"]+:function:[^\"]+", found["definition"]))
    assert len(called) == 10
    theirs = guarded.client_as(found["roleArn"], "lambda")
    for function in called:
        theirs.invoke(FunctionName=function, InvocationType="DryRun")
    with pytest.raises(theirs.exceptions.ClientError, match="AccessDenied"):
        theirs.invoke(FunctionName=guarded.function("IngestFunction"), InvocationType="DryRun")

    bucket = guarded.outputs[contract.OUTPUT_ARCHIVE_BUCKET]
    theirs = guarded.client_as(found["roleArn"], "s3")
    guarded.client("s3").put_object(Bucket=bucket, Key=f"{contract.PREFIX_REBUILD}x", Body=b"")
    theirs.get_object(Bucket=bucket, Key=f"{contract.PREFIX_REBUILD}x")
    with pytest.raises(theirs.exceptions.ClientError, match="AccessDenied"):
        theirs.get_object(Bucket=bucket, Key=f"{contract.PREFIX_EVENTS}x")


def test_the_queue_of_due_profiles_is_filled_by_one_function_and_emptied_by_another(guarded: Live):
    """The engine asks nobody when it reads a queue for a function: roles are tried as if others had them."""
    queue = guarded.outputs[contract.OUTPUT_FUNCTIONS_QUEUE]
    client = guarded.client("lambda")
    dispatch, run = (
        guarded.client_as(
            client.get_function_configuration(FunctionName=guarded.function(part))["Role"], "sqs"
        )
        for part in ("FunctionsDispatchFunction", "FunctionsRunFunction")
    )
    dispatch.send_message(QueueUrl=queue, MessageBody="no message of Kith's, which is dropped")
    with pytest.raises(dispatch.exceptions.ClientError, match="AccessDenied"):
        dispatch.receive_message(QueueUrl=queue)
    run.receive_message(QueueUrl=queue, VisibilityTimeout=0)
    run.send_message(QueueUrl=queue, MessageBody="no message either, as one that has to wait is sent anew")
    with pytest.raises(run.exceptions.ClientError, match="AccessDenied"):
        run.purge_queue(QueueUrl=queue)


def test_versions_are_built_take_over_and_are_cleaned_up(guarded: Live, person: Person, tmp_path: Path):
    """With what the archive holds of the tests before: events, bad records, control records.

    And with a profile function, which keeps something for itself, and fails when it is asked to.
    """
    visitors = FunctionVisitors(guarded, tmp_path)
    guarded.put(person.order(3), b"\xff")
    try:
        old = visitors.publish_function(_with_attribute("a"), KEEPING)
        new = visitors.publish_function(_with_attribute("b"), KEEPING)
        profile = visitors.profile(person.cookie)
        assert profile["attributes"]["M"]["orders_b"]["N"] == "1"
        assert visitors.consumers() == {contract.version_alias("visitors", new)}
        assert (visitors.items(old), visitors.objects(old)) == (0, [])
        guarded.put(person.order(5))
        eventually(lambda: visitors.computed(person.cookie) == {"traits": {"kept": new, "seen": 2}})
        guarded.put(person.event("track", event="Fail"))
        prefix = f"{contract.PREFIX_FUNCTION_ERRORS}visitors/v{new}/"
        eventually(lambda: guarded.objects(prefix))
        assert visitors.computed(person.cookie) == {"traits": {"kept": new, "seen": 2}}
    finally:
        visitors.stop()


KEEPING = """\
def profile(events, user, context):
    if any(event.get("event") == "Fail" for event in events):
        raise ValueError
    kept = context.store.get_or_set(user.profile_id, context.profile_builder.version)
    return {"traits": {"kept": kept, "seen": sum(1 for _ in events)}}
"""


def _with_attribute(name: str) -> str:
    count = f"  orders_{name}: {{aggregation: count, when: {{event: Order Completed}}}}\n"
    return DEFINITION.replace("profile_function:", f"{count}profile_function:")


def _views(person: Person, count: int) -> list[dict[str, Any]]:
    """Make page views of long URLs, all of one cookie."""
    return [
        person.event("page", context={"page": {"url": f"https://shop.example.com/{number:0>300}"}})
        for number in range(count)
    ]


def _login(person: Person, number: int, **changes: Any) -> dict[str, Any]:
    """Make an event that links the person's user id to another cookie."""
    return person.event("identify", userId=person.user_id, anonymousId=f"{person.cookie}-{number}", **changes)


def _items(live: Live, profile: dict[str, Any]) -> list[str]:
    """Read the sort keys of all that is stored of a profile."""
    found = live.client("dynamodb").query(
        TableName=live.outputs[contract.OUTPUT_PROFILES_TABLE],
        KeyConditionExpression="#pk = :pk",
        ExpressionAttributeNames={"#pk": contract.PROFILES_PK},
        ExpressionAttributeValues={":pk": {"S": profile[contract.PROFILES_PK]}},
        ConsistentRead=True,
    )["Items"]
    return [item[contract.PROFILES_SK]["S"] for item in found]


def _owners(live: Live, cookies: list[str]) -> set[str]:
    """Read which profiles, by their partition keys, the pointers of cookies lead to."""
    client, table = live.client("dynamodb"), live.outputs[contract.OUTPUT_IDENTIFIERS_TABLE]
    prefix = f"{BUILDER}#{VERSION}#"
    keys = [{contract.IDENTIFIERS_PK: {"S": f"{prefix}cookie_id#{cookie}"}} for cookie in cookies]
    pointers = [client.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"] for key in keys]
    return {prefix + pointer["profile_id"]["S"] for pointer in pointers}


CHAIN = """
import os
from kith import RetryError

tried = set()

def transform(event, context):
    match event["properties"]["total"]:
        case 1:
            return [{**event, "custom_id": "c-" + event["userId"]}, event]
        case 2:
            os._exit(1)
        case 3:
            open("/proc/self/environ").read()
            if event["messageId"] not in tried:
                tried.add(event["messageId"])
                raise RetryError("later", delay_s=0)
"""


@pytest.fixture
def chained(guarded: Live) -> Iterator[str]:
    """A version of a builder with a chain, which nothing consumes: its alias."""
    definition = (
        "name: chained\nidentifiers: {user_id: {from: userId, known: true}}\n"
        "attributes: {orders: {aggregation: count}}"
    )
    with unpublished(guarded, definition, {"transform.py": CHAIN}) as alias:
        yield alias


def test_a_chain_is_run_where_it_can_harm_nobody_and_waits_where_it_must(
    guarded: Live, person: Person, chained: str
):
    events = [person.order(total, userId=person.user_id) for total in (0, 1, 2, 3)]
    assert ingest(guarded, chained, events) == {"batchItemFailures": []}
    assert _chained(guarded, person)["event_count"] == 3
    assert _chained(guarded, person)["identifiers"] == {
        "custom_id": [f"c-{person.user_id}"],
        "user_id": [person.user_id],
    }
    [bad] = guarded.objects(f"{contract.PREFIX_QUARANTINE}chained/")
    assert f"{3:056}" in bad, "the one whose code ended its process"

    def retried() -> bool:
        guarded.invoke("DrainFunction")
        return _chained(guarded, person)["event_count"] == 4

    eventually(retried)
    assert guarded.objects(contract.PREFIX_RETRIES) == []


def _chained(live: Live, person: Person) -> dict[str, Any]:
    profile = live.profile("user_id", person.user_id, builder="chained")
    assert profile is not None
    return profile
