"""Versions are built from the archive, follow the stream and take over, while events come in and are read.

All on a builder of its own, so that the profiles of others stay as they are.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Self

import pytest

from shared import contract
from tests.e2e.conftest import Live, Person, eventually
from tests.e2e.states import PROC, STATES, ByHand, Deaths
from tests.e2e.visitors import BUILDER, DEFINITION, Visitors

pytestmark = pytest.mark.e2e

CHANGED = DEFINITION + "  spent: {from: properties.total, type: number, aggregation: sum}\n"
PEOPLE = 8
PUBLISHERS = 3
PAUSE_S = 0.05


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
def visitors(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitors]:
    visitors = Visitors(live, tmp_path_factory.mktemp("builders"))
    yield visitors
    visitors.stop()


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


def test_a_changed_definition_takes_over_while_events_come_in_and_are_read_and_workers_die_in_every_state(
    visitors: Visitors, first: int, producer: Producer
):
    read: Counter[int] = Counter()
    cookies = sorted(producer.posted)

    def read_one() -> None:
        version = visitors.active()
        profile = visitors.profile(cookies[read.total() % PEOPLE], version)
        assert profile is not None or visitors.active() != version, "somebody could not be read"
        read[version] += 1

    deaths = Deaths(visitors.live)
    try:
        with Background(producer.post), Background(read_one), Background(deaths.look):
            second = visitors.publish(CHANGED)
            visitors.until(second, "active")
            eventually(lambda: read[second] > PEOPLE)
            assert visitors.ended(second) == "SUCCEEDED"
    finally:
        deaths.end()
    warm = {*STATES} - {"clean_up"} if PROC.exists() else set()  # nothing was cleaned up before
    assert deaths.states == deaths.killed >= warm
    assert read[first] > 0
    visitors.live.settle()
    assert counts(visitors, producer, second) == producer.posted
    for cookie, posted in producer.posted.items():
        profile = visitors.profile(cookie)
        assert int(profile["attributes"]["M"]["spent"]["N"]) == 2 * posted

    assert visitors.row(first)["status"]["S"] == "retired"
    assert visitors.consumers() == {contract.version_alias(BUILDER, second)}
    assert visitors.items(first) == 0
    assert visitors.items(second) > 0


def test_a_build_whose_every_state_is_called_twice_at_once_takes_over_with_each_event_counted_once(
    visitors: Visitors, producer: Producer
):
    old = visitors.active()
    version = visitors.publish(DEFINITION)
    by_hand = ByHand(visitors, version)
    for state in STATES[:-1]:
        getattr(by_hand, state)()
        producer.post()
    assert visitors.active() == version
    visitors.live.settle()
    assert counts(visitors, producer, version) == producer.posted
    counted = visitors.progress(version)
    assert counted["scan.parts"] == counted["shuffle.parts"] == counted["plan.parts"]
    assert counted["replay.partitions"] == counted["link.partitions"]
    by_hand.clean_up()
    assert (visitors.items(old), visitors.objects(old)) == (0, [])
    assert visitors.consumers() == {contract.version_alias(BUILDER, version)}


def test_an_object_that_cannot_be_read_fails_the_version_by_name_and_what_it_made_can_be_cleaned_up(
    visitors: Visitors,
):
    """Its execution was stopped, so that nobody else cleans up."""
    active = visitors.active()
    gone = f"{contract.PREFIX_EVENTS}dt=2020-01-02/hour=00/shardId-000000000000-1-1.jsonl.gz"
    bucket = visitors.live.outputs[contract.OUTPUT_ARCHIVE_BUCKET]
    s3 = visitors.live.client("s3")
    s3.put_object(Bucket=bucket, Key=gone, Body=b"")
    try:
        version = visitors.publish(CHANGED)
        by_hand = ByHand(visitors, version)
        by_hand.plan()
    finally:
        s3.delete_object(Bucket=bucket, Key=gone)
    for item in by_hand.items():
        for answer in by_hand.answers("scan", item=item):
            assert answer["status"] == "failed"
    assert visitors.row(version)["reason"]["S"] == f"Scan: {gone} is gone"
    assert visitors.objects(version) != []
    assert f"version {version} of {BUILDER} has failed" in visitors.kith("cancel", BUILDER)
    assert visitors.ended(version, "-clean-up") == "SUCCEEDED"
    assert (visitors.items(version), visitors.objects(version)) == (0, [])
    assert visitors.active() == active


@pytest.mark.parametrize(
    "state", [*(pytest.param(one, marks=pytest.mark.soak) for one in STATES[:6]), "follow"]
)
@pytest.mark.usefixtures("first")
def test_a_version_that_is_cancelled_in_any_state_leaves_its_row_and_nothing_else(
    visitors: Visitors, producer: Producer, state: str
):
    active = visitors.active()
    version = visitors.publish(DEFINITION + f"  until_{state}: {{aggregation: count}}\n")
    by_hand = ByHand(visitors, version)
    for one in STATES[: STATES.index(state) + 1]:
        getattr(by_hand, one)()
    visitors.kith("cancel", BUILDER)
    assert {one["status"] for one in by_hand.answers("follow")} == {"failed"}, "whoever comes late"
    assert visitors.ended(version, "-clean-up") == "SUCCEEDED"
    assert visitors.row(version)["reason"]["S"].startswith("cancelled by ")
    assert (visitors.items(version), visitors.objects(version)) == (0, [])
    assert visitors.active() == active
    assert visitors.consumers() == {contract.version_alias(BUILDER, active)}
    producer.post()
    visitors.live.settle()
    assert counts(visitors, producer, active) == producer.posted


def test_a_damaged_object_of_the_archive_fails_the_version_by_name_and_nothing_else(
    visitors: Visitors, producer: Producer
):
    active = visitors.active()
    damaged = f"{contract.PREFIX_EVENTS}dt=2020-01-01/hour=00/shardId-000000000000-1-2.jsonl.gz"
    bucket = visitors.live.outputs[contract.OUTPUT_ARCHIVE_BUCKET]
    s3 = visitors.live.client("s3")
    s3.put_object(Bucket=bucket, Key=damaged, Body=b"this is no gzip")
    try:
        broken = visitors.publish(CHANGED)
        assert visitors.ended(broken) == "FAILED"
    finally:
        s3.delete_object(Bucket=bucket, Key=damaged)
    assert visitors.row(broken)["status"]["S"] == "failed"
    assert damaged in visitors.row(broken)["reason"]["S"]
    assert (visitors.items(broken), visitors.objects(broken)) == (0, [])
    assert visitors.active() == active
    assert visitors.consumers() == {contract.version_alias(BUILDER, active)}
    producer.post()
    visitors.live.settle()
    assert counts(visitors, producer, active) == producer.posted


def test_of_several_who_publish_at_once_one_wins_and_when_cancelled_leaves_its_row_and_nothing_else(
    visitors: Visitors,
):
    active, before = visitors.active(), visitors.versions()[-1]["version"]
    emails = "  emails: {from: traits.email, type: string, aggregation: last}\n"
    # Where nothing is archived no build gets beyond its first state: it waits to be cancelled.
    with visitors.live.misled("ArchiveFunction", contract.ENV_ARCHIVE_BUCKET):
        cancelled, told = visitors.publish_at_once(DEFINITION + emails, PUBLISHERS)
        visitors.kith("cancel", BUILDER)
    assert len(told) == PUBLISHERS - 1, "to each of the others it is said that the version is there"
    assert all(f"version {cancelled} of {BUILDER}" in one or "is building" in one for one in told)
    assert cancelled == before + 1, "one version, whoever has published it"
    assert visitors.ended(cancelled) == "ABORTED"
    assert visitors.ended(cancelled, "-clean-up") == "SUCCEEDED"
    assert visitors.row(cancelled)["reason"]["S"].startswith("cancelled by ")
    assert (visitors.items(cancelled), visitors.objects(cancelled)) == (0, [])
    assert visitors.active() == active
    assert visitors.consumers() == {contract.version_alias(BUILDER, active)}
