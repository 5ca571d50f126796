"""A stream, its archive, a live version and the rebuild of another: all in memory, on the real use cases."""

import json
from dataclasses import replace
from itertools import groupby
from random import Random

from shared.adapters.memory_store import MemoryStore
from shared.adapters.quarantine import S3Quarantine
from shared.app.batch import Batch
from shared.app.ingest import Ingest
from shared.app.markers import Markers
from shared.app.rebuild.build import Build, BuildName
from shared.app.rebuild.clean_up import clean_up
from shared.app.rebuild.cut_over import cut_over
from shared.app.rebuild.fail import fail
from shared.app.rebuild.follow import follow
from shared.app.rebuild.link import link
from shared.app.rebuild.plan import Part, Timing, plan
from shared.app.rebuild.replay import PartitionNumber, replay
from shared.app.rebuild.scan import scan
from shared.app.rebuild.shuffle import PartNumber, shuffle
from shared.app.rebuild.verify import verify
from shared.app.registry import Status, Version
from shared.app.retries import Retries
from shared.contract import RECORD_AGE_H_MAX
from shared.core.archive import archive_line, archive_object, hour_of, object_key
from shared.core.compile import Builder, Contribution
from shared.core.control import control_of
from shared.core.event import Event
from shared.core.profile import Profile, canonical, expiry
from shared.core.records import Record, read_record
from shared.core.times import format_time
from tests.clocks import FakeClock
from tests.fakes.consumers import FakeConsumers
from tests.fakes.crashes import Crash, Life, Mortal
from tests.fakes.objects import FakeObjects
from tests.fakes.rebuild import MemoryActiveProfiles, MemoryItems, MemoryLines, MemoryLoader
from tests.fakes.registry import FakeProgress, FakeRegistry
from tests.fakes.shards import FakeShards
from tests.kinesis import array_of, envelope, gzip_of, lines_of
from tests.people import DAY, HOUR, T0, a_definition, any_stream, in_batches

TIMING = Timing(lead_s=60, marker_delay_s=120, poll_s=5)
CONSUMER = {"EventSourceArn": "arn:stream", "MaximumRecordAgeInSeconds": 11 * 3600}
OLD, NEW = 1, 2
BUILDER = Builder(a_definition())
LATER = T0 + 30 * DAY
"""A T0 after everything that most tests have."""


def any_records(random: Random, **stream) -> list[Record]:
    """A stream of people in records of any form, on two shards: some without ids or times, some no events."""
    texts = []
    for event in any_stream(random, **stream):
        body = {**event.body, "timestamp": format_time(event.time)}
        if random.random() < 0.15:
            del body["messageId"]
        if random.random() < 0.15:
            del body["timestamp"]
        texts.append((event.arrival, json.dumps(body, default=str).encode()))
        if random.random() < 0.1:
            texts.append((event.arrival, random.choice([b"{broken", b"[]", b'"text"', b"\xff"])))
    records, at = [], 0
    while at < len(texts):
        together = texts[at : at + random.choice([1, 1, 1, 2, 3])]
        at += len(together)
        data = [text for _, text in together]
        packed = random.choice([array_of, lines_of, lambda one: gzip_of(lines_of(one))])
        whole = data[0] if len(data) == 1 else packed(data)
        shard = f"shard-{random.randrange(2)}"
        records.append(Record(whole, together[-1][0], shard, str(10**10 + len(records))))
    return records


def archived(random: Random, records: list[Record]) -> dict[str, bytes]:
    """The objects that hold records, in batches cut twice: some records are in two objects."""
    objects = {}
    by_shard = {}
    for record in records:
        by_shard.setdefault(record.shard, []).append(record)
    for shard, mine in by_shard.items():
        batches = in_batches(random, mine) + [mine[at : at + 3] for at in range(0, len(mine), 9)]
        for batch in batches:
            for _, together in groupby(batch, lambda one: hour_of(one.arrival)):
                some = list(together)
                key = object_key(some[0].arrival, shard, some[0].sequence, some[-1].sequence)
                objects[key] = archive_object(archive_line(one, "key") for one in some)
    return objects


def envelopes_of(records: list[Record]):
    return [
        envelope(one.data, arrival=one.arrival, sequence=one.sequence, shard=one.shard) for one in records
    ]


def contributions_in(builder: Builder, records: list[Record]) -> list[Contribution]:
    """What each event of the records gives, once, in order of arrival and of the stream."""
    found = []
    for record in records:
        for item in read_record(*record):
            if isinstance(item, Event):
                one = builder.contribute(item, _Ignored())
                if isinstance(one, Contribution):
                    found.append(one)
    return found


