"""The states of a rebuild, one by one: what each leaves, what it refuses, and what survives it."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from shared.adapters.s3 import Listed
from shared.app.quarantine import is_archived, replay
from shared.app.reading import Postponed
from shared.app.rebuild.build import BuildFailedError
from shared.app.rebuild.link import joined, numbered, partitions
from shared.app.rebuild.plan import PART_BYTES, PART_OBJECTS_MAX, parts_of, plan, workers_for
from shared.app.rebuild.scan import scan
from shared.app.rebuild.shuffle import PartNumber, shuffle
from shared.core.archive import archive_line, archive_object, object_key
from shared.core.chain import Failure, failed
from shared.core.identity.grouping import Components
from shared.core.records import Record, reject
from tests.app.rebuilding import (
    LATER,
    NEW,
    TIMING,
    a_record,
    a_world,
    as_part,
    rebuilt,
    shown_by_id,
)
from tests.fakes.rebuild import MemoryLoader
from tests.people import HOUR, T0

# Plan


def test_planning_fixes_t0_once_then_waits_for_it_and_for_the_archiver():
    world = a_world([a_record(1, userId="u")])

    def call(now):
        return plan(world.registry, world.progress, world.objects, world.shards, world.name, now, TIMING)

    first = call(T0)
    assert (first.done, first.t0, first.wait_s) == (False, T0 + 60_000, 180)
    again = call(T0 + 100_000)
    assert (again.t0, again.wait_s) == (first.t0, 80)
    assert world.shards.records == []
    marked = call(T0 + 180_000)
    assert (marked.done, marked.wait_s) == (False, TIMING.poll_s)
    assert len(world.shards.records) == 2
    world.acknowledge("archive")
    planned = call(T0 + 190_000)
    assert planned.done
    assert len(world.shards.records) == 2
    assert planned.manifest == world.name.scan_manifest
    assert call(T0 + 200_000) == planned


def test_a_build_is_planned_for_the_workers_of_one_release():
    world = a_world([a_record(1, userId="u")])
    ports = (world.registry, world.progress, world.objects, world.shards, world.name)
    plan(*ports, T0, TIMING, "one")
    assert world.registry.version("people", NEW).release == "", "whoever lists the archive begins"
    plan(*ports, T0 + 180_000, TIMING, "one")
    world.acknowledge("archive")
    assert plan(*ports, T0 + 190_000, TIMING, "two").done
    assert world.registry.version("people", NEW).release == "two"
    assert plan(*ports, T0 + 190_000, TIMING, "two").done
    with pytest.raises(BuildFailedError, match="another release of Kith was deployed"):
        plan(*ports, T0 + 200_000, TIMING, "three")


@pytest.mark.parametrize(("wanted", "free", "workers"), [(50, 1000, 50), (50, 10, 5), (3, 10, 3), (50, 0, 1)])
def test_workers_leave_half_of_what_the_account_may_run(wanted, free, workers):
    assert workers_for(wanted, free) == workers


def test_an_empty_archive_is_one_part_without_objects_and_builds_an_empty_version():
    world = a_world([])
    world.plan(T0)
    assert world.numbers(world.name.scan_manifest) == [{"part": 0, "objects": []}]
    world.rebuild()
    world.follow()
    assert world.verified.events_in == world.verified.profiles == 0
    assert world.shown(NEW) == []


def test_parts_are_balanced_by_bytes_and_bounded_in_objects():
    sizes = [PART_BYTES // 2, PART_BYTES // 2, 1, PART_BYTES * 3, *([1] * (PART_OBJECTS_MAX + 1))]
    parts = list(parts_of(Listed(f"events/{at}", size, 0) for at, size in enumerate(sizes)))
    assert [len(part.objects) for part in parts] == [2, 1, 1, PART_OBJECTS_MAX, 1]
    assert [part.part for part in parts] == list(range(5))
    assert [key for part in parts for key, _ in part.objects] == [f"events/{at}" for at in range(len(sizes))]


def test_an_archive_of_more_parts_than_a_map_takes_fails_the_build_before_it_begins(monkeypatch):
    monkeypatch.setattr("shared.app.rebuild.plan.MAP_ITEMS_MAX", 2)
    monkeypatch.setattr("shared.app.rebuild.plan.PART_OBJECTS_MAX", 1)
    world = a_world([a_record(hour, T0 + hour * HOUR, userId="u") for hour in range(3)])
    with pytest.raises(BuildFailedError, match="the archive has 3 parts, and a build takes 2 at most"):
        world.plan(LATER)


def test_of_very_many_components_partitions_become_larger_and_not_more_than_a_map_takes(monkeypatch):
    monkeypatch.setattr("shared.app.rebuild.link.MAP_ITEMS_MAX", 10)
    weights = np.full(1000, 7, dtype=np.uint64)
    found = partitions(weights, 7)
    assert 9 <= found.max() + 1 <= 10
    assert list(found) == sorted(found)
    assert max(np.bincount(found)) <= 112


# Scan


def test_a_damaged_or_missing_object_fails_the_build_by_its_name():
    record = a_record(1, userId="u")
    key = object_key(record.arrival, record.shard, record.sequence, record.sequence)
    for damaged in (
        b"",
        b"no gzip",
        archive_object([archive_line(record, "k")])[:-5],
        archive_object([b"{}"]),
    ):
        world = a_world([])
        world.plan(LATER)
        part = as_part({"part": 0, "objects": [[key, 1]]})
        if damaged:
            world.objects.put(key, damaged)
        with pytest.raises(BuildFailedError, match=key):
            scan(world.build, part, world.objects, world.quarantine, world.progress)


def test_records_since_t0_and_control_records_are_not_scanned():
    records = [
        a_record(1, userId="u"),
        Record(b'{"kith_control":{"kind":"later"}}', T0, "shard-0", "1500"),
        a_record(2, arrival=LATER, userId="u"),
    ]
    world = rebuilt(records)
    [result] = [json.loads(data) for key, (data, _) in world.objects.held.items() if "results/scan/0" in key]
    assert result["tally"]["records"] == world.verified.events_in
    assert world.verified.folded == 1
    assert shown_by_id(world, NEW).popitem()[1]["event_count"] == 1


def test_what_a_rebuild_set_aside_is_replayed_into_its_version_although_it_arrived_before_t0():
    records = [
        a_record(1, userId="u"),
        Record(b"[" + a_record(2, userId="u").data + b", {broken]", T0, "shard-0", "1002"),
        Record(b"{broken", T0, "shard-0", "1003"),
    ]
    world = rebuilt(records)
    assert world.verified.quarantined == 2
    world.follow()
    mine = [one for one in world.quarantine.list("people") if one.entry.version == NEW]
    assert all(is_archived(one.entry.envelope) for one in mine)
    batch = world.batch(NEW)

    class Ingestion:
        def ingest(self, builder, version, envelopes):
            assert (builder, version) == ("people", NEW)
            outcome = batch.run(envelopes)
            assert (outcome.tally["events_in"], outcome.tally["records_before_t0"]) == (len(envelopes), 0)
            return len(envelopes)

    for _ in range(2):  # still bad, it stays, and may be replayed again
        again = [one for one in world.quarantine.list("people") if one.entry.version == NEW]
        assert len(again) == 2
        assert len(replay(world.quarantine, Ingestion(), again).still_bad) == 2
    good = [replace(again[0].entry, envelope={**again[0].entry.envelope}) for _ in range(1)]
    good[0].envelope["kinesis"] = {**good[0].envelope["kinesis"], "data": "eyJ1c2VySWQiOiJ1In0="}
    world.quarantine.put(good)
    before = shown_by_id(world, NEW).popitem()[1]["event_count"]
    batch.run([good[0].envelope])
    assert shown_by_id(world, NEW).popitem()[1]["event_count"] == before + 1


class Chain:
    """A transformation: by an event's name it fans out, drops, rejects, or asks to be tried again."""

    def __init__(self, asks):
        self.asks = asks
        self.asked = set()

    def run(self, events):
        return [self._one(event) for event in events]

    def _one(self, event):
        name = event.body["event"]
        if name == "later" and self._asks(event.id):
            return Postponed(reject(event, "RetryError"))
        if name == "reject":
            return reject(event, "NoRetryError")
        copies = {"double": 2, "drop": 0}.get(name, 1)
        made = [structs.replace(event, id=f"{event.id}#{at}") for at in range(copies)]
        return [structs.replace(one, body={**one.body, "anonymousId": one.id}) for one in made]

    def _asks(self, event_id):
        again = event_id in self.asked
        self.asked.add(event_id)
        return self.asks == "always" or (self.asks == "once" and not again)


