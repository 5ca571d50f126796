"""Executions of the state machine as it is deployed, over the real use cases: stopped, failed, redriven."""

import json
import re
from random import Random
from types import SimpleNamespace

import msgspec
import pytest

from shared import contract
from shared.app.executions import STATES
from shared.app.rebuild.build import BuildName
from shared.app.rebuild.clean_up import clean_up
from shared.app.rebuild.cut_over import cut_over
from shared.app.rebuild.fail import fail
from shared.app.rebuild.follow import follow
from shared.app.rebuild.link import link
from shared.app.rebuild.plan import Part, plan
from shared.app.rebuild.replay import PartitionNumber, replay
from shared.app.rebuild.scan import scan
from shared.app.rebuild.shuffle import PartNumber, shuffle
from shared.app.rebuild.verify import verify
from shared.app.registry import Status
from shared.runtime.rebuild import Rebuild, again, done, waiting
from tests.app.rebuilding import BUILDER, CONSUMER, NEW, OLD, TIMING, World, a_record, archived, ended
from tests.fakes.crashes import Crash, Life, Mortal
from tests.fakes.rebuild import MemoryItems
from tests.fakes.state_machine import ABORTED, FAILED, SUCCEEDED, Execution, StoppedError
from tests.infra.conftest import flat
from tests.infra.test_stack import SNAPSHOT
from tests.people import DAY, T0

WAY = ["Plan", "Scan", "Link", "Shuffle", "Replay", "Verify", "Follow", "CutOver", "CleanUp"]
"""States that work, in order."""
ALIASES = [contract.version_alias(BUILDER.name, version) for version in (OLD, NEW)]
CALLS = (1, 2, 3, 5)
"""Calls of the outside at which a function is stopped."""
MEMORY = SimpleNamespace(get_remaining_time_in_millis=lambda: 900_000)


@pytest.fixture(scope="module")
def definition():
    resources = json.loads(SNAPSHOT.read_text())["Resources"].values()
    [machine] = [one for one in resources if one["Type"] == "AWS::StepFunctions::StateMachine"]
    return json.loads(flat(machine["Properties"]["DefinitionString"]))


