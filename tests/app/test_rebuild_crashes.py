"""That the end of a build may die anywhere, come twice, or come late, and leaves nothing behind."""

from random import Random

import pytest

from shared.app.rebuild.build import BuildEndedError, BuildName
from shared.app.rebuild.clean_up import clean_up
from shared.app.rebuild.cut_over import cut_over
from shared.app.rebuild.fail import fail
from shared.app.registry import Status
from tests.app.rebuilding import (
    CONSUMER,
    LATER,
    NEW,
    OLD,
    World,
    a_record,
    a_version,
    a_world,
    any_records,
    ended,
    rebuilt,
)
from tests.app.test_rebuild_law import BUILDERS
from tests.fakes.crashes import Crash, Life, Mortal
from tests.fakes.rebuild import MemoryItems, MemoryLoader

NEWEST = 3
SEEDS = range(12)


def a_consumed(world: World, version: int) -> None:
    world.consumers.ensure_alias("people", version)
    world.consumers.ensure_mapping("people", version, 0, CONSUMER)


def published(world: World, version: int):
    """Have a version that is built take over, and all that it replaced be cleaned up after its grace."""
    world.registry.add(a_version("people", version, Status.BUILDING))
    a_consumed(world, version)
    found = cut_over(world.registry, world.consumers, BuildName("people", version), 5)
    world.stores.setdefault(version, type(world.stores[OLD])())
    if found.retired:
        world.clean_up(found.retired, lambda: True)
    return found


def leftovers(world: World, version: int) -> list:
    prefixes = f"rebuild/people/{version:08d}/", f"quarantine/people/v{version}/"
    store = world.stores[version]
    found = [*store.stored, *store.pointed]
    return found + [key for key in world.objects.held if key.startswith(prefixes)]


def a_followed(random):
    """A world whose new version has caught up, and in which nearly every worker dies somewhere."""
    world = World(random, any_records(random), BUILDERS["plain"])
    world.mortals = 0.9
    a_consumed(world, OLD)
    world.live(OLD)
    world.plan(LATER)
    world.rebuild()
    world.follow()
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_a_build_whose_last_states_die_anywhere_and_come_twice_takes_over_and_leaves_nothing_old(seed):
    random = Random(seed)
    world = a_followed(random)
    shown = world.shown(OLD)
    assert world.cut_over(7).retired == OLD
    world.clean_up(OLD, lambda: random.random() < 0.8)
    assert world.registry.active() == {"people": NEW}
    assert list(world.consumers.mappings) == ["people-v2"]
    assert leftovers(world, OLD) == []
    assert world.shown(NEW) == shown
    assert world.registry.version("people", OLD).cleaned_at > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_build_that_fails_ends_whole_though_its_last_states_die_anywhere_and_come_twice(seed):
    random = Random(seed)
    world = a_followed(random)
    shown = world.shown(OLD)
    assert world.fail("no").reason == "no"
    world.clean_up(NEW, lambda: random.random() < 0.8)
    row = world.registry.version("people", NEW)
    assert (row.status, row.reason) == (Status.FAILED, "no")
    assert world.registry.active() == {"people": OLD}
    assert list(world.consumers.mappings) == ["people-v1"]
    assert leftovers(world, NEW) == []
    assert world.shown(OLD) == shown


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_cut_over_that_died_in_any_call_is_made_good_by_the_next_publish(after):
    deaths = 0
    while True:
        world = rebuilt([a_record(1, userId="u"), a_record(2, userId="v")])
        world.mortals = 0
        a_consumed(world, OLD)
        world.follow()
        life = Life(deaths + 1, after=after)
        try:
            cut_over(Mortal(world.registry, life), Mortal(world.consumers, life), world.name, 1)
        except Crash:
            deaths += 1
        else:
            break
        if world.registry.active() == {"people": OLD}:
            assert fail(world.registry, world.consumers, world.name, "replaced", 2).reason == "replaced"
            world.clean_up(NEW, lambda: True)
        assert published(world, NEWEST).retired in (OLD, NEW)
        assert world.registry.active() == {"people": NEWEST}
        assert list(world.consumers.mappings) == world.consumers.aliases == ["people-v3"]
        for version in (OLD, NEW):
            assert leftovers(world, version) == []
            assert world.registry.version("people", version).cleaned_at > 0
    assert deaths > 4


def test_a_cut_over_taken_up_again_after_a_later_version_took_over_changes_nothing_and_cleans_up_its_own():
    world = rebuilt([a_record(1, userId="u")])
    world.follow()
    world.cut_over()
    world.registry.add(a_version("people", NEWEST, Status.BUILDING))
    a_consumed(world, NEWEST)
    assert cut_over(world.registry, world.consumers, BuildName("people", NEWEST), 5).retired == NEW
    assert world.cut_over().retired == OLD, "its grace period follows, and CleanUp of what it replaced"
    world.clean_up(OLD, lambda: True)
    assert world.cut_over().retired == 0
    assert world.registry.active() == {"people": NEWEST}
    assert list(world.consumers.mappings) == ["people-v3"]
    assert [one.status for one in world.registry.versions("people")] == [
        Status.RETIRED,
        Status.RETIRED,
        Status.ACTIVE,
    ]
    assert leftovers(world, NEW), "its own grace is not over"


def test_what_a_version_replaced_that_was_cleaned_up_is_not_looked_for_again():
    world = rebuilt([a_record(1, userId="u")])
    world.follow()
    world.cut_over()
    world.clean_up(OLD, lambda: True)
    items = MemoryItems(world.stores)
    swept = []

    class Seen:
        def sweep(self, builder, version, *rest):
            swept.append(version)
            return items.sweep(builder, version, *rest)

    world.registry.add(a_version("people", NEWEST, Status.BUILDING))
    cut_over(world.registry, world.consumers, BuildName("people", NEWEST), 5)
    ports = world.registry, world.consumers, Seen(), world.objects
    while not clean_up(*ports, world.name, 9, lambda: True).done:
        pass
    assert swept == [NEW, NEW]


def test_a_worker_whose_version_has_ended_meanwhile_writes_nothing_more(monkeypatch):
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_TOGETHER", 1)
    world = rebuilt([a_record(number, userId=f"u{number}") for number in range(6)])
    world.stores[NEW].stored.clear()
    world.objects.delete_all([world.name.result("replay", 0), world.name.checkpoint(0)])

    class Cancelled(MemoryLoader):
        def insert(self, plans):
            super().insert(plans)
            ended(world.registry, world.name, Status.FAILED, "cancelled")

    loader = Cancelled(world.stores[NEW])
    with pytest.raises(BuildEndedError, match="cancelled"):
        world.replay(0, loader=loader, may_go_on=lambda: True)
    assert len(loader.inserted) == 1


def test_cleaning_up_ends_a_consumer_that_a_late_worker_has_brought_back():
    world = a_world([])
    ended(world.registry, world.name, Status.FAILED, "no")
    a_consumed(world, OLD)
    a_consumed(world, NEW)
    world.clean_up(NEW, lambda: True)
    assert list(world.consumers.mappings) == world.consumers.aliases == ["people-v1"]


def test_of_two_who_clean_up_at_once_the_late_one_leaves_nothing_either():
    """It was held up before a write in which it says how far it is; the other has finished meanwhile."""
    world = rebuilt([a_record(number, userId=f"u{number}") for number in range(3)])
    ended(world.registry, world.name, Status.FAILED, "no")
    items = MemoryItems(world.stores)

    class HeldUp:
        def sweep(self, *rest):
            swept = items.sweep(*rest)
            world.clean_up(NEW, lambda: True)
            return swept

    late = world.registry, world.consumers, HeldUp(), world.objects
    assert clean_up(*late, world.name, 10, lambda: False).done, "nobody may be there to call it again"
    assert not leftovers(world, NEW)
    world.clean_up(NEW, lambda: True)
    assert not leftovers(world, NEW), "it can be done once more"


def test_a_large_quarantine_is_deleted_unread_in_slices_of_time_after_sweeps_that_are_not_made_again():
    world = a_world([])
    ended(world.registry, world.name, Status.FAILED, "no")
    for number in range(2500):
        world.objects.put(f"quarantine/people/v2/dt=2026-01-01/{number:05}.json", b"not read")
    kept = [f"quarantine/{builder}/dt=2026-01-01/1.json" for builder in ("people/v20", "people2/v2")]
    for key in kept:
        world.objects.put(key, b"not read")
    items, sweeps, together = MemoryItems(world.stores), [], []

    class Seen:
        def sweep(self, *rest):
            sweeps.append(rest)
            return items.sweep(*rest)

    delete_all = world.objects.delete_all
    world.objects.delete_all = lambda keys: (together.append(len(list(keys))), delete_all(keys))
    calls = 0
    done = False
    while not done:
        turns = iter([True, False] if len(sweeps) == 2 else [True] * 9)
        ports = world.registry, world.consumers, Seen(), world.objects
        done = clean_up(*ports, world.name, 9, lambda turns=turns: next(turns)).done
        calls += 1
    assert len(sweeps) == 2
    assert together == [1000, 1000, 500, 1]
    assert calls == 5
    assert sorted(world.objects.held) == sorted(kept)