@pytest.mark.parametrize(("asks", "kept"), [("never", 6), ("once", 6), ("always", 5)])
def test_transformed_events_are_accounted_for_and_postponed_ones_tried_again(asks, kept):
    names = ["double", "drop", "later", "reject", "plain", "double"]
    world = a_world([a_record(number, userId="u", event=name) for number, name in enumerate(names)])
    world.transformer = Chain(asks)
    world.plan(LATER)
    world.rebuild()
    found = world.verified
    assert found.events_in > len(names)  # the archive has some of them twice
    assert (found.folded, found.duplicate) == (kept, 0)
    assert found.repeated > 0
    [profile] = shown_by_id(world, NEW).values()
    assert profile["event_count"] == kept
    assert len(profile["identifiers"]["cookie_id"]) == kept
    assert len(list(world.quarantine.list("people"))) == 7 - kept


class Unloadable:
    """A transformation that cannot be loaded where it runs: every event is rejected for that."""

    def run(self, events):
        return [
            structs.replace(reject(event, "ModuleNotFoundError"), reason="transform_load") for event in events
        ]


def test_a_chain_that_cannot_be_loaded_fails_the_build_and_makes_no_empty_version():
    world = a_world([a_record(1, userId="u")])
    world.transformer = Unloadable()
    world.plan(LATER)
    with pytest.raises(BuildFailedError, match=r"transform\.py cannot be loaded: ModuleNotFoundError"):
        world.rebuild()