class Cloud:
    """A world in which a version is to be built, the functions of the machine, and the time that passes.

    `stops` is a function, and the call of its ports in which it dies as its execution is stopped.
    """

    def __init__(self, definition, stops=("", 0), *, after=False):
        people = [
            a_record(number, T0, f"shard-{number % 2}", anonymousId=f"c{number % 3}") for number in range(9)
        ]
        self.world = World(Random(0), people, BUILDER)
        self.world.mortals = 0
        self.world.live(OLD)
        self.world.objects.held |= {key: (data, "") for key, data in archived(Random(0), people).items()}
        self.world.objects.modified_at |= dict.fromkeys(self.world.objects.held, 0)
        self.world.consumers.ensure_alias(BUILDER.name, OLD)
        self.world.consumers.ensure_mapping(BUILDER.name, OLD, 0, CONSUMER)
        self.now = T0 + DAY
        self.calls = []
        self.broken = ()
        self.stops, self.life = stops[0], Life(stops[1], after=after)
        self.rebuild = Rebuild.__new__(Rebuild)
        self.rebuild.registry = self.world.registry
        given = {"builder": BUILDER.name, "version": NEW, "request": "0"}
        self.execution = Execution(definition, given, self.call, self.lines, self.wait)

    def lines(self, key):
        return self.world.numbers(key)

    def wait(self, seconds):
        """While the machine waits, the archiver and the version's consumer work."""
        self.now += seconds * 1000
        self.world.acknowledge("archive")
        if ALIASES[1] in self.world.consumers.mappings:
            self.world.live(NEW)
            self.world.acknowledge(ALIASES[1])

    def call(self, resource, payload):
        state = resource.split("Rebuild")[2].split("Function")[0]
        self.calls.append((state, payload.get("item")))
        try:
            return self.answer(state, payload)
        except Crash:
            raise StoppedError from None

    def answer(self, state, payload):
        """Answer as the function does; see `lambdas/rebuild_*`."""
        work = _broken if state in self.broken else getattr(self, f"_{snake(state)}")
        world = self.world
        ports = {
            "registry": world.registry,
            "objects": world.objects,
            "consumers": world.consumers,
            "shards": world.shards,
            "loader": world.loader,
            "items": MemoryItems(world.stores),
        }
        if state == self.stops:
            ports = {name: Mortal(port, self.life) for name, port in ports.items()}
        ports = SimpleNamespace(**ports, progress=world.progress, now=self.now)
        gives_up = state not in {"CutOver", "CleanUp", "Fail"}
        return self.rebuild.answer(state, lambda call: work(call, ports), payload, MEMORY, gives_up=gives_up)

    def _plan(self, call, ports):
        given = ports.registry, ports.progress, ports.objects, ports.shards
        planned = plan(*given, call.name, ports.now, TIMING, "this")
        if not planned.done:
            return waiting(planned, planned.wait_s)
        return done(planned, manifest=planned.manifest, workers=2)

    def _scan(self, call, ports):
        part = msgspec.convert(call.event["item"], Part)
        return done(scan(self.world.build, part, ports.objects, self.world.quarantine, ports.progress))

    def _link(self, call, ports):
        linked = link(ports.registry, call.name, ports.objects, ports.progress)
        manifests = {"shuffle": linked.shuffle_manifest, "replay": linked.replay_manifest}
        return done(linked, **manifests, partitions=linked.partitions)

    def _shuffle(self, call, ports):
        part = msgspec.convert(call.event["item"], PartNumber)
        return done(shuffle(call.name, part, ports.objects, ports.progress))

    def _replay(self, call, ports):
        partition = msgspec.convert(call.event["item"], PartitionNumber)
        given = self.world.build, partition, ports.objects, ports.loader, self.world.active, ports.progress
        turns = iter([True, True, False])
        replayed = replay(ports.registry, *given, lambda: next(turns, False))
        return done(replayed) if replayed.done else again(replayed)

    def _verify(self, call, ports):
        return done(verify(call.name, ports.objects, self.world.lines, OLD))

    def _follow(self, call, ports):
        given = ports.registry, ports.consumers, CONSUMER, ports.objects, ports.shards
        followed = follow(*given, call.name, ports.now, TIMING)
        return done(followed) if followed.done else waiting(followed, followed.wait_s)

    def _cut_over(self, call, ports):
        finished = cut_over(ports.registry, ports.consumers, call.name, ports.now)
        return done(finished, retired=finished.retired)

    def _clean_up(self, call, ports):
        turns = iter([True, True, False])
        given = ports.registry, ports.consumers, ports.items, ports.objects
        cleaned = clean_up(*given, call.name, ports.now, lambda: next(turns, False))
        return done(cleaned) if cleaned.done else again(cleaned)

    def _fail(self, call, ports):
        failed = fail(ports.registry, ports.consumers, call.name, call.event["error"], ports.now)
        return done(failed, reason=failed.reason)


@pytest.fixture(autouse=True)
def _many_parts(monkeypatch):
    monkeypatch.setattr("shared.app.rebuild.plan.PART_OBJECTS_MAX", 1)
    monkeypatch.setattr("shared.app.rebuild.link.PARTITION_BYTES", 50)
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_TOGETHER", 1)


def _broken(_call, _ports):
    raise ValueError


def snake(state):
    return re.sub("(?<!^)([A-Z])", r"_\1", state).lower()


def assert_taken_over(cloud):
    world = cloud.world
    assert cloud.execution.status == SUCCEEDED
    assert world.registry.active() == {BUILDER.name: NEW}
    assert world.consumers.aliases == [*world.consumers.mappings] == ALIASES[1:]
    assert world.registry.version(BUILDER.name, OLD).cleaned_at
    assert left(world, OLD) == []
    expected = World(Random(0), world.records, BUILDER)
    expected.live(OLD)
    assert world.shown(NEW) == expected.shown(OLD) != []
    assert len(world.loader.inserted) == len({*world.loader.inserted})


