"""What waits in quarantine is replayed through the batch that put it there, and counted once."""

import json

import pytest

from shared.adapters.quarantine import S3Quarantine
from shared.app.batch import Batch
from shared.app.ingest import Ingest
from shared.app.markers import Markers
from shared.app.ports import Failed
from shared.app.quarantine import replay
from shared.app.retries import Retries
from tests.app.test_batch import BUILDER, World, event
from tests.clocks import FakeClock
from tests.fakes.crashes import Crash, crash
from tests.fakes.objects import FakeObjects
from tests.kinesis import ARRIVAL, array_of, gzip_of, lines_of


class Direct:
    """Calls the batch of a world as the ingestion function is called."""

    def __init__(self, world):
        self.world = world

    def ingest(self, builder, version, records):
        assert (builder, version) == ("people", 1)
        failed = self.world.batch.run(json.loads(json.dumps(records))).failed
        numbers = [record["kinesis"]["sequenceNumber"] for record in records]
        return len(records) if failed is None else numbers.index(failed)


def a_real_quarantine(world):
    world.quarantine = S3Quarantine(FakeObjects())
    ingest = Ingest(world.builder, world.store, FakeClock())
    retries = Retries(world.objects, lambda: ARRIVAL)
    world.batch = Batch(world.builder, 1, 0, ingest, world.quarantine, retries, Markers(world.objects))
    return world.quarantine


def test_a_record_of_many_good_events_and_some_bad_ones_is_counted_once_however_often_it_is_replayed():
    world = World()
    quarantine = a_real_quarantine(world)
    good = [event(messageId=f"m{number}", userId=None, anonymousId="c") for number in range(3000)]
    world.run(gzip_of(lines_of([*good, *[b"x"] * 21])))
    for _ in range(2):
        assert [profile["event_count"] for profile in world.profiles()] == [3000]
        [stored] = quarantine.list()
        assert stored.entry.reasons == {"not_json": 21}
        assert replay(quarantine, Direct(world), [stored]).still_bad == [stored.entry.id]
    assert [profile["event_count"] for profile in world.profiles()] == [3000]


class Tripping:
    """A builder that cannot process the events with these ids."""

    def __init__(self, monkeypatch):
        self.ids = set()
        contribute = BUILDER._contribute

        def trip(slots, key, *more):
            if key[1] in self.ids:
                raise RuntimeError
            return contribute(slots, key, *more)

        monkeypatch.setattr(BUILDER, "_contribute", trip)


def test_a_replay_folds_what_became_good_and_keeps_what_is_still_bad(monkeypatch):
    world, tripping = World(), Tripping(monkeypatch)
    quarantine = a_real_quarantine(world)
    tripping.ids = {"m3", "m5", "m8"}
    world.run(array_of([event(messageId=f"m{number}") for number in range(10)]))
    tripping.ids = {"m5"}
    [stored] = quarantine.list()
    assert replay(quarantine, Direct(world), [stored]).still_bad == [stored.entry.id]
    [left] = quarantine.list()
    assert (left.entry.id, left.entry.reasons) == (stored.entry.id, {"not_processed": 1})
    tripping.ids = set()
    assert replay(quarantine, Direct(world), [left]).accepted == [stored.entry.id]
    assert list(quarantine.list()) == []
    assert [profile["event_count"] for profile in world.profiles()] == [10]


def test_a_replay_that_fails_keeps_all_of_its_entry_even_if_some_of_it_is_still_bad(monkeypatch):
    world, tripping = World(), Tripping(monkeypatch)
    quarantine = a_real_quarantine(world)
    tripping.ids = {"m0", "m1"}
    world.run(array_of([event(messageId=f"m{number}") for number in range(3)]))
    tripping.ids = {"m0"}
    commit = world.store.commit
    world.store.commit = lambda plans: [Failed("throttled") for _ in plans]
    [stored] = quarantine.list()
    assert replay(quarantine, Direct(world), [stored]).failed == [stored.entry.id]
    assert list(quarantine.list()) == [stored]
    world.store.commit = commit
    assert replay(quarantine, Direct(world), [stored]).still_bad == [stored.entry.id]
    assert [profile["event_count"] for profile in world.profiles()] == [2]


def test_what_was_set_aside_stays_if_the_record_comes_again_and_dies_where_less_of_it_is_bad(monkeypatch):
    world, tripping = World(), Tripping(monkeypatch)
    quarantine = a_real_quarantine(world)
    data = array_of([b"7", event(messageId="m1"), event(messageId="m2")])
    tripping.ids = {"m1"}
    world.run(data)
    tripping.ids = set()
    monkeypatch.setattr(world.store, "commit", crash)
    with pytest.raises(Crash):
        world.run(data)
    assert sum(one.entry.reasons.get("not_processed", 0) for one in quarantine.list()) == 1
    monkeypatch.undo()
    replay(quarantine, Direct(world), list(quarantine.list()))
    assert [profile["event_count"] for profile in world.profiles()] == [2]