class Failing:
    def __init__(self, reason):
        self.reason = reason

    def run(self, events):
        return [failed(one, Failure(self.reason, "transform.py: line 1: cannot be run")) for one in events]


@pytest.mark.parametrize(
    ("reason", "told"),
    [("transform_load", "line 1: cannot be run"), ("transform_error", "went to quarantine")],
)
def test_a_transformation_that_leaves_nothing_fails_the_build(reason, told):
    world = a_world([a_record(number, userId="u") for number in range(3)])
    world.transformer = Failing(reason)
    world.plan(LATER)
    with pytest.raises(BuildFailedError, match=told):
        world.rebuild()


class Slow:
    """Reaches one event of each run."""

    def run(self, events):
        waits = [Postponed(reject(one, "not reached"), unreached=True) for one in events[1:]]
        return [[one] for one in events[:1]] + waits


def test_what_the_transformation_never_got_is_given_to_it_again_and_again():
    world = a_world([a_record(number, userId="u") for number in range(9)])
    world.transformer = Slow()
    world.plan(LATER)
    world.rebuild()
    assert (world.verified.folded, world.verified.quarantined) == (9, 0)


# Link


def test_a_version_may_have_items_once_it_is_linked():
    world = a_world([a_record(1, userId="u")])
    row = world.registry.version("people", NEW)
    world.registry.replace(row, replace(row, has_items=False))
    world.plan(LATER)
    assert not world.registry.version("people", NEW).has_items
    world.rebuild()
    assert world.registry.version("people", NEW).has_items


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=3, unique=True), max_size=30),
    st.integers(1, 4),
)
def test_linking_finds_the_connected_components_in_any_slices(held, slices):
    holders = np.array([at for at, some in enumerate(held) for _ in some], dtype=np.uint32)
    hashes = np.array([one for some in held for one in some], dtype=np.uint64)
    labels = np.arange(len(held), dtype=np.uint32)
    for at in range(slices):
        chosen = hashes % slices == at
        labels = joined(labels, holders[chosen], hashes[chosen])
    components = Components()
    for some in held:
        components.join(some)
    firsts = {}
    for some in held:
        firsts.setdefault(components.find(some[0]), len(firsts))
    assert numbered(labels).tolist() == [firsts[components.find(some[0])] for some in held]


