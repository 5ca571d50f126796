"""Following with several lanes on a shard: a version takes over when each of them has come by a marker."""

from collections import deque
from random import Random

import pytest

from local.event_sources.shard import lane_of
from shared.app.markers import markers_for
from shared.app.rebuild.follow import follow
from shared.core.control import control_of
from tests.app.rebuilding import BUILDER, CONSUMER, NEW, OLD, TIMING, World, any_records, envelopes_of
from tests.kinesis import envelope
from tests.people import HOUR

LANES_MAX = 10


class Lanes:
    """The records of a stream, and the markers put on it since, by shard and keys that share a lane."""

    def __init__(self, world, lanes):
        self.world = world
        self.lanes = lanes
        self.waiting = {}
        for record in sorted(world.records, key=lambda one: one.arrival):
            [delivered] = envelopes_of([record])
            self._put(record.shard, f"key-{world.random.randrange(50)}", delivered)
        self.markers = []
        assert not self.follow()
        for number, (shard, data) in enumerate(world.shards.records):
            marker = control_of(data)
            if marker.reader == f"{BUILDER.name}-v{NEW}":
                self.markers.append(envelope(data, sequence=str(10**12 + number), shard=shard))
                self._put(shard, f"kith-{marker.number}", self.markers[-1])

    def _put(self, shard, key, delivered):
        self.waiting.setdefault((shard, lane_of(key, self.lanes)), deque()).append(delivered)

    def follow(self):
        world = self.world
        consumer = CONSUMER | {"ParallelizationFactor": self.lanes}
        ports = world.registry, world.consumers, consumer, world.objects, world.shards
        return follow(*ports, world.name, world.t0 + 1, TIMING).done

    def deliver(self):
        """Deliver some records of any lane, in the lane's order."""
        lane = self.world.random.choice([one for one, some in self.waiting.items() if some])
        some = [self.waiting[lane].popleft() for _ in range(min(5, len(self.waiting[lane])))]
        outcome = self.world.batch(NEW).run(some)
        assert outcome.failed is None

    @property
    def behind(self):
        """Lanes that have records left which stand before markers."""
        return [lane for lane, some in self.waiting.items() if some and some[0] not in self.markers]


@pytest.mark.parametrize("lanes", range(2, LANES_MAX + 1))
def test_each_of_several_lanes_meets_a_marker(lanes):
    keys = [f"kith-{number}" for number in range(markers_for(lanes))]
    assert {lane_of(key, lanes) for key in keys} == {*range(lanes)}


@pytest.mark.parametrize("seed", range(6))
def test_nothing_before_the_markers_is_left_in_any_lane_when_a_version_has_caught_up(seed):
    random = Random(seed)
    world = World(random, any_records(random, gap_ms=HOUR), BUILDER)
    world.mortals = 0
    world.live(OLD)
    arrivals = sorted(one.arrival for one in world.records)
    world.plan(arrivals[len(arrivals) // 2])
    world.rebuild()
    lanes = Lanes(world, random.randint(2, 4))
    while not lanes.follow():
        lanes.deliver()
    assert lanes.behind == []
    assert world.cut_over().active == NEW
    counted = {version: sum(one.event_count for one in profiles(world, version)) for version in (OLD, NEW)}
    assert counted[NEW] == counted[OLD] > 0


def profiles(world, version):
    return [one for one in world.stores[version].stored.values() if hasattr(one, "event_count")]
