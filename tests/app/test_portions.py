"""A batch that is unpacked to more than a process should hold is taken in portions."""

import pytest

from shared.app import batch as batches
from shared.app.ingest import Ingest
from shared.app.ports import Failed
from shared.core.control import Marker, control_record
from shared.core.identity.identifiers import Identifier
from tests.app.test_batch import BUILDER, TOKEN, World, event
from tests.kinesis import gzip_of, lines_of

EVENTS = 40


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(batches, "PORTION_EVENTS_MAX", 100)


@pytest.fixture
def taken(monkeypatch):
    """How many contributions were ingested at once, again and again."""
    sizes = []
    run = Ingest.run

    def spy(self, contributions, *more):
        sizes.append(len(contributions))
        return run(self, contributions, *more)

    monkeypatch.setattr(Ingest, "run", spy)
    return sizes


def a_record(number, user="ann"):
    """A small record of many events."""
    return gzip_of(lines_of([event(userId=user, messageId=f"{number}-{one}") for one in range(EVENTS)]))


def test_what_a_batch_holds_is_never_all_in_memory(taken):
    world = World()
    outcome = world.run(*[a_record(number) for number in range(10)])
    assert outcome.failed is None
    assert taken == [3 * EVENTS, 3 * EVENTS, 3 * EVENTS, EVENTS]
    assert [profile["event_count"] for profile in world.profiles()] == [10 * EVENTS]


def test_few_large_events_make_a_portion_as_well(taken, monkeypatch):
    monkeypatch.setattr(batches, "PORTION_BYTES_MAX", 10_000)
    large = [event(messageId=str(one), properties={"padding": "x" * 6000}) for one in range(5)]
    World().run(*large)
    assert taken == [2, 2, 1]


def test_the_lowest_failed_record_of_all_portions_is_reported_and_later_portions_are_written():
    world = World()
    commit = world.store.commit

    def fail_bob(plans):
        of_bob = [Identifier("user_id", "bob") in plan.puts[0].profile.identifiers for plan in plans]
        done = iter(commit([plan for plan, is_bob in zip(plans, of_bob, strict=True) if not is_bob]))
        return [Failed("throttled") if is_bob else next(done) for is_bob in of_bob]

    world.store.commit = fail_bob
    users = ["ann", "ann", "ann", "ann", "bob", "ann", "bob", "ann"]
    outcome = world.run(*[a_record(number, user) for number, user in enumerate(users)])
    assert outcome.failed == f"{5:056}"
    assert outcome.tally["events_failed"] == 2 * EVENTS
    assert [profile["event_count"] for profile in world.profiles()] == [6 * EVENTS]


def test_when_time_is_up_the_rest_comes_again_from_its_first_record(taken):
    world = World()
    records = [a_record(number) for number in range(10)]
    left = iter([True, False])
    marker = control_record(Marker(TOKEN, f"{BUILDER.definition.name}-v1"))
    envelopes = [*records, marker]
    outcome = world.run(*envelopes, may_go_on=lambda: next(left))
    assert (outcome.failed, outcome.errors) == (f"{7:056}", [])
    assert outcome.tally["records_unreached"] == 5
    assert taken == [3 * EVENTS, 3 * EVENTS]
    assert not world.objects.held, "no marker is acknowledged that unread records stand before"
    assert world.run(*envelopes).failed is None
    assert [profile["event_count"] for profile in world.profiles()] == [10 * EVENTS]
    assert world.objects.held


def test_a_batch_that_is_done_asks_for_no_more_time():
    def never():
        raise AssertionError

    assert World().run(a_record(1), a_record(2), a_record(3), may_go_on=never).failed is None


def test_the_unreadable_of_each_portion_waits_in_quarantine():
    world = World()
    world.run(a_record(1), b"x", a_record(2), a_record(3), b"y", a_record(4))
    assert world.reasons() == {"not_json": 2}
