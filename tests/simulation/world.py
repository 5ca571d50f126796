"""One world: the stream, the services, and the processes that ingest; what happens in it, and its end."""

import contextlib
import json
from collections import Counter
from random import Random
from unittest.mock import patch

from shared.adapters.dynamo.followups import ERRORS
from shared.adapters.dynamo.store import DynamoStore
from shared.adapters.memory_store import MemoryStore
from shared.app.damage import DamagedError
from shared.app.ports import SegmentGoneError
from shared.app.read import Reader
from shared.contract import (
    DEDUP_WINDOW_H,
    PREFIX_FAILED,
    PREFIX_RETRIES,
    SK_DELTA_PREFIX,
    version_alias,
)
from shared.core.compile import Builder
from shared.core.identity.identifiers import Identifier
from shared.core.profile import expiry
from tests.fakes.objects import FakeObjects
from tests.people import DAY, HOUR, T0, a_definition
from tests.simulation.chains import ChainAlone
from tests.simulation.checks import live_of, quarantined, telling, view
from tests.simulation.delivery import PASSING, Delivery
from tests.simulation.dynamo import IDENTIFIERS, PROFILES, Dynamo
from tests.simulation.expected import Reads, Sight
from tests.simulation.memory import SimulatedMemoryStore
from tests.simulation.network import LATE_TICKS_MAX, Client, Faults, late
from tests.simulation.scheduler import Pool, Process, Scheduler
from tests.simulation.stream import Consumer, Stream
from tests.simulation.troubles import taken_by_ttl
from tests.simulation.workers import VERSION, Clock

TICK_US = 2_000
TICKS_MAX = 60_000
"""Ten times what any run takes: one that is not done by then never ends."""
BUILDERS = {
    "plain": Builder(a_definition()),
    "limited": Builder(a_definition(limit=1)),
    "known only": Builder(a_definition(anonymous_profiles=False)),
}


ALL_ARE_DUE_H = 23
"""After so many hours whatever waits for another try is due."""


class FailedRunError(AssertionError):
    """A run in which something did not hold."""


