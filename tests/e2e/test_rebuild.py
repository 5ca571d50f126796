"""Versions are built from the archive, follow the stream and take over, while events come in and are read.

All on a builder of its own, so that the profiles of others stay as they are.
"""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import pytest

from shared import contract
from tests.e2e.conftest import Live, Person, eventually

pytestmark = pytest.mark.e2e

KITH = Path(sys.executable).with_name("kith")
BUILDER = "visitors"
DEFINITION = """\
name: visitors
identifiers:
  user_id: {from: userId, known: true}
  cookie_id: {from: anonymousId}
attributes:
  visits: {aggregation: count}
"""
CHANGED = DEFINITION + "  spent: {from: properties.total, type: number, aggregation: sum}\n"
PEOPLE = 8
PAUSE_S = 0.05


class Visitors:
    """The builder as its owner sees it: definitions are published, profiles read by the active version."""

    def __init__(self, live: Live, folder: Path) -> None:
        self.live = live
        self.folder = folder / BUILDER

    def publish(self, definition: str) -> int:
        """Publish a definition, and return its version; it is then building."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "builder.yaml").write_text(definition)
        self.kith("draft", str(self.folder))
        self.kith("publish", BUILDER)
        return int(self.versions()[-1]["version"])

    def versions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kith("versions", BUILDER, "--json"))["versions"]
        return found

    def row(self, version: int) -> dict[str, Any]:
        """Read a version's row as it is now."""
        key = {
            contract.REGISTRY_PK: {"S": BUILDER},
            contract.REGISTRY_SK: {"S": contract.registry_version(version)},
        }
        return self._get(contract.OUTPUT_REGISTRY_TABLE, key) or {}

    def active(self) -> int:
        key = {
            contract.REGISTRY_PK: {"S": BUILDER},
            contract.REGISTRY_SK: {"S": contract.REGISTRY_ACTIVE},
        }
        row = self._get(contract.OUTPUT_REGISTRY_TABLE, key)
        return int(row["active_version"]["N"]) if row else 0

    def has(self, version: int, status: str) -> bool:
        found = self.row(version).get("status", {}).get("S")
        assert found in {status, "building"}, self.row(version)
        return found == status

    def until(self, version: int, status: str) -> None:
        eventually(lambda: self.has(version, status))

    def execution(self, version: int, suffix: str = "") -> str:
        """How the execution of a version is: RUNNING, or how it ended."""
        machine: str = self.live.outputs[contract.OUTPUT_REBUILD]
        name = contract.version_alias(BUILDER, version) + suffix
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        return str(self.live.client("stepfunctions").describe_execution(executionArn=arn)["status"])

    def ended(self, version: int, suffix: str = "") -> str:
        """Wait for the end of a version's execution; return how it ended."""
        running = "RUNNING"
        return eventually(lambda: (found := self.execution(version, suffix)) != running and found)

    def profile(self, cookie: str, version: int | None = None) -> dict[str, Any] | None:
        prefix = f"{BUILDER}#{version or self.active()}#"
        pointer = self._get(
            contract.OUTPUT_IDENTIFIERS_TABLE,
            {contract.IDENTIFIERS_PK: {"S": f"{prefix}cookie_id#{cookie}"}},
        )
        if pointer is None:
            return None
        key = {
            contract.PROFILES_PK: {"S": prefix + pointer["profile_id"]["S"]},
            contract.PROFILES_SK: {"S": contract.SK_PROFILE},
        }
        return self._get(contract.OUTPUT_PROFILES_TABLE, key)

    def items(self, version: int) -> int:
        """Count what is stored of a version in both tables."""
        prefix = f"{BUILDER}#{version}#"
        tables = (contract.OUTPUT_PROFILES_TABLE, contract.OUTPUT_IDENTIFIERS_TABLE)
        return sum(
            item[contract.PROFILES_PK]["S"].startswith(prefix)
            for table in tables
            for page in self.live.client("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self.live.outputs[table])
            for item in page["Items"]
        )

    def consumers(self) -> set[str]:
        """The aliases of this builder that consume the stream."""
        mappings = self.live.client("lambda").list_event_source_mappings()["EventSourceMappings"]
        aliases = {mapping["FunctionArn"].rpartition(":")[2] for mapping in mappings}
        return {alias for alias in aliases if alias.startswith(f"{BUILDER}-v")}

    def kith(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(  # noqa: S603 - our own command
            [KITH, *arguments],
            cwd=self.live.cloud.folder.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    def _get(self, output: str, key: dict[str, Any]) -> dict[str, Any] | None:
        answer = self.live.client("dynamodb").get_item(
            TableName=self.live.outputs[output], Key=key, ConsistentRead=True
        )
        item: dict[str, Any] | None = answer.get("Item")
        return item


class Background:
    """Does something again and again in a thread of its own; what it raises is raised at the end."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action
        self._ended = Event()
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._action()
                time.sleep(PAUSE_S)
        except BaseException as error:  # noqa: BLE001 - it is raised where the thread was started
            self._error = error


class Producer:
    """Posts events of some people, one after another, and knows how many of each."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._people = [Person() for _ in range(PEOPLE)]
        self.posted: Counter[str] = Counter()

    def post(self) -> None:
        person = self._people[self.posted.total() % PEOPLE]
        self._live.put(person.order(2), key=person.cookie)
        self.posted[person.cookie] += 1


@pytest.fixture(scope="module")
def visitors(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Visitors:
    return Visitors(live, tmp_path_factory.mktemp("builders"))


@pytest.fixture(scope="module")
def producer(live: Live) -> Producer:
    producer = Producer(live)
    for _ in range(2 * PEOPLE):
        producer.post()
    return producer


@pytest.fixture(scope="module")
def first(visitors: Visitors, producer: Producer) -> int:  # noqa: ARG001 - its events are there before
    """The builder's first version, built from what the archive held before anybody thought of it."""
    version = visitors.publish(DEFINITION)
    assert visitors.ended(version) == "SUCCEEDED", visitors.row(version)
    return version


def counts(visitors: Visitors, producer: Producer, version: int) -> dict[str, int]:
    """How many events the profiles of a version have, by cookie."""
    found = {cookie: visitors.profile(cookie, version) for cookie in producer.posted}
    return {cookie: int(profile["event_count"]["N"]) for cookie, profile in found.items() if profile}


def test_a_new_builder_begins_with_what_the_archive_holds(visitors: Visitors, first: int, producer: Producer):
    assert visitors.active() == first
    assert counts(visitors, producer, first) == producer.posted
    assert visitors.consumers() == {contract.version_alias(BUILDER, first)}


def test_a_changed_definition_takes_over_while_events_come_in_and_are_read(
    visitors: Visitors, first: int, producer: Producer
):
    read: Counter[int] = Counter()
    cookies = sorted(producer.posted)

    def read_one() -> None:
        version = visitors.active()
        profile = visitors.profile(cookies[read.total() % PEOPLE], version)
        assert profile is not None or visitors.active() != version, "somebody could not be read"
        read[version] += 1

    with Background(producer.post), Background(read_one):
        second = visitors.publish(CHANGED)
        visitors.until(second, "active")
        time.sleep(10 * PAUSE_S)
    assert read.keys() == {first, second}
    visitors.live.settle()
    assert counts(visitors, producer, second) == producer.posted
    for cookie, posted in producer.posted.items():
        profile = visitors.profile(cookie)
        assert int(profile["attributes"]["M"]["spent"]["N"]) == 2 * posted

    assert visitors.ended(second) == "SUCCEEDED"
    assert visitors.row(first)["status"]["S"] == "retired"
    assert visitors.consumers() == {contract.version_alias(BUILDER, second)}
    assert visitors.items(first) == 0
    assert visitors.items(second) > 0


def test_a_damaged_object_of_the_archive_fails_the_version_by_name_and_nothing_else(
    visitors: Visitors, producer: Producer
):
    active = visitors.active()
    damaged = f"{contract.PREFIX_EVENTS}dt=2020-01-01/hour=00/shardId-000000000000-1-2.jsonl.gz"
    bucket = visitors.live.outputs[contract.OUTPUT_ARCHIVE_BUCKET]
    s3 = visitors.live.client("s3")
    s3.put_object(Bucket=bucket, Key=damaged, Body=b"this is no gzip")
    try:
        broken = visitors.publish(DEFINITION)
        assert visitors.ended(broken) == "FAILED"
    finally:
        s3.delete_object(Bucket=bucket, Key=damaged)
    assert visitors.row(broken)["status"]["S"] == "failed"
    assert damaged in visitors.row(broken)["reason"]["S"]
    assert (visitors.items(broken), objects_of(visitors, broken)) == (0, [])
    assert visitors.active() == active
    assert visitors.consumers() == {contract.version_alias(BUILDER, active)}
    producer.post()
    visitors.live.settle()
    assert counts(visitors, producer, active) == producer.posted


def test_a_cancelled_version_leaves_its_row_and_nothing_else(visitors: Visitors):
    active = visitors.active()
    cancelled = visitors.publish(
        DEFINITION + "  emails: {from: traits.email, type: string, aggregation: last}\n"
    )
    visitors.kith("cancel", BUILDER)
    assert visitors.ended(cancelled) == "ABORTED"
    assert visitors.ended(cancelled, "-clean-up") == "SUCCEEDED"
    assert visitors.row(cancelled)["reason"]["S"].startswith("cancelled by ")
    assert (visitors.items(cancelled), objects_of(visitors, cancelled)) == (0, [])
    assert visitors.active() == active
    assert visitors.consumers() == {contract.version_alias(BUILDER, active)}


def objects_of(visitors: Visitors, version: int) -> list[str]:
    prefix = f"{contract.PREFIX_REBUILD}{BUILDER}/{contract.registry_version(version)}/"
    return visitors.live.objects(prefix)
