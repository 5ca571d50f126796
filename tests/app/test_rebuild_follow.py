"""Following: the consumer of a version on its way from T0 to the end of the stream."""

from dataclasses import replace

import pytest

from shared.app.markers import Markers, markers_for
from shared.app.rebuild.build import BuildEndedError, BuildFailedError
from shared.app.rebuild.follow import BEHIND_MS_MAX, FOLLOWS_H_MAX, follow
from shared.app.rebuild.plan import WAIT_S_MAX, Timing, plan
from shared.app.registry import Status
from shared.contract import STREAM_RETENTION_H
from shared.core.control import control_of
from tests.app.rebuilding import CONSUMER, NEW, TIMING, a_record, a_world, ended, rebuilt
from tests.fakes.consumers import FakeConsumers
from tests.people import DAY, HOUR, T0

ANY_AGE = CONSUMER | {"MaximumRecordAgeInSeconds": -1}
ALIAS = f"people-v{NEW}"
HISTORY_EVENTS_MAX = 25_000
EVENTS_OF_A_LOOK = 9
"""Of a task (entered, scheduled, started, succeeded, exited), a choice and a wait (entered, exited)."""


def a_build():
    return rebuilt([a_record(1, userId="u")])


def caught_up(world):
    world.acknowledge(ALIAS)


def test_nothing_is_too_old_for_a_consumer_that_follows_until_it_has_caught_up():
    world = a_build()
    late = world.t0 + 3 * DAY
    for _ in range(2):
        assert not world.following(late).done
        assert world.consumers.mappings[ALIAS] == (world.t0, ANY_AGE)
    caught_up(world)
    for _ in range(2):
        assert world.following(late + HOUR // 2).done
        assert world.consumers.mappings[ALIAS] == (world.t0, CONSUMER)


def test_a_consumer_that_came_by_old_markers_has_new_ones_to_come_by():
    world = a_build()
    at = world.t0 + DAY
    assert not world.following(at).done
    caught_up(world)
    at += 12 * HOUR
    for _ in range(2):  # half a day of records is still before it, all too old for a live consumer
        assert not world.following(at).done
        assert world.consumers.mappings[ALIAS] == (world.t0, ANY_AGE)
    assert len([shard for shard, data in world.shards.records if ALIAS.encode() in data]) == 4
    caught_up(world)
    assert world.following(at + BEHIND_MS_MAX).done
    assert world.consumers.mappings[ALIAS] == (world.t0, CONSUMER)


def test_several_lanes_of_a_shard_have_each_to_come_by_a_marker_of_theirs():
    world = a_build()
    consumer = CONSUMER | {"ParallelizationFactor": 4}

    def following():
        return follow(
            *(world.registry, world.consumers, consumer, world.objects, world.shards),
            world.name,
            world.t0 + 1,
            TIMING,
        )

    assert not following().done
    markers = [(shard, control_of(data)) for shard, data in world.shards.records if ALIAS.encode() in data]
    assert len(markers) == 2 * markers_for(4)
    for shard, marker in markers:
        assert not following().done
        Markers(world.objects).acknowledge(marker, shard)
    assert following().done


def test_markers_for_fewer_lanes_say_nothing_of_more():
    world = a_build()
    assert not world.following(world.t0 + 1).done
    caught_up(world)
    assert world.following(world.t0 + 1).done
    more = CONSUMER | {"ParallelizationFactor": 2}
    ports = (world.registry, world.consumers, more, world.objects, world.shards, world.name)
    assert not follow(*ports, world.t0 + 2, TIMING).done
    caught_up(world)
    assert follow(*ports, world.t0 + 3, TIMING).done


def test_a_build_fails_before_the_stream_loses_what_it_has_to_read():
    world = a_build()
    in_time = world.t0 + FOLLOWS_H_MAX * HOUR
    assert in_time < world.t0 + STREAM_RETENTION_H * HOUR
    with pytest.raises(BuildFailedError, match="rebuild_write_units"):
        world.following(in_time + 1)
    assert world.consumers.mappings == {}
    assert not world.following(in_time).done
    with pytest.raises(BuildFailedError):
        world.following(in_time + 1)
    caught_up(world)
    assert world.following(in_time + 1).done


class Ending(FakeConsumers):
    """Has the version end, and whoever ended it remove its consumer, just before its mapping is made."""

    def __init__(self, world, status):
        super().__init__()
        self.world = world
        self.status = status

    def ensure_mapping(self, builder, version, t0, consumer):
        if self.world.registry.version(builder, version).status is Status.BUILDING:
            ended(self.world.registry, self.world.name, self.status, "meanwhile")
            if self.status is Status.FAILED:
                self.remove(builder, version)
                self.ensure_alias(builder, version)
        super().ensure_mapping(builder, version, t0, consumer)


@pytest.mark.parametrize("status", [Status.FAILED, Status.RETIRED])
def test_the_consumer_of_a_version_that_was_cancelled_meanwhile_does_not_come_back(status):
    world = a_build()
    world.consumers = Ending(world, status)
    with pytest.raises(BuildEndedError, match="meanwhile"):
        world.following(world.t0)
    assert (world.consumers.aliases, world.consumers.mappings) == ([], {})


def test_a_mapping_that_cannot_be_made_as_its_version_was_cancelled_meanwhile_is_no_failure():
    class Cancelling(FakeConsumers):
        """Has the version end, and its consumer removed, between the making of alias and mapping."""

        def ensure_mapping(self, builder, version, t0, consumer):
            ended(world.registry, world.name, Status.FAILED, "meanwhile")
            self.remove(builder, version)
            super().ensure_mapping(builder, version, t0, consumer)

    world = a_build()
    world.consumers = Cancelling()
    with pytest.raises(BuildEndedError, match="meanwhile"):
        world.following(world.t0)


def test_a_call_that_comes_too_late_leaves_an_active_version_the_consumer_that_it_should_have():
    world = a_build()
    world.consumers = Ending(world, Status.ACTIVE)
    with pytest.raises(BuildEndedError):
        world.following(world.t0)
    assert world.consumers.mappings == {ALIAS: (world.t0, CONSUMER)}


def test_the_longer_something_is_awaited_the_rarer_it_is_looked_for():
    world = a_build()
    for waited, wait_s in ((0, TIMING.poll_s), (HOUR, 36), (9 * HOUR, WAIT_S_MAX), (DAY, WAIT_S_MAX)):
        assert world.following(world.t0 + waited).wait_s == wait_s
    world = a_world([])
    world.registry.replace(row := world.registry.version("people", NEW), replace(row, t0=T0))
    for waited, wait_s in ((HOUR, 36), (9 * HOUR, WAIT_S_MAX)):
        found = plan(
            *(world.registry, world.progress, world.objects, world.shards, world.name),
            T0 + waited,
            TIMING,
        )
        assert (found.done, found.wait_s) == (False, wait_s)


@pytest.mark.parametrize("poll_s", [1, 15, 300])
def test_the_history_of_an_execution_holds_a_wait_for_as_long_as_the_stream_keeps_records(poll_s):
    timing = Timing(poll_s=poll_s)
    waited_s = looks = 0
    while waited_s < STREAM_RETENTION_H * 3600:
        waited_s += timing.wait_s(waited_s * 1000)
        looks += 1
    assert looks * EVENTS_OF_A_LOOK < HISTORY_EVENTS_MAX - 1000
