"""The promise of a rebuild: from the archive, and then live, it gives byte for byte what live gave."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.compile import Builder
from shared.core.times import parse_time
from tests import oracle
from tests.app.rebuilding import NEW, OLD, World, any_records, contributions_in
from tests.people import DAY, HOUR, a_definition
from tests.soaking import examples

BUILDERS = {
    "plain": Builder(a_definition()),
    "limited": Builder(a_definition(limit=1)),
    "known only": Builder(a_definition(anonymous_profiles=False)),
}
many = settings(max_examples=examples(80), deadline=None)
few = settings(max_examples=examples(40), deadline=None)
any_seed = st.integers(0, 2**32)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Bounds that a short stream reaches: parts, segments, partitions, checkpoints and early folding."""
    monkeypatch.setattr("shared.app.rebuild.plan.PART_BYTES", 1500)
    monkeypatch.setattr("shared.app.rebuild.plan.PART_OBJECTS_MAX", 5)
    monkeypatch.setattr("shared.app.rebuild.scan.SEGMENT_BYTES", 700)
    monkeypatch.setattr("shared.app.rebuild.shuffle.HELD_BYTES_MAX", 500)
    monkeypatch.setattr("shared.app.rebuild.link.PARTITION_BYTES", 2000)
    monkeypatch.setattr("shared.app.rebuild.link.LINKS_MAX", 8)
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_TOGETHER", 2)
    monkeypatch.setattr("shared.app.rebuild.replay.CHECKPOINT_PROFILES", 3)
    monkeypatch.setattr("shared.app.rebuild.replay.PENDING_MAX", 5)


def a_world(random: Random, kind: str, **stream) -> tuple[World, int]:
    """A stream with a random T0, which the old version has ingested whole, or up to T0 and no further yet."""
    records = any_records(random, **stream)
    world = World(random, records, BUILDERS[kind])
    arrivals = [one.arrival for one in records]
    t0 = random.choice([*arrivals, arrivals[-1] + random.randint(1, 60 * DAY), random.choice(arrivals) + 1])
    return world, t0


@pytest.mark.parametrize("kind", BUILDERS)
@many
@given(any_seed, st.sampled_from([HOUR, 2 * DAY, 40 * DAY]))
def test_a_rebuild_and_what_follows_give_byte_for_byte_what_live_and_the_oracle_give(kind, seed, gap_ms):
    random = Random(seed)
    world, t0 = a_world(random, kind, gap_ms=gap_ms)
    world.live(OLD)
    world.plan(t0)
    world.rebuild()
    world.follow()
    assert world.cut_over().active == NEW
    assert world.shown(NEW) == world.shown(OLD)
    assert world.shown(NEW) == expected(world)


@pytest.mark.parametrize("kind", ["plain", "limited"])
@few
@given(any_seed)
def test_broken_profiles_and_forgetful_memories_come_out_the_same(kind, seed):
    limits = oracle.Limits(identifiers=5, canonical_bytes=900, remembered=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.core.plan.IDENTIFIERS_MAX", limits.identifiers)
        patch.setattr("shared.core.plan.CANONICAL_BYTES_MAX", limits.canonical_bytes)
        patch.setattr("shared.core.memory.REMEMBERED_MAX", limits.remembered)
        random = Random(seed)
        world, t0 = a_world(random, kind, gap_ms=HOUR, size_min=20)
        world.live(OLD, redelivers=False)
        world.plan(t0)
        world.rebuild()
        world.follow(redelivers=False)
        assert world.shown(NEW) == world.shown(OLD)
        assert world.shown(NEW) == expected(world, limits=limits)


@few
@given(any_seed)
def test_without_an_active_version_profiles_have_the_ids_of_their_founders(seed):
    random = Random(seed)
    world, t0 = a_world(random, "plain", gap_ms=30 * DAY)
    world.active = None
    world.plan(t0)
    world.rebuild()
    world.follow()
    assert world.shown(NEW) == expected(world)


@few
@given(any_seed)
def test_rebuilding_a_rebuilt_version_changes_nothing(seed):
    random = Random(seed)
    first, t0 = a_world(random, "plain", gap_ms=30 * DAY)
    first.live(OLD)
    first.plan(t0)
    first.rebuild()
    first.follow()
    second = World(random, first.records, first.builders[NEW])
    second.stores[OLD] = first.stores[NEW]
    second.active.store = first.stores[NEW]
    second.plan(t0)
    second.rebuild()
    second.follow()
    assert second.shown(NEW) == first.shown(NEW)


def expected(world: World, **limits) -> list[bytes]:
    """What the oracle says of all events, of those that had not expired at T0."""
    builder = world.builders[NEW]
    found = oracle.profiles_of(builder, contributions_in(builder, world.records), **limits)
    return [line for line in found if parse_time(json.loads(line)["expires_at"]) >= world.t0]
