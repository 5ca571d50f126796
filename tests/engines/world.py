"""One world on a real engine: the stream and its mapping in threads here, ingestion in processes.

It is played by the steps of a scenario of the simulation, and its end is checked by the checkers of the
simulation. What is drawn from the seed is the same there and here; who is quicker is not.
"""

import contextlib
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from random import Random

from shared.adapters.dynamo.followups import ERRORS
from shared.adapters.quarantine import S3Quarantine
from shared.app import quarantine
from shared.app.drain import Drain
from shared.app.ports import SegmentGoneError
from shared.app.read import Reader
from shared.contract import DEDUP_WINDOW_H, PREFIX_FAILED, PREFIX_RETRIES, TTL_ATTRIBUTE, version_alias
from shared.core.identity.identifiers import Identifier
from tests.contracts.engines import create_tables, new_client
from tests.engines.objects import FolderObjects
from tests.engines.processes import ProcessDiedError, Workers
from tests.engines.worker import VERSION, Clock, store_on
from tests.people import DAY, HOUR, T0
from tests.simulation.chains import ChainAlone
from tests.simulation.checks import check
from tests.simulation.delivery import EXPECTED_ERRORS, MAPPING
from tests.simulation.dynamo import IDENTIFIERS, KEYS, PROFILES
from tests.simulation.expected import Reads
from tests.simulation.scenario import EPOCH_MS
from tests.simulation.stream import Stream
from tests.simulation.tuning import tuned
from tests.simulation.world import ALL_ARE_DUE_H, BUILDERS

TICK_S = 0.0002
LANES_MAX = 32
REST_S_MAX = 60
"""A world that is not at rest by then never is."""
ATTEMPTS_PAUSE_S = 0.01
FREEZE_S_MAX = 0.1
EXPECTED = EXPECTED_ERRORS | {"ClientError", "ConnectTimeoutError", "ReadTimeoutError", "SegmentGoneError"}
"""What a batch may end with as a whole: what the network does to reads."""