class World(Delivery):
    """Everything of one run with one version, which is active from the beginning on."""

    ticks_max = TICKS_MAX

    def __init__(self, setting, without=frozenset()):
        self.setting = setting
        self.random = Random(f"turns {setting.seed}")
        self.happened = []
        self.scheduler = Scheduler(self.random, TICK_US)
        self.scheduler.now_us = T0 * 1000
        self.faults = Faults(Random(f"faults {setting.seed}"), setting.fault_rate, self.happened, without)
        self.dynamo = Dynamo(lambda: self.scheduler.now_us)
        self.memory = MemoryStore()
        self.objects = FakeObjects()
        self._builder = self.a_builder()
        self._reads = {}
        self.stream = Stream(setting.shards)
        self.consumers = [Consumer(version_alias("people", VERSION), self.stream, VERSION)]
        self.workers = []
        self.tally = Counter()
        self.met = Counter()
        """What went wrong that neither faults nor batches tell of, by name: see `troubles`."""
        self.problems = set()
        self.newest = {}
        """The record that arrived last of those that each consumer is done with, by its name."""
        self.has_forgotten = False
        """Whether TTL took anything."""
        self.has_latecomers = False
        """Whether an event was replayed whose life, of its arrival, may have expired before others began."""
        self.has_lost_answers = self.setting.fault_rate > 0
        """Whether a process may have written what nobody counted."""
        self.has_waited = False
        """Whether an event was replayed that would have been counted as it came."""
        self.epoch_ms = T0
        self.apart_us = 60_000_000 if setting.is_forgetful else 1000 if setting.is_ordered else 0
        """How far apart records arrive at least: those of the same millisecond have no order of their own,
        and of those of the same minute any may be forgotten first."""
        self._epochs = 0
        self._count = 0

    def a_builder(self):
        """Return what says how profiles are made."""
        return BUILDERS[self.setting.kind]

    @property
    def builder(self):
        """How the active version makes profiles."""
        return self.builder_of(self.active)

    def builder_of(self, version):
        """Return how a version makes profiles."""
        assert version == VERSION
        return self._builder

    def reads_of(self, version):
        """Return what tells how a version reads records."""
        builder = self.builder_of(version)
        if id(builder) not in self._reads:
            self._reads[id(builder)] = Reads(builder, ChainAlone() if self.setting.has_chain else None)
        return self._reads[id(builder)]

    @property
    def now_ms(self):
        return self.scheduler.now_us // 1000

    @property
    def active(self):
        """The version that is active."""
        return VERSION

    def t0(self, version):
        """From which arrival on a version ingests."""
        assert version == VERSION
        return 0

    def may_have_forgotten(self):
        """Whether a life that has ended may be unknown, so that nobody knows a later one to be one."""
        return self.has_forgotten

    def is_callable(self, version):
        """Whether the ingestion function has the alias of a version."""
        return version == VERSION

    def has_ended(self, builder, version):
        """Whether a version needs no records any more."""
        assert (builder, version) == ("people", VERSION)
        return False

    def given_up(self, version):
        """Return the batches of a version that its mapping gave up, and nobody has delivered yet."""
        alias = version_alias("people", version).encode() + b'"'
        return [one.key for one in self.objects.list(PREFIX_FAILED) if alias in self.objects.get(one.key)[0]]

    def is_waiting(self, version):
        """Whether anything was set aside that a version may still count."""
        if self.given_up(version) or any(self.objects.list(PREFIX_RETRIES)):
            return True
        return any(PASSING & one.reasons.keys() for one in quarantined(self, version))

    def may_have_parked(self):
        """Whether events may ever have been parked, which a batch folds, and counts, beside its own."""
        if self.setting.store == "memory":
            return True
        return any(key[1].startswith(SK_DELTA_PREFIX) for key in self.dynamo.written(PROFILES))

    def done_with(self, version):
        """Return the records that a version has counted, or set aside; perhaps some more than these."""
        alias = version_alias("people", version)
        consumer = next((one for one in self.consumers if one.name == alias), None)
        if consumer is None:
            return []
        return [record for shard in self.stream.shards for record in shard.records[: consumer.done(shard)]]

    def store_for(self, process, version=VERSION, *, cache=None):
        if self.setting.store == "memory":
            return SimulatedMemoryStore(self, self.memory)
        with patch(
            "shared.adapters.dynamo.store.ThreadPoolExecutor",
            lambda workers, name: self.pool(workers, name, process),
        ):
            return DynamoStore(
                Client(self, process),
                self.builder_of(version),
                version,
                PROFILES,
                IDENTIFIERS,
                Clock(self, process),
                cache=self.setting.cache if cache is None else cache,
            )

    def pool(self, workers, _name="", process=None):
        """Return what stands for a pool of threads: of the process that is at work, unless told."""
        return Pool(self.scheduler, process or self.scheduler.current.process, workers)

    def later(self, work):
        """Have a request arrive after its sender has given it up."""
        late(self.scheduler, 1 + self.faults.below(LATE_TICKS_MAX), work)

    def go_on(self, ticks=None):
        """Let tasks go on for so many ticks, or until there is nothing left to do."""
        until = self.scheduler.ticks + (self.ticks_max if ticks is None else ticks)
        while self.scheduler.ticks < until and self.scheduler.step():
            pass
        if self.scheduler.ticks >= self.ticks_max:
            raise FailedRunError("the run does not come to its end")

    def play(self, step):
        """Have one step happen."""
        self.go_on(step.ticks)
        getattr(self, step.what)(*step.details)

    # What happens, by the names of steps.

    def put(self, key, data):
        if any(one.data == data for one in self.stream.records):
            self.met["a producer sent a record twice"] += 1
        self.scheduler.now_us += self.apart_us
        self.start_lanes(self.stream.put(data, key, self.now_ms))

    def kill(self, at):
        """End a process in the midst of whatever it does; another will take its place."""
        if self.workers:
            self._end(self.workers[at % len(self.workers)])

    def freeze(self, at, chance):
        """Hold a lane's next delivery back, so that others run ahead."""
        del at
        self.scheduler.spawn(lambda: self.scheduler.switch(int(chance * 500)))

    def rewind(self, at):
        """Have the mapping forget the last checkpoints of a shard: it delivers a suffix again."""
        shard = self.stream.shards[at % len(self.stream.shards)]
        consumer = self.consumers[at // 4096 % len(self.consumers)]
        since = self.now_ms - DEDUP_WINDOW_H * HOUR // 4
        if (
            self.setting.is_forgetful
            or shard in consumer.reading
            or any(child.records for child in self.stream.shards if shard in child.parents)
        ):
            return
        for _ in range(1 + at // 256 % 12):
            done = consumer.done(shard)
            if done and shard.records[done - 1].arrival >= since:
                consumer.move(shard, -1)
                self.met["records came again"] += 1
        self._start_lane(consumer, shard)

    def split(self, at):
        if not self.setting.is_ordered:
            self.stream.split(at)

    def merge(self, at):
        self.stream.merge(at)

    def lag(self, ms):
        """Let time pass while records wait: they are delivered late, though well within the window."""
        self.scheduler.now_us += ms * 1000
        self.settle()

    def jump(self, days, takes_processes):
        """Let everything come to rest, and days pass: nothing may wait for longer than the window."""
        self._deliver_all()
        if self.setting.has_ends:
            self._arrive_about_an_end()
        self._epochs += 1
        start = T0 + self._epochs * self.setting.epoch_ms
        while start <= self.now_ms + days * DAY:
            start += DAY
        assert self._epochs < self.setting.epochs_max
        self.epoch_ms = start
        self.scheduler.now_us = start * 1000
        if takes_processes:
            for worker in self.workers[:]:
                self._end(worker)

    def _arrive_about_an_end(self):
        """Have an event of somebody arrive in their last millisecond, or just before or after it."""
        random = Random(f"end {self.setting.seed} {self._epochs}")
        with self.faults.none():
            found = [one for one in live_of(view(self)[0]) if expiry(self.builder, one) > self.now_ms]
        if not found:
            return
        one = min(found, key=lambda each: (expiry(self.builder, each), each.id))
        arrival = expiry(self.builder, one) + random.choice([-1, 0, 0, 1])
        self.met["an event arrived in the moment of an end"] += 1
        self.scheduler.now_us = max(self.scheduler.now_us, arrival * 1000 - self.apart_us)
        self.write_again([telling(self.builder, one)])

    def reap(self, at, chance):
        """Let TTL delete some of what has expired: it takes days over it, and no order."""
        random = Random(at)
        if self.setting.store == "memory":
            return
        only = (None, PROFILES, IDENTIFIERS, IDENTIFIERS)[at % 4] if self.setting.has_lives else None
        for table, key in self.dynamo.expired():
            if only in {None, table} and random.random() < chance:
                self.has_forgotten = True
                self.met[taken_by_ttl(self.dynamo.tables, table, key)] += 1
                self.dynamo.set(table, key, None)

    def read(self, at):
        """Look a person up, as anybody may at any time."""
        kind = ("user_id", "cookie_id")[at % 2]
        identifier = Identifier(kind, f"{kind.removesuffix('_id')}-{at // 2 % (self.setting.people + 1)}")
        self._count += 1
        process = Process(f"reader-{self._count}")
        self.scheduler.spawn(lambda: self._read(process, identifier), process)

    # How it ends.

    def settle(self):
        """Let everything come to rest that is under way, and fails no more."""
        with self.faults.none():
            for _ in range(40):
                for consumer in self.consumers:
                    for shard in consumer.readable():
                        self._start_lane(consumer, shard)
                self.go_on()
                if not any(consumer.readable() for consumer in self.consumers):
                    break

    def finish(self):
        """Bring all of it to an end: nothing fails any more, and nothing is left lying."""
        self._deliver_all()

    def _deliver_all(self):
        """Deliver what is on the stream, what was given up, and what is in quarantine; none of it fails."""
        with self.faults.none():
            self.settle()
            for _ in range(4):
                if not (self.given_up(self.active) or any(self.objects.list(PREFIX_RETRIES))):
                    break
                self.drain(ALL_ARE_DUE_H)
                self.settle()
            self.replay()
            self.settle()

    def ask(self, question, version=VERSION):
        """Return what a fresh process finds out from the store."""
        self._count += 1
        process = Process(f"checker-{self._count}")
        store = self.store_for(process, version)
        task = self.scheduler.spawn(lambda: question(store), process)
        self.go_on()
        if task.error is not None:
            raise task.error
        return task.result

    def let_pass(self, ms):
        """Let some time pass in which nothing comes."""
        self.scheduler.now_us += ms * 1000

    def write_again(self, identifiers):
        """Have one more event of each of these come, so that what is parked there is folded."""
        for number, (kind, value) in enumerate(identifiers):
            field = {"user_id": {"userId": value}, "cookie_id": {"anonymousId": value}}
            self._count += 1
            body = {"messageId": f"again-{self._count}-{number}", "type": "track"}
            body |= field.get(kind) or {"traits": {"email": value}}
            self.put(value, json.dumps(body).encode())
        self.settle()

    # What is checked.

    def check(self):
        """Check what only a world with more in it has."""

    def shown_as_active(self, process):
        """Return the version that a process is told is the active one."""
        del process
        return VERSION

    def _read(self, process, identifier):
        with contextlib.suppress(*ERRORS, SegmentGoneError, DamagedError):
            version = self.shown_as_active(process)
            store, sight = self.store_for(process, version), Sight(self, version, identifier)
            reader = Reader(self.builder_of(version), store, lambda: self.now_ms)
            found = reader.by_identifier(identifier)
            self.met["a reader was shown nobody" if found is None else "a reader was shown somebody"] += 1
            if (
                self.shown_as_active(process) == version == self.active
            ):  # else it may have been on its way out
                self.problems.update(sight.problems_of(found))
                self.looked_at(store, found)

    def looked_at(self, store, profile):
        """Have a process that found a profile, or None, go on with it."""