def test_a_long_chain_of_people_is_one_component():
    count = 100_000
    order = np.random.default_rng(1).permutation(count).astype(np.uint64)
    holders = np.repeat(np.arange(count - 1, dtype=np.uint32), 2)
    hashes = np.stack((order[:-1], order[1:]), axis=1).ravel()
    assert not joined(np.arange(count - 1, dtype=np.uint32), holders, hashes).any()


def test_partitions_are_filled_in_order_up_to_about_their_target():
    weights = np.array([40, 40, 40, 500, 1, 1], dtype=np.uint64)
    assert partitions(weights, 100).tolist() == [0, 0, 0, 1, 2, 2]
    assert partitions(np.array([], dtype=np.uint64), 100).tolist() == []


# Shuffle and Replay


def test_a_spool_that_lacks_a_component_or_is_damaged_fails_the_build_by_its_name():
    records = [a_record(number, userId=f"u{number}") for number in range(5)]
    world = rebuilt(records)
    [key] = [one for one in world.objects.held if one.startswith(f"{world.name.prefix}spool/")]
    data, _ = world.objects.get(key)
    for damaged in (data[:-20], data[:20] + b"\x00" * 20 + data[40:], b"none"):
        world.objects.put(key, damaged)
        with pytest.raises(BuildFailedError, match=key):
            shuffle(world.name, PartNumber(0), world.objects, world.progress)
    world.objects.delete(world.name.shuffled(0))
    world.objects.delete_all([world.name.result("replay", 0), world.name.checkpoint(0)])
    with pytest.raises(BuildFailedError, match=world.name.shuffled(0)):
        world.replay(0)


def test_a_worker_that_runs_out_of_time_goes_on_at_its_checkpoint_and_writes_each_profile_once(monkeypatch):
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_TOGETHER", 2)
    records = [a_record(number, userId=f"u{number}") for number in range(20)]
    world = rebuilt(records)
    expected = world.shown(NEW)
    world.stores[NEW].stored.clear()
    world.objects.delete_all([world.name.result("replay", 0), world.name.checkpoint(0)])
    loader = MemoryLoader(world.stores[NEW])
    calls = 0
    done = False
    while not done:
        turns = iter([True] * 7 + [False])
        replayed = world.replay(0, loader=loader, may_go_on=lambda turns=turns: next(turns))
        done, calls = replayed.done, calls + 1
    assert calls == 3
    assert replayed.profiles == 20
    assert Counter(loader.inserted).most_common(1)[0][1] == 1
    assert world.shown(NEW) == expected


def test_a_worker_that_another_has_overtaken_writes_nothing_more(monkeypatch):
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_TOGETHER", 2)
    world = rebuilt([a_record(number, userId=f"u{number}") for number in range(20)])
    result, _ = world.objects.get(world.name.result("replay", 0))
    world.objects.delete_all([world.name.result("replay", 0), world.name.checkpoint(0)])

    class Slow(MemoryLoader):
        def insert(self, plans):
            super().insert(plans)
            world.objects.put(world.name.result("replay", 0), result)

    loader = Slow(world.stores[NEW])
    assert world.replay(0, loader=loader, may_go_on=lambda: True).profiles == 20
    assert len(loader.inserted) == 2
    assert world.replay(0, loader=loader, may_go_on=lambda: True).done
    assert len(loader.inserted) == 2


# Across T0


def test_an_event_from_before_t0_that_is_delivered_again_after_it_does_not_count_twice():
    records = [a_record(1, arrival=LATER - HOUR, userId="u"), a_record(1, arrival=LATER + HOUR, userId="u")]
    records[1] = records[1]._replace(sequence="2000")
    world = rebuilt(records)
    world.follow()
    assert shown_by_id(world, NEW).popitem()[1]["event_count"] == 1
