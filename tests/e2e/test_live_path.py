"""Events put on the stream become profiles read from DynamoDB, through the deployed app."""

import gzip
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from shared import contract
from shared.adapters.kinesis import KinesisShards
from shared.adapters.s3 import S3Objects
from shared.app.markers import are_acknowledged, put_markers
from shared.core.control import READER_ARCHIVE
from tests.e2e.conftest import BUILDER, VERSION, Live, Person, eventually

pytestmark = pytest.mark.e2e

KITH = Path(sys.executable).with_name("kith")


def test_an_event_becomes_a_profile(live: Live, person: Person):
    live.put(person.event("page", context={"page": {"url": "https://shop.example/a"}}))
    profile = live.profile_with("cookie_id", person.cookie, 1)
    assert profile["identifiers"] == {"cookie_id": [person.cookie]}
    assert profile["attributes"]["page_views"] == 1


def test_visits_before_and_after_the_login_become_one_profile(live: Live, person: Person):
    other_device = f"other-{person.cookie}"
    live.put(person.event("page"), key=person.cookie)
    live.put(person.event("page", anonymousId=other_device), key=other_device)
    live.profile_with("cookie_id", person.cookie, 1)
    live.profile_with("cookie_id", other_device, 1)

    live.put(person.event("identify", userId=person.user_id), key=person.cookie)
    live.put(person.event("identify", userId=person.user_id, anonymousId=other_device), key=other_device)
    profile = live.profile_with("user_id", person.user_id, 4)
    assert sorted(profile["identifiers"]["cookie_id"]) == sorted([person.cookie, other_device])
    ids = {live.profile(kind, value)[contract.PROFILES_PK] for kind, value in _identifiers(profile)}
    assert ids == {profile[contract.PROFILES_PK]}


def test_attributes_and_traits_are_plain_values_that_anybody_can_read(live: Live, person: Person):
    live.put(
        person.event(
            "identify", userId=person.user_id, traits={"plan": "gold", "email": person.email.upper()}
        ),
        person.order("125.50"),
        person.order(75.25),
    )
    profile = live.profile_with("email", person.email, 3)
    assert profile["traits"]["plan"] == "gold"
    assert profile["attributes"]["total_order_value"] == Decimal("200.75")
    assert profile["attributes"]["orders"] == 2


def test_an_event_that_is_sent_twice_counts_once(live: Live, person: Person):
    order = person.order(10)
    live.put(order, order)
    live.profile_with("cookie_id", person.cookie, 1)
    live.put(order, person.order(5))
    profile = live.profile_with("cookie_id", person.cookie, 2)
    assert profile["attributes"]["total_order_value"] == 15


def test_records_of_several_events_are_unpacked(live: Live, person: Person):
    lines = "\n".join(json.dumps(person.order(1)) for _ in range(3)).encode()
    live.put(gzip.compress(lines), json.dumps([person.order(2), person.order(2)]).encode())
    profile = live.profile_with("cookie_id", person.cookie, 5)
    assert profile["attributes"]["total_order_value"] == 7


def test_a_bad_record_goes_to_quarantine_and_its_neighbours_are_folded(live: Live, person: Person):
    live.settle()
    before = set(live.objects(contract.PREFIX_QUARANTINE))
    live.put(person.order(1), b"\xff no JSON at all", person.order(2))
    profile = live.profile_with("cookie_id", person.cookie, 2)
    assert profile["attributes"]["total_order_value"] == 3
    [key] = eventually(lambda: set(live.objects(contract.PREFIX_QUARANTINE)) - before)
    assert live.objects(contract.PREFIX_FAILED) == []
    live.client("s3").delete_object(Bucket=live.outputs[contract.OUTPUT_ARCHIVE_BUCKET], Key=key)


def test_a_replayed_record_that_is_still_bad_stays_in_quarantine(live: Live):
    live.settle()
    live.put(b"{not even")
    keys = eventually(lambda: live.objects(contract.PREFIX_QUARANTINE))
    answer = _kith(live, "quarantine", "replay", "--all", "--json", code=1)
    assert len(json.loads(answer)["still_bad"]) == 1
    assert live.objects(contract.PREFIX_QUARANTINE) == keys


def test_the_command_line_sends_and_reads(live: Live, person: Person, tmp_path: Path):
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(person.order(total)) + "\n" for total in (1, 2, 3)))
    _kith(live, "send", str(file))
    live.profile_with("cookie_id", person.cookie, 3)
    profile = json.loads(_kith(live, "get", "cookie_id", person.cookie, "--json"))
    assert profile["attributes"]["total_order_value"] == 6
    assert profile["identifiers"] == {"cookie_id": [person.cookie]}


def test_a_profile_expires_after_calendar_months(live: Live, person: Person):
    live.put(person.event("page"))
    profile = live.profile_with("cookie_id", person.cookie, 1)
    table = live.outputs[contract.OUTPUT_PROFILES_TABLE]
    ttl = live.client("dynamodb").describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": contract.TTL_ATTRIBUTE}
    assert profile[contract.TTL_ATTRIBUTE] > 0