def assert_failed(cloud, reason):
    world = cloud.world
    assert cloud.execution.status == FAILED
    row = world.registry.version(BUILDER.name, NEW)
    assert (row.status, row.reason, cloud.execution.cause) == (Status.FAILED, reason, reason)
    assert world.registry.active() == {BUILDER.name: OLD}
    assert world.consumers.aliases == [*world.consumers.mappings] == ALIASES[:1]
    assert left(world, NEW) == []
    assert world.shown(OLD) != []


def left(world, version):
    prefix = BuildName(BUILDER.name, version).prefix
    store = world.stores[version]
    return [*store.stored, *store.pointed, *(key for key in world.objects.held if key.startswith(prefix))]


def test_an_execution_goes_through_all_states_in_the_order_that_is_told(definition):
    cloud = Cloud(definition)
    cloud.execution.run()
    assert_taken_over(cloud)
    left_in_order = [*dict.fromkeys(cloud.execution.left)]
    assert [one for one in left_in_order if one in STATES] == [*STATES]
    counted = [state for state, _ in cloud.calls]
    assert {*counted} == {*WAY}
    assert min(counted.count(one) for one in ("Scan", "Shuffle", "Replay")) > 1, "maps have several children"


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
@pytest.mark.parametrize("calls", CALLS)
@pytest.mark.parametrize("state", WAY)
def test_an_execution_that_was_stopped_in_any_state_goes_on_right_when_redriven(
    definition, state, calls, after
):
    cloud = Cloud(definition, (state, calls), after=after)
    if cloud.execution.run().status == SUCCEEDED:
        assert cloud.life.calls > 0, "it has fewer calls than that"
    else:
        assert (cloud.execution.status, cloud.execution.at) == (ABORTED, state)
        cloud.stops = ""
        before = len(cloud.calls)
        cloud.execution.run()
        assert cloud.calls[before][0] == state
    assert_taken_over(cloud)


@pytest.mark.parametrize("state", ["CutOver", "CleanUp"])
def test_a_state_that_is_not_undone_and_failed_for_good_goes_on_right_when_redriven(definition, state):
    cloud = Cloud(definition)
    cloud.broken = (state,)
    for _ in range(2):
        assert cloud.execution.run().status == FAILED
        assert cloud.execution.at == state
    assert cloud.calls.count((state, None)) == 2 * (contract.REBUILD_RETRIES + 1)
    cloud.broken = ()
    cloud.execution.run()
    assert_taken_over(cloud)


@pytest.mark.parametrize("state", WAY[:7])
def test_a_version_that_failed_for_good_in_any_other_state_is_cleaned_up_and_no_redrive_revives_it(
    definition, state
):
    cloud = Cloud(definition)
    cloud.broken = (state,)
    for _ in range(2):
        cloud.execution.run()
        assert_failed(cloud, f"{state}: ValueError, 9 times")
        cloud.broken = ()


def test_a_failure_that_could_not_be_dealt_with_is_dealt_with_by_a_redrive(definition):
    cloud = Cloud(definition)
    cloud.broken = ("Verify", "Fail")
    assert cloud.execution.run().status == FAILED
    assert cloud.execution.at == "Fail"
    assert left(cloud.world, NEW)
    cloud.broken = ()
    cloud.execution.run()
    assert_failed(cloud, "Verify: ValueError, 9 times")


@pytest.mark.parametrize("state", WAY[:8])
def test_a_version_that_was_cancelled_ends_as_such_when_its_execution_is_redriven(definition, state):
    cloud = Cloud(definition, (state, 1))
    cloud.execution.run()
    assert cloud.execution.status == ABORTED
    ended(cloud.world.registry, cloud.world.name, Status.FAILED, "cancelled by ann")
    cloud.stops = ""
    cloud.execution.run()
    assert_failed(cloud, "cancelled by ann")


def test_of_a_map_only_the_children_run_again_that_have_not_succeeded(definition):
    cloud = Cloud(definition, ("Scan", 4))
    assert cloud.execution.run().status == ABORTED
    before = [item["part"] for state, item in cloud.calls if state == "Scan"]
    cloud.stops = ""
    cloud.execution.run()
    scanned = [item["part"] for state, item in cloud.calls if state == "Scan"]
    assert scanned[len(before) :] == [before[-1], *range(before[-1] + 1, scanned[-1] + 1)]
    assert_taken_over(cloud)