class _Ignored(dict):
    def __missing__(self, key):
        return 0


class World:
    """Two versions of a builder on one stream; `life` gives workers a number of calls before they die."""

    def __init__(self, random: Random, records: list[Record], old: Builder, new: Builder | None = None):
        self.random = random
        self.records = records
        self.builders = {OLD: old, NEW: new or old}
        self.stores = {OLD: MemoryStore(), NEW: MemoryStore()}
        self.objects = FakeObjects()
        self.registry = FakeRegistry()
        self.progress = FakeProgress()
        self.consumers = FakeConsumers()
        self.shards = FakeShards(2)
        self.quarantine = S3Quarantine(self.objects)
        self.loader = MemoryLoader(self.stores[NEW])
        self.active = MemoryActiveProfiles(old, self.stores[OLD])
        self.name = BuildName(old.name, NEW)
        self.transformer = None
        self.function = None
        self.left_s = None
        self.mortals = 0.6
        """How many workers may die, and how many of the others work twice."""
        self.patience = 0.9
        """How often a worker has time for more."""
        for version, status in ((OLD, Status.ACTIVE), (NEW, Status.BUILDING)):
            self.registry.add(a_version(old.name, version, status))
        self.registry.pointers[old.name] = OLD

    @property
    def t0(self) -> int:
        return self.registry.version(self.name.builder, NEW).t0

    @property
    def build(self) -> Build:
        return Build(self.builders[NEW], NEW, self.t0, self.function, self.left_s)

    def batch(self, version: int) -> Batch:
        builder = self.builders[version]
        t0 = self.registry.version(builder.name, version).t0
        ingest = Ingest(builder, self.store(version), FakeClock())
        retries = Retries(self.objects, lambda: 0)
        return Batch(builder, version, t0, ingest, self.quarantine, retries, Markers(self.objects))

    def store(self, version: int):
        return self.stores[version]

    def live(self, version: int, *, redelivers: bool = True) -> None:
        """Have a version ingest the whole stream, in batches, some of them twice."""
        batch = self.batch(version)
        for together in in_batches(self.random, by_arrival(self.records)):
            records = [one for some in together for one in some]
            assert batch.run(envelopes_of(records)).failed is None
            if (
                redelivers and self.random.random() < 0.2
            ):  # nothing older than a record may get is delivered again
                since = records[-1].arrival - RECORD_AGE_H_MAX * HOUR
                again = [one for one in records if one.arrival >= since]
                assert batch.run(envelopes_of(again)).tally["events_folded"] == 0

    def surely(self, work, *ports):
        """Have a worker do its work, killed at any call and called again, or called for nothing."""
        while True:
            life = Life(self.random.randint(1, 40), after=self.random.random() < 0.5)
            mortal = self.random.random() < self.mortals
            try:
                result = work(*(Mortal(port, life) if mortal else port for port in ports))
            except Crash:
                continue
            if self.random.random() < self.mortals / 2:
                work(*ports)
            return result

    def plan(self, t0: int) -> None:
        """Plan with this T0, while the archiver works."""
        now = t0 - TIMING.lead_s * 1000
        self.objects.held |= {key: (data, "tag") for key, data in archived(self.random, self.records).items()}
        self.objects.modified_at |= dict.fromkeys(self.objects.held, 0)
        for _ in range(10):
            planned = self.surely(
                lambda objects, shards, now=now: plan(
                    self.registry, self.progress, objects, shards, self.name, now, TIMING
                ),
                self.objects,
                self.shards,
            )
            if planned.done:
                return
            now += planned.wait_s * 1000
            self.acknowledge("archive")
        raise AssertionError("planning does not end")

    def acknowledge(self, reader: str) -> None:
        for shard, data in self.shards.records:
            marker = control_of(data)
            if marker.reader == reader:
                Markers(self.objects).acknowledge(marker, shard)

    def lines_of(self, key: str, kind):
        data, _ = self.objects.get(key)
        return [kind(line) for line in data.splitlines()]

    def rebuild(self) -> None:
        """Everything from Scan to Verify."""
        parts = self.numbers(self.name.scan_manifest)
        for part in self.shuffled(parts):
            self.surely(
                lambda objects, part=part: scan(
                    self.build, as_part(part), objects, self.quarantine, self.progress, self.transformer
                ),
                self.objects,
            )
        self.surely(lambda objects: link(self.registry, self.name, objects, self.progress), self.objects)
        for part in self.shuffled(self.numbers(self.name.shuffle_manifest)):
            self.surely(
                lambda objects, part=part: shuffle(
                    self.name, PartNumber(part["part"]), objects, self.progress
                ),
                self.objects,
            )
        for partition in self.shuffled(self.numbers(self.name.replay_manifest)):
            while not self.surely(
                lambda objects, loader, n=partition["partition"]: self.replay(n, objects, loader),
                self.objects,
                self.loader,
            ).done:
                pass
        self.verified = self.surely(
            lambda objects, lines: verify(self.name, objects, lines, OLD), self.objects, self.lines
        )

    def replay(self, partition: int, objects=None, loader=None, may_go_on=None):
        return replay(
            self.registry,
            self.build,
            PartitionNumber(partition),
            objects or self.objects,
            loader or self.loader,
            self.active,
            self.progress,
            may_go_on or (lambda: self.random.random() < self.patience),
        )

    @property
    def lines(self) -> MemoryLines:
        return MemoryLines(self.builders, self.stores)

    def following(self, now: int, objects=None, shards=None, registry=None):
        return follow(
            registry or self.registry,
            self.consumers,
            CONSUMER,
            objects or self.objects,
            shards or self.shards,
            self.name,
            now,
            TIMING,
        )

    def follow(self, *, redelivers: bool = True) -> None:
        """Start the new version's consumer, which reads the whole stream, and wait for it."""
        for _ in range(10):
            followed = self.surely(
                lambda objects, shards: self.following(self.t0 + 1, objects, shards),
                self.objects,
                self.shards,
            )
            if followed.done:
                return
            self.live(NEW, redelivers=redelivers)
            self.acknowledge(f"{self.name.builder}-v{NEW}")
        raise AssertionError("following does not end")

    def cut_over(self, now: int = 1):
        return self.surely(
            lambda registry, consumers: cut_over(registry, consumers, self.name, now),
            self.registry,
            self.consumers,
        )

    def fail(self, reason: str, now: int = 1):
        return self.surely(
            lambda registry, consumers: fail(registry, consumers, self.name, reason, now),
            self.registry,
            self.consumers,
        )

    def clean_up(self, version: int, may_go_on) -> int:
        """Delete what a version has left; return how many items of it went with the last try."""
        name = BuildName(self.name.builder, version)

        def until_done(registry, consumers, items, objects) -> int:
            deleted = 0
            while True:
                cleaned = clean_up(registry, consumers, items, objects, name, 9, may_go_on)
                deleted += cleaned.deleted
                if cleaned.done:
                    return deleted

        items = MemoryItems(self.stores)
        return self.surely(until_done, self.registry, self.consumers, items, self.objects)

    def numbers(self, key: str) -> list[dict]:
        return [json.loads(line) for line in self.objects.get(key)[0].splitlines()]

    def shuffled(self, items: list) -> list:
        return self.random.sample(items, len(items))

    def shown(self, version: int) -> list[bytes]:
        """The canonical lines of all profiles that are live at T0 or later."""
        builder = self.builders[version]
        live = [
            one
            for one in self.stores[version].stored.values()
            if isinstance(one, Profile) and expiry(builder, one) >= self.t0
        ]
        return [canonical(builder, one) for one in sorted(live, key=lambda one: one.id)]


def as_part(line: dict) -> Part:
    return Part(line["part"], [(key, size) for key, size in line["objects"]])


def by_arrival(records: list[Record]) -> list[list[Record]]:
    """Records that arrived in one millisecond stay together: their order is that of their ids."""
    return [list(some) for _, some in groupby(records, lambda one: one.arrival)]


def a_version(builder: str, version: int, status: Status) -> Version:
    return Version(
        builder=builder,
        version=version,
        status=status,
        definition_key="key",
        sha256="sha",
        t0=0,
        created_at=0,
        created_by="test",
    )


def ended(registry: FakeRegistry, name: BuildName, status: Status, reason: str) -> None:
    row = registry.version(name.builder, name.version)
    registry.replace(row, replace(row, status=status, reason=reason))


def a_record(number: int, arrival: int = T0, shard: str = "shard-0", **body) -> Record:
    body = {"messageId": f"m{number}", "timestamp": format_time(arrival), **body}
    return Record(json.dumps(body).encode(), arrival, shard, str(1000 + number))


def a_world(records, old=BUILDER, new=None) -> World:
    return World(Random(0), records, old, new)


def shown_by_id(world: World, version: int) -> dict[str, dict]:
    return {one["profile_id"]: one for one in map(json.loads, world.shown(version))}


def rebuilt(records, t0=LATER, **builders) -> World:
    world = a_world(records, **builders)
    world.live(OLD)
    world.plan(t0)
    world.rebuild()
    return world