def test_batches_that_lambda_gave_up_on_are_drained_once_ingestion_works_again(live: Live, person: Person):
    live.settle()
    client = live.client("lambda")
    name = live.function("IngestFunction")
    environment = client.get_function_configuration(FunctionName=name)["Environment"]
    broken = {"Variables": environment["Variables"] | {contract.ENV_PROFILES_TABLE: "no-such-table"}}
    client.update_function_configuration(FunctionName=name, Environment=broken)
    try:
        live.put(person.order(7))
        [key] = eventually(lambda: live.objects(contract.PREFIX_FAILED))
        assert key.startswith(f"{contract.PREFIX_FAILED}{live.mapping_uuid}/")
    finally:
        client.update_function_configuration(FunctionName=name, Environment=environment)
    assert live.profile("cookie_id", person.cookie) is None
    live.invoke("DrainFunction")
    profile = live.profile_with("cookie_id", person.cookie, 1)
    assert profile["attributes"]["total_order_value"] == 7
    assert live.objects(contract.PREFIX_FAILED) == []


def test_every_record_is_archived_as_it_was_put(live: Live, person: Person):
    put = [json.dumps(person.order(1)).encode(), gzip.compress(b"[]")]
    put += [b"\xff" + person.id.encode(), b" \n\0" + person.id.encode()]
    before = set(live.objects(contract.PREFIX_EVENTS))
    live.put(*put, key=person.cookie)
    live.profile_with("cookie_id", person.cookie, 1)  # else two shards would race for which copy counts
    live.put(*put[:1], key="another shard, perhaps")
    live.settle()
    ours = [record for record in live.archived_since(before) if record.data in put]
    assert sorted(record.data for record in ours) == sorted([*put, put[0]])
    assert len({(record.shard, record.sequence) for record in ours}) == len(ours)


def test_the_archiver_goes_on_until_every_record_is_written(live: Live, person: Person):
    live.settle()
    client, name = live.client("lambda"), live.function("ArchiveFunction")
    environment = client.get_function_configuration(FunctionName=name)["Environment"]
    broken = {"Variables": environment["Variables"] | {contract.ENV_ARCHIVE_BUCKET: "no-such-bucket"}}
    client.update_function_configuration(FunctionName=name, Environment=broken)
    put = [json.dumps(person.order(total)).encode() for total in range(3)]
    before = set(live.objects(contract.PREFIX_EVENTS))
    try:
        live.put(*put)
        live.profile_with("cookie_id", person.cookie, 3)
        assert not live.cloud.is_caught_up()
    finally:
        client.update_function_configuration(FunctionName=name, Environment=environment)
    live.settle()
    assert [record.data for record in live.archived_since(before) if record.data in put] == put


def test_history_from_a_file_is_added_to_the_archive_once(live: Live, person: Person, tmp_path: Path):
    file = tmp_path / "history.jsonl"
    file.write_text(json.dumps(person.order(1, timestamp="2019-03-01T10:00:00Z")) + "\nnope\n")
    prefix = f"{contract.PREFIX_EVENTS}dt=2019-03-01/hour=10/"
    for told in ("added 1 event that", "nothing to add"):
        assert told in _kith(live, "backfill", str(file))
        [key] = live.objects(prefix)
        assert [record.data.decode() for record in live.archived(key)] == file.read_text().splitlines()[:1]
    bucket = live.outputs[contract.OUTPUT_ARCHIVE_BUCKET]
    for key in [*live.objects(prefix), *live.objects(contract.PREFIX_BACKFILL)]:
        live.client("s3").delete_object(Bucket=bucket, Key=key)


def test_markers_are_acknowledged_once_all_before_them_is_dealt_with(live: Live, person: Person):
    shards = KinesisShards(live.client("kinesis"), live.outputs[contract.OUTPUT_STREAM])
    objects = S3Objects(live.client("s3"), live.outputs[contract.OUTPUT_ARCHIVE_BUCKET])
    before = set(live.objects(contract.PREFIX_EVENTS))
    live.put(person.order(3))
    marked = {}
    for reader in (READER_ARCHIVE, contract.version_alias(BUILDER, VERSION)):
        token = uuid4().hex
        marked[token] = put_markers(shards, token, reader)
        assert len(marked[token]) > 1
    for token, ids in marked.items():
        eventually(lambda token=token, ids=ids: are_acknowledged(objects, token, ids))
    assert live.profile("cookie_id", person.cookie)["event_count"] == 1
    assert any(person.cookie.encode() in record.data for record in live.archived_since(before))


def _identifiers(profile) -> list[tuple[str, str]]:
    return [(kind, value) for kind, values in profile["identifiers"].items() for value in values]


def _kith(live: Live, *arguments: str, code: int = 0) -> str:
    """Run the command line as a user of this cloud does: below the folder that holds `.local`."""
    done = subprocess.run(  # noqa: S603 - our own command
        [KITH, *arguments],
        cwd=live.cloud.folder.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout
