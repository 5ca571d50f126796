"""How builds end: verified and cut over, failed, cancelled, cleaned up."""

import json
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from shared.app.rebuild.build import BuildEndedError, BuildFailedError, BuildName
from shared.app.rebuild.clean_up import clean_up
from shared.app.rebuild.cut_over import CutOver
from shared.app.rebuild.fail import fail
from shared.app.rebuild.plan import plan
from shared.app.rebuild.results import Result
from shared.app.rebuild.verify import verify
from shared.app.registry import RegistryConflictError, Status
from shared.core.compile import Builder
from shared.core.definition import Attribute
from shared.core.records import Record
from tests.app.rebuilding import (
    CONSUMER,
    NEW,
    OLD,
    TIMING,
    a_record,
    a_world,
    any_records,
    ended,
    rebuilt,
)
from tests.people import T0, a_definition


def test_an_event_that_is_not_accounted_for_fails_the_build():
    for state, counter in (
        ("scan", "events_in"),
        ("replay", "events_folded"),
        ("replay", "events_repeated"),
        ("scan", "contributions"),
    ):
        world = rebuilt([a_record(1, userId="u"), a_record(2)])
        key = world.name.result(state, 0)
        result = json.loads(world.objects.get(key)[0])
        result["tally"][counter] = result["tally"].get(counter, 0) + 1
        world.objects.put(key, json.dumps(result).encode())
        with pytest.raises(BuildFailedError, match=r"accounted for|were replayed"):
            verify(world.name, world.objects, world.lines, None)


def test_a_result_that_is_missing_fails_the_build_by_its_name():
    world = rebuilt([a_record(1, userId="u")])
    key = world.name.result("replay", 0)
    world.objects.delete(key)
    with pytest.raises(BuildFailedError, match=key):
        verify(world.name, world.objects, world.lines, None)


def test_a_sample_is_compared_with_the_active_version():
    world = rebuilt([a_record(number, userId=f"u{number}") for number in range(3)])
    assert (world.verified.sampled, world.verified.same, world.verified.different) == (3, 3, 0)
    fewer = Builder(a_definition(attributes=(Attribute("events", "count"),)))
    world = rebuilt([a_record(number, userId=f"u{number}") for number in range(3)], new=fewer)
    assert (world.verified.sampled, world.verified.same, world.verified.different) == (3, 0, 3)


def test_results_of_workers_that_ran_again_count_once_in_progress():
    world = rebuilt(any_records(Random(3)))
    counted = world.progress.progress("people", NEW)
    assert counted["scan.parts"] == counted["plan.parts"] == counted["shuffle.parts"]
    assert counted["replay.partitions"] == counted["link.partitions"]
    assert counted["scan.events"] == world.verified.events_in
    assert counted["replay.profiles"] == world.verified.profiles
    assert isinstance(json.loads(world.objects.get(world.name.result("scan", 0))[0]), dict)
    assert Result({}).sample == []


def test_cutting_over_twice_is_cutting_over_once_and_retires_the_old_version_and_its_consumer():
    world = rebuilt([a_record(1, userId="u")])
    world.consumers.ensure_alias("people", OLD)
    world.consumers.ensure_mapping("people", OLD, 0, CONSUMER)
    world.follow()
    assert world.consumers.mappings["people-v2"] == (world.t0, CONSUMER)
    for now in (7, 8):
        found = world.cut_over(now)
        assert (found.active, found.retired) == (NEW, OLD)
    assert world.registry.active() == {"people": NEW}
    assert world.registry.version("people", NEW).finished_at == 7
    assert world.registry.version("people", OLD).status is Status.RETIRED
    assert list(world.consumers.mappings) == ["people-v2"]
    assert world.consumers.aliases == ["people-v2"]


@pytest.mark.parametrize("reads", [1, 2])
def test_two_that_cut_over_at_the_same_time_have_cut_over_and_neither_takes_the_version_for_failed(reads):
    world = rebuilt([a_record(1, userId="u")])
    world.follow()
    world.mortals = 0
    read, seen = world.registry.version, []

    def version(builder, number):
        found = read(builder, number)
        seen.append(number)
        if len(seen) == reads:
            world.registry.version = read
            world.cut_over()
        return found

    world.registry.version = version
    with suppress(RegistryConflictError):  # then it is called again
        world.cut_over()
    assert world.cut_over() == CutOver(NEW, OLD)
    assert world.registry.active() == {"people": NEW}


def test_a_first_version_replaces_none():
    world = a_world([])
    world.registry.pointers.clear()
    del world.registry.rows["people", OLD]
    assert (world.cut_over().retired, world.registry.active()) == (0, {"people": NEW})


def test_a_cancelled_build_neither_plans_nor_follows_nor_cuts_over():
    world = a_world([])
    ended(world.registry, world.name, Status.FAILED, "cancelled by somebody")
    with pytest.raises(BuildEndedError, match="cancelled by somebody"):
        plan(world.registry, world.progress, world.objects, world.shards, world.name, T0, TIMING)
    with pytest.raises(BuildEndedError):
        world.following(T0)
    with pytest.raises(BuildEndedError):
        world.cut_over()
    with pytest.raises(BuildEndedError):
        plan(
            *(world.registry, world.progress, world.objects, world.shards),
            BuildName("people", 9),
            T0,
            TIMING,
        )
    assert world.registry.active() == {"people": OLD}


def test_a_build_that_fails_says_why_keeps_what_was_said_before_and_loses_its_consumer():
    world = rebuilt([a_record(1, userId="u")])
    world.follow()
    assert fail(world.registry, world.consumers, world.name, "Verify: no", 5).reason == "Verify: no"
    row = world.registry.version("people", NEW)
    assert (row.status, row.reason, row.finished_at) == (Status.FAILED, "Verify: no", 5)
    assert world.consumers.mappings == {}
    assert fail(world.registry, world.consumers, world.name, "Other", 6).reason == "Verify: no"
    assert fail(world.registry, world.consumers, BuildName("people", 9), "Gone", 6).reason == "Gone"


def test_a_version_that_is_active_cannot_fail_or_be_cleaned_up():
    world = rebuilt([a_record(1, userId="u")])
    world.follow()
    with pytest.raises(BuildFailedError, match="building"):
        world.clean_up(NEW, lambda: True)
    world.cut_over()
    assert fail(world.registry, world.consumers, world.name, "late", 5).reason == ""
    assert "people-v2" in world.consumers.mappings
    with pytest.raises(BuildFailedError, match="active"):
        world.clean_up(NEW, lambda: True)


def test_a_version_that_loses_a_race_with_a_cancel_stays_as_it_is():
    world = rebuilt([a_record(1, userId="u")])
    world.mortals = 0
    activate = world.registry.activate

    def cancelled_first(version, was):
        ended(world.registry, world.name, Status.FAILED, "cancelled")
        return activate(version, was)

    world.registry.activate = cancelled_first
    with pytest.raises(RegistryConflictError):
        world.cut_over()
    assert world.registry.active() == {"people": OLD}


def test_the_tables_are_not_looked_through_for_a_version_that_never_had_items():
    world = a_world([a_record(1, userId="u")])
    row = world.registry.version("people", NEW)
    world.registry.replace(row, replace(row, has_items=False))
    world.plan(T0 + 1)
    ended(world.registry, world.name, Status.FAILED, "no")
    nobody = None  # whoever sweeps the tables
    assert clean_up(world.registry, world.consumers, nobody, world.objects, world.name, 5, lambda: True).done
    assert not [key for key in world.objects.held if key.startswith(world.name.prefix)]
    assert world.registry.version("people", NEW).cleaned_at == 5


def test_cleaning_up_leaves_nothing_of_a_version_but_its_row(monkeypatch):
    monkeypatch.setattr("shared.app.rebuild.link.PARTITION_BYTES", 500)
    records = [*any_records(Random(1)), Record(b"{broken", T0, "shard-0", "1")]
    world = rebuilt(sorted(records, key=lambda one: one.arrival))
    ended(world.registry, world.name, Status.FAILED, "no")
    world.mortals = 0
    kept = len([one for one in world.quarantine.list("people") if one.entry.version == OLD])
    events = [key for key in world.objects.held if key.startswith("events/")]
    turns = Random(2)
    assert world.clean_up(NEW, lambda: turns.random() < 0.7) > 0
    assert world.stores[NEW].stored == world.stores[NEW].pointed == {}
    assert [one.entry.version for one in world.quarantine.list("people")] == [OLD] * kept
    assert not [key for key in world.objects.held if key.startswith("rebuild/")]
    assert [key for key in world.objects.held if key.startswith("events/")] == events
    assert world.registry.version("people", NEW).reason == "no"
    assert world.clean_up(NEW, lambda: True) == 0
