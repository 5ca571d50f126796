"""A world in which versions are published, cancelled and rolled back while people come and go.

The archiver, publishers, and every function of the state machine are processes like any other: they meet
faults, and die, between any two of their calls.
"""

from contextlib import ExitStack, suppress
from unittest.mock import patch

from shared import contract
from shared.adapters.dynamo.followups import ERRORS
from shared.app.archive import Archiver
from shared.app.functions.errors import prefix_of as errors_of
from shared.app.markers import Markers
from shared.app.publish import Asked, CannotPublishError, Publisher
from shared.app.quarantine import prefix_of
from shared.app.rebuild.build import BuildName
from shared.app.registry import RegistryConflictError, Status, Version
from shared.core.control import READER_ARCHIVE
from shared.core.retention import SHORTEST_MONTH_MS
from tests.fakes.consumers import FakeConsumers
from tests.fakes.registry import FakeProgress, FakeRegistry
from tests.people import DAY, T0
from tests.simulation.checks import check, check_alike, items_of, shown
from tests.simulation.definitions import Definitions
from tests.simulation.dynamo import IDENTIFIERS, PROFILES
from tests.simulation.expected import Expected
from tests.simulation.machine import ALL_BAD, CONSUMER, NAME, Machine
from tests.simulation.network import Objects
from tests.simulation.placing import before_markers
from tests.simulation.processes import Processes
from tests.simulation.remote import Remote
from tests.simulation.scheduler import ProcessDiedError
from tests.simulation.stream import RANGE, Consumer
from tests.simulation.workers import VERSION
from tests.simulation.world import TICK_US, FailedRunError, World

POOLS = (
    "shared.app.rebuild.link",
    "shared.app.rebuild.replay",
    "shared.app.rebuild.results",
    "shared.adapters.dynamo.active",
    "shared.adapters.dynamo.loader",
    "shared.adapters.dynamo.store",
    "shared.adapters.dynamo.sweep",
)
BOUNDS = {
    "shared.app.rebuild.plan.PART_BYTES": 1500,
    "shared.app.rebuild.plan.PART_OBJECTS_MAX": 5,
    "shared.app.rebuild.scan.SEGMENT_BYTES": 700,
    "shared.app.rebuild.shuffle.HELD_BYTES_MAX": 500,
    "shared.app.rebuild.link.PARTITION_BYTES": 2000,
    "shared.app.rebuild.link.LINKS_MAX": 8,
    "shared.app.rebuild.replay.INSERTED_TOGETHER": 2,
    "shared.app.rebuild.replay.CHECKPOINT_PROFILES": 3,
    "shared.app.rebuild.replay.PENDING_MAX": 5,
}
"""What a short stream reaches: parts, segments, partitions, checkpoints and early folding."""
ARCHIVE = READER_ARCHIVE
ROUNDS_MAX = 10


class PublishingWorld(Processes, World):
    """Version 1 of a builder is active; others are built."""

    ticks_max = 600_000

    def __init__(self, setting, without=frozenset()):
        super().__init__(setting, without)
        self.stale_s = 0
        """For how long processes take for granted what they have read of the registry."""
        self.works_twice = setting.fault_rate > 0
        """Whether workers are given up that still work: also while nothing else fails, but not at the end."""
        self.definitions = Definitions(self._builder)
        self.registry = _Registry(self)
        self.progress = FakeProgress()
        self.mappings = _Mappings(self)
        self.machine = Machine(self)
        self.consumers.append(Consumer(ARCHIVE, self.stream, None))
        self._about_t0 = ()
        """Records that are to arrive about the T0 that is chosen next."""
        self._add_version_1()

    def _add_version_1(self):
        first = self.definitions.candidates[0]
        key = contract.definition_key(NAME, str(VERSION), first.sha256)
        self.objects.put(key, first.data)
        row = Version(
            builder=NAME,
            version=VERSION,
            status=Status.ACTIVE,
            definition_key=key,
            sha256=first.sha256,
            t0=0,
            created_at=self.now_ms,
            created_by="somebody",
        )
        self.registry.add(row)
        self.registry.pointers[NAME] = VERSION
        self.mappings.aliases.append(contract.version_alias(NAME, VERSION))
        self.mappings.mappings[contract.version_alias(NAME, VERSION)] = (0, dict(CONSUMER))

    @property
    def active(self):
        return self.registry.pointers[NAME]

    def builder_of(self, version):
        return self.definitions.builder(self.registry.version(NAME, version).sha256)

    def function_of(self, process):
        """Return the profile function of all versions, as a process calls it; None if they have none."""
        del process

    def t0(self, version):
        return self.registry.version(NAME, version).t0

    def may_have_forgotten(self):
        """A rebuild does not write what would have gone by its TTL at T0."""
        return super().may_have_forgotten() or self.t0(self.active) > T0 + SHORTEST_MONTH_MS

    def has_ended(self, builder, version):
        return self.registry.version(builder, version).status in (Status.RETIRED, Status.FAILED)

    def ports(self, process):
        """Return registry, progress, consumers and shards, as a process reaches them."""
        return tuple(
            Remote(self, process, name, port)
            for name, port in (
                ("registry", self.registry),
                ("progress", self.progress),
                ("lambda", self.mappings),
                ("kinesis", _Shards(self)),
            )
        )

    def rest(self, seconds):
        """Within a task: let so many seconds pass, whatever others do meanwhile."""
        until_us = self.scheduler.now_us + seconds * 1_000_000
        self.scheduler.switch(1 + seconds * 1_000_000 // TICK_US)
        self.scheduler.now_us = max(self.scheduler.now_us, until_us)

    # What happens, by the names of steps.

    def publish(self, at, *records):
        """Publish what an earlier version says, or a draft, as the next one; records arrive about its T0."""
        self._about_t0 = records
        version = 1 + at % max(version for _, version in self.registry.rows)
        asked = Asked(by="somebody", now=self.now_ms, grace_s=at // 64 % 3, replaces=at // 256 % 2 == 1)
        work = self._publish_draft if at // 512 % 2 else self._roll_back
        self._publishes(lambda publisher: work(publisher, version, asked))

    def _roll_back(self, publisher, version, asked):
        made, meant = publisher.rollback(NAME, version, asked), self.registry.version(NAME, version)
        if made.sha256 != meant.sha256:
            self.problems.add(f"a rollback to version {version} says something else")

    def _publish_draft(self, publisher, _version, asked):
        candidate = self.definitions.other_than(self.registry.version(NAME, self.active).sha256)
        publisher.set_draft(candidate, asked.by, asked.now)
        publisher.publish_draft(NAME, asked)

    def arrive_about(self, t0):
        """Have what was kept for it arrive just before a T0, at it, and after it."""
        records, self._about_t0 = self._about_t0, ()

        def arrive():
            self.scheduler.switch(max(1, (t0 - 2 - self.now_ms) * 1000 // TICK_US))
            for (key, data), arrival in zip(records, (t0 - 1, t0, t0 + 1), strict=False):
                self.scheduler.now_us = max(self.scheduler.now_us, arrival * 1000 - self.apart_us)
                self.put(key, data)
                self.met["records arrived about a T0"] += 1

        self.scheduler.spawn(arrive)

    def cancel(self, at=0):
        """Cancel what is building."""
        del at
        self._publishes(lambda publisher: publisher.cancel(NAME, "somebody", self.now_ms))

    def _publishes(self, work):
        def publish(process):
            registry = Remote(self, process, "registry", self.registry)
            executions = Remote(self, process, "states", self.machine)
            with suppress(CannotPublishError, RegistryConflictError, *ERRORS):
                work(Publisher(registry, Objects(self, process), executions))

        self.work("publisher", publish)

    # Consumers

    def invoke(self, envelopes, version=VERSION):
        if version is None:
            return self._archive(envelopes)
        return super().invoke(envelopes, version)

    def _deliver(self, consumer, batch):
        if consumer.name != ARCHIVE:
            return super()._deliver(consumer, batch)
        try:
            self._archive([record.envelope for record in batch])
        except (ProcessDiedError, *ERRORS):
            return 0
        return len(batch)

    def _give_up(self, consumer, shard, batch):
        if consumer.name == ARCHIVE:  # which never does
            consumer.move(shard, -len(batch))
        else:
            super()._give_up(consumer, shard, batch)

    def _archive(self, envelopes):
        def archive(process):
            objects = Objects(self, process)
            Archiver(objects, Markers(objects)).run(envelopes)

        return self.scheduler.wait(self.work(ARCHIVE, archive))

    def shown_as_active(self, process):
        return Remote(self, process, "registry", self.registry).active()[NAME]

    def is_callable(self, version):
        return contract.version_alias(NAME, version) in self.mappings.aliases

    # How it ends.

    def finish(self):
        """Bring all of it to an end; then let one more version be built, which cleans up after all others."""
        super().finish()
        self.works_twice = False
        check(self)
        self._check_rebuilt_alike(shown(self))
        for _ in range(ROUNDS_MAX):
            self.cancel()
            self.settle()
            if not [one for one in self.registry.versions(NAME) if not _is_over(one)]:
                return
            self.publish(255)  # of the others
            self.settle()
        raise FailedRunError("there is always something left to clean up")

    def _check_rebuilt_alike(self, before):
        """Build what is active once more, where all has come to rest: everybody is who they were before."""
        version = self.active
        self._build_anew()
        assert self.active > version or self.setting.has_chain, "a build that nothing disturbs fails"
        check_alike(self, before)

    def _build_anew(self):
        """Have what is active built once more, whatever comes of it."""
        self.cancel()
        self.settle()
        self.publish(self.active - 1)
        self.settle()

    def state_done(self, name):
        """Go on with a build, one of whose states is done."""

    def may_fail(self, name, text):
        """Whether it is right that a build cannot go on, of which its function says why."""
        del name
        return self.setting.has_chain and ALL_BAD.match(text) is not None

    def check(self):
        """Check what others leave: nothing of a version that has ended, and numbers that add up."""
        for row in self.registry.versions(NAME):
            if row.status is Status.ACTIVE:
                assert row.version == self.active, "two versions are active"
            else:
                self._check_gone(row)
            run = self.machine.builds.get(row.version)
            if run is not None and run.verified is not None:
                self._check_verified(row, run.verified)
        alias = contract.version_alias(NAME, self.active)
        assert list(self.mappings.mappings) == self.mappings.aliases == [alias], "consumers are left"

    def check_whole(self, row):
        """Whoever became known before the version's markers is in it, when it becomes active."""
        if self.setting.is_small or self.is_waiting(row.version):
            return  # profiles that break are not there; nor is what waits to be delivered again
        since = self.now_ms - SHORTEST_MONTH_MS + DAY
        reader = contract.version_alias(NAME, row.version)
        read = {(one.shard, one.sequence) for one in before_markers(self.stream.shards, reader, row.t0)}
        pointers = {key[0] for key in self.dynamo.tables[IDENTIFIERS]}
        for one in Expected(self, row.version).contributions:
            if one.arrival >= since and (one.position.shard, one.position.sequence) in read:
                kind, value = one.identifiers[0]
                if f"{NAME}#{row.version}#{kind}#{value}" not in pointers:
                    self.problems.add(f"version {row.version} became active without somebody")

    def _check_gone(self, row):
        version = row.version
        assert not items_of(self, PROFILES, version), f"profiles of version {version} are left"
        assert not items_of(self, IDENTIFIERS, version), f"pointers of version {version} are left"
        prefixes = (
            BuildName(NAME, version).prefix,
            contract.PREFIX_QUARANTINE + prefix_of(NAME, version),
            errors_of(NAME, version),
        )
        left = [key for key in self.objects.held if key.startswith(prefixes)]
        assert not left, f"of version {version} {left} are left"

    def _check_verified(self, row, verified):
        expected = Expected(self, row.version)
        counted, found = expected.counted_before(row.t0), verified.folded + verified.duplicate
        assert verified.quarantined >= expected.rejected_before(row.t0), "a rebuild lets bad events pass"
        if verified.quarantined > expected.rejected_before(row.t0):  # some that would be well another time
            assert found <= counted, "a rebuild counts more events than there are"
        else:
            assert found == counted, "a rebuild counts other events than there are"


def _is_over(row):
    return row.status is Status.ACTIVE or (row.status is not Status.BUILDING and row.cleaned_at)


class _Registry(FakeRegistry):
    """Sees to it that nobody is ever shown a version that is not whole."""

    def __init__(self, world):
        super().__init__()
        self._world = world

    def replace(self, old, new):
        written = super().replace(old, new)
        if written.t0 and not old.t0:
            self._world.arrive_about(written.t0)
        return written

    def activate(self, version, was):
        written = super().activate(version, was)
        self._world.met["a version became active"] += 1
        self._world.check_whole(written)
        return written


class _Mappings(FakeConsumers):
    """The mappings of the ingestion function: each has its consumer of the stream."""

    def __init__(self, world):
        super().__init__()
        self._world = world

    def ensure_mapping(self, builder, version, t0, consumer):
        name = contract.version_alias(builder, version)
        is_new = name not in self.mappings
        super().ensure_mapping(builder, version, t0, consumer)
        if is_new:
            self._world.consumers.append(Consumer(name, self._world.stream, version, t0))
            for shard in self._world.stream.shards:
                self._world.start_lanes(shard)

    def remove(self, builder, version):
        super().remove(builder, version)
        name = contract.version_alias(builder, version)
        for one in self._world.consumers[:]:
            if one.name == name:
                one.is_open = False
                self._world.consumers.remove(one)


class _Shards:
    """The `Shards` port on the stream."""

    def __init__(self, world):
        self._world = world

    def open_shards(self):
        return {one.name: str(one.start) for one in self._world.stream.open()}

    def put(self, data, hash_key):
        shards = [self._world.stream.put_at(one, int(hash_key) % RANGE, self._world.now_ms) for one in data]
        for shard in shards:
            self._world.start_lanes(shard)
        return [shard.name for shard in shards]


def tuned_for_publishing(world):
    """Have rebuilds work with bounds of this world, and their threads be its tasks."""
    stack = ExitStack()
    for name in POOLS:
        stack.enter_context(patch(f"{name}.ThreadPoolExecutor", world.pool))
    for name, value in BOUNDS.items():
        stack.enter_context(patch(name, value))
    return stack