class World:
    """Everything of one run. Steps have the names, and the meaning, that they have in the simulation."""

    def __init__(self, setting, endpoint, folder, *, careless=False):
        self.setting = setting
        self.builder = BUILDERS[setting.kind]
        self._reads = Reads(self.builder, ChainAlone() if setting.has_chain else None)
        self.stream = Stream(setting.shards)
        self.stream.readable = self.readable
        self.objects = FolderObjects(folder)
        self.tally = Counter()
        self.problems = set()
        self.has_forgotten = self.has_latecomers = self.has_waited = False
        self.active = VERSION
        self.consumers = [self]
        self.fault_rate = setting.fault_rate
        self._endpoint = endpoint
        self._client = new_client(endpoint)
        names = create_tables(endpoint, f"{setting.seed}-{time.time_ns()}")
        self._tables = dict(zip((PROFILES, IDENTIFIERS), names, strict=True))
        config = {"seed": setting.seed, "endpoint": endpoint, "folder": str(folder), "careless": careless}
        self._workers = Workers(config | {"tables": list(self._tables.values())}, setting.processes)
        self._random = Random(f"lanes {setting.seed}")
        self._lock = threading.RLock()
        self._lanes = ThreadPoolExecutor(LANES_MAX, "lane")
        self._running = set()
        self._done = {}
        self._reading = set()
        self._begin_ms, self._begin = T0, time.monotonic_ns()
        self._arrived = 0
        self._epochs = self._count = 0

    @property
    def now_ms(self):
        return self._begin_ms + (time.monotonic_ns() - self._begin) // 1_000_000

    def reads_of(self, _version):
        """Return what tells how the version reads records."""
        return self._reads

    @property
    def dynamo(self):
        """The tables as they are now, as the simulation's service shows them."""
        return self

    @property
    def tables(self):
        return {table: self._items(table) for table in (PROFILES, IDENTIFIERS)}

    def play(self, step):
        """Have one step happen."""
        time.sleep(step.ticks * TICK_S)
        getattr(self, step.what)(*step.details)

    # What happens, by the names of steps.

    def put(self, key, data):
        with self._lock:
            self._arrived = max(self._arrived + 1, self.now_ms)
            shard = self.stream.put(data, key, self._arrived)
        self._start_lane(shard)

    def kill(self, at):
        self._workers.kill(at)

    def freeze(self, at, chance):
        self._workers.freeze(at, chance * FREEZE_S_MAX)

    def rewind(self, at):
        shard = self.stream.shards[at % len(self.stream.shards)]
        since = self.now_ms - DEDUP_WINDOW_H * HOUR // 4
        with self._lock:
            if shard in self._reading or any(
                child.records for child in self.stream.shards if shard in child.parents
            ):
                return
            for _ in range(1 + at // 256 % 12):
                done = self._done.get(shard.name, 0)
                if done and shard.records[done - 1].arrival >= since:
                    self._done[shard.name] = done - 1
        self._start_lane(shard)

    def split(self, at):
        if not self.setting.is_ordered:
            with self._lock:
                self.stream.split(at)

    def merge(self, at):
        with self._lock:
            self.stream.merge(at)

    def lag(self, ms):
        self._begin_ms += ms
        self.settle()

    def jump(self, days, takes_processes):
        self._deliver_all()
        self._epochs += 1
        start = T0 + self._epochs * EPOCH_MS
        while start <= self.now_ms + days * DAY:
            start += DAY
        self._begin_ms, self._begin = start, time.monotonic_ns()
        if takes_processes:
            self._workers.kill_all()

    def reap(self, at, chance):
        random, now_s = Random(at), self.now_ms // 1000
        for table in (PROFILES, IDENTIFIERS):
            for key, item in self._items(table).items():
                is_over = TTL_ATTRIBUTE in item and int(item[TTL_ATTRIBUTE]["N"]) < now_s
                if is_over and random.random() < chance:
                    self.has_forgotten = True
                    names = dict(zip(KEYS[table], ({"S": one} for one in key), strict=True))
                    self._client.delete_item(TableName=self._tables[table], Key=names)

    def read(self, at):
        kind = ("user_id", "cookie_id")[at % 2]
        identifier = Identifier(kind, f"{kind.removesuffix('_id')}-{at // 2 % (self.setting.people + 1)}")
        self._run(self._read, identifier)

    def drain(self, at=0):
        self._run(self._drain, self.now_ms + (at % 24) * HOUR)

    def replay(self, at=0):
        del at
        self._run(self._replay)

    # How it ends.

    def settle(self):
        """Let everything come to rest that is under way, and fails no more."""
        rate, self.fault_rate = self.fault_rate, 0
        deadline = time.monotonic() + REST_S_MAX
        while self.readable() or self._running:
            assert time.monotonic() < deadline, "the run does not come to its end"
            for shard in self.readable():
                self._start_lane(shard)
            wait(list(self._running), timeout=max(0, deadline - time.monotonic()))
            assert not self.problems, self.problems
        self._workers.settle()
        self.fault_rate = rate

    def finish(self):
        """Bring all of it to an end: nothing fails any more, and nothing is left lying."""
        self.fault_rate = 0
        self._deliver_all()

    def close(self):
        """End all threads and processes, and drop the tables."""
        self._workers.kill_all()
        self._lanes.shutdown()
        self._workers.close()
        for name in self._tables.values():
            self._client.delete_table(TableName=name)

    # What the checkers ask.

    def readable(self):
        """Return the shards to be read now: a child's turn comes when its parents are done."""
        with self._lock:
            return [
                one
                for one in self.stream.shards
                if not self._is_drained(one) and all(map(self._is_drained, one.parents))
            ]

    def may_have_forgotten(self):
        """Whether a life that has ended may be unknown, so that nobody knows a later one to be one."""
        return self.has_forgotten

    def given_up(self, _version):
        return list(self.objects.list(PREFIX_FAILED))

    def ask(self, question, _version=VERSION):
        """Return what a fresh process finds out from the store."""
        return question(self._store())

    def let_pass(self, ms):
        """Let some time pass in which nothing comes."""
        self._begin_ms += ms

    def write_again(self, identifiers):
        """Have one more event of each of these come, so that what is parked there is folded."""
        for kind, value in identifiers:
            field = {"user_id": {"userId": value}, "cookie_id": {"anonymousId": value}}
            self._count += 1
            body = {"messageId": f"again-{self._count}", "type": "track"}
            body |= field.get(kind) or {"traits": {"email": value}}
            self.put(value, json.dumps(body).encode())
        self.settle()

    # Delivery.

    def _is_drained(self, shard):
        return self._done.get(shard.name, 0) >= len(shard.records)

    def _run(self, work, *arguments):
        """Have something happen at the same time as all the rest."""
        future = self._lanes.submit(self._careful, work, *arguments)
        self._running.add(future)
        future.add_done_callback(self._running.discard)

    def _careful(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as error:  # noqa: BLE001 - it is a mistake, and the run goes on to its end
            self.problems.add(f"{work.__name__} ended with {type(error).__name__}: {error}")

    def _start_lane(self, shard):
        with self._lock:
            if shard not in self._reading and shard in self.readable():
                self._reading.add(shard)
                self._run(self._lane, shard)

    def _lane(self, shard):
        """Deliver one shard, batch by batch, until there is nothing left."""
        attempts, size_max = 0, self.setting.batch_max
        while True:
            with self._lock:
                begin = self._done.get(shard.name, 0)
                batch = shard.records[begin : begin + self._random.randint(1, size_max)]
                if not batch:
                    self._reading.discard(shard)
                    break
            done = self._deliver(batch)
            attempts = 0 if done else attempts + 1
            size_max = self.setting.batch_max if done else max(1, len(batch) // 2)
            if attempts > self.setting.attempts_max:
                self._give_up(shard, batch)
                done, attempts = len(batch), 0
            elif attempts:
                time.sleep(ATTEMPTS_PAUSE_S)
            with self._lock:
                self._done[shard.name] = begin + done
        for child in self.stream.shards:
            if shard in child.parents:
                self._start_lane(child)

    def _deliver(self, batch):
        """Deliver a batch; return how many of its records are done with."""
        failed = self._invoke([record.envelope for record in batch])
        if failed is None:
            return len(batch)
        return next((at for at, record in enumerate(batch) if record.sequence == failed), 0)

    def _invoke(self, envelopes):
        """Have a process ingest a batch; return the first sequence number that must come again, or None."""
        first = envelopes[0]["kinesis"]["sequenceNumber"]
        try:
            answer = self._workers.call(
                records=envelopes, now_ms=self.now_ms, fault_rate=self.fault_rate, settle=False
            )
        except ProcessDiedError:
            return first
        if "error" in answer:
            if answer["error"] not in EXPECTED:
                self.problems.add(f"a batch failed with {answer['error']}: {answer['text']}")
            return first
        self._check_tally(answer)
        return answer["failed"]

    def _check_tally(self, answer):
        tally = Counter(answer["tally"])
        with self._lock:
            self.tally.update(tally)
        if mistakes := set(answer["errors"]) - EXPECTED:
            self.problems.add(f"events failed with {sorted(mistakes)}")
        names = ("folded", "duplicate", "quarantined", "failed", "parked", "postponed")
        accounted = sum(tally[f"events_{name}"] for name in names)
        accounted += sum(count for name, count in tally.items() if name.startswith("dropped."))
        came = tally["events_in"] + tally["events_fanned_out"]
        if accounted < came:
            self.problems.add(f"{came} events came in, {accounted} are accounted for")

    def _give_up(self, shard, batch):
        """Write what the mapping gives up on to the on-failure destination, as Lambda does."""
        with self._lock:
            self._count += 1
            number = self._count
        document = {
            "requestContext": {
                "functionArn": f"arn:aws:lambda:eu-central-1:1:function:i:{version_alias('people', VERSION)}",
                "condition": "RetryAttemptsExhausted",
            },
            "payload": {"Records": [record.envelope for record in batch]},
        }
        self.objects.now = self.now_ms
        self.objects.put(f"{PREFIX_FAILED}{MAPPING}/{shard.name}/{number:08}", json.dumps(document).encode())

    def ingest(self, _builder, _version, records):
        """The `Ingestion` port: how many records of a batch are accepted, from the first one on."""
        failed = self._invoke(list(records))
        if failed is None:
            return len(records)
        return [record["kinesis"]["sequenceNumber"] for record in records].index(failed)

    def _deliver_all(self):
        rate, self.fault_rate = self.fault_rate, 0
        self.settle()
        for _ in range(4):
            if not (self.given_up(VERSION) or any(self.objects.list(PREFIX_RETRIES))):
                break
            self.drain(ALL_ARE_DUE_H)
            self.settle()
        self.replay()
        self.settle()
        self.fault_rate = rate

    def _drain(self, now):
        Drain(self.objects, self, S3Quarantine(self.objects), lambda _: None, lambda: 10**9).run(now)

    def _replay(self):
        store = S3Quarantine(self.objects)
        quarantine.replay(store, self, list(store.list()))

    def _read(self, identifier):
        with contextlib.suppress(*ERRORS, SegmentGoneError):
            found = Reader(self.builder, self._store(), lambda: self.now_ms).by_identifier(identifier)
            if found is not None and identifier not in found.identifiers:
                self.problems.add("a reader was shown somebody else")

    def _store(self):
        clock = Clock()
        clock.tell(self.now_ms)
        return store_on(self._endpoint, list(self._tables.values()), self.setting, clock, self._client)

    def _items(self, table):
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._tables[table], ConsistentRead=True
        )
        return {
            tuple(item[name]["S"] for name in KEYS[table]): item for page in pages for item in page["Items"]
        }


def run(setting, steps, endpoint, folder, *, careless=False):
    """Play a world to its end, and check it; AssertionError if something does not hold."""
    with tuned(setting), contextlib.closing(World(setting, endpoint, folder, careless=careless)) as world:
        for step in steps:
            world.play(step)
        world.finish()
        check(world)
        return world.tally
