"""Hot profiles: a bot on a hundred shards, and a merge under fire, with the time that calls take.

    python -m tests.simulation.hot [--shards 100] [--batches 4] [--seed 0] [--json]

Every shard has a process of its own, as Lambda has it. A batch of each second holds events of the hot person,
and of others; what it took until a batch was acknowledged is what its neighbours waited.
"""

import argparse
import json
import sys
from base64 import b64encode
from collections import Counter
from random import Random
from unittest.mock import patch

from shared.adapters.clock import PAUSE_S_BASE, PAUSE_S_MAX
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.dynamo.store import DynamoStore
from shared.app.batch import Batch
from shared.app.ingest import Ingest
from shared.contract import IDENTIFIERS_PK
from shared.core.compile import Builder
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile
from tests.people import T0, a_definition
from tests.simulation.dynamo import IDENTIFIERS, PROFILES, Dynamo
from tests.simulation.scheduler import Pool, Process, Scheduler

TICK_US = 20
"""What a process computes between two calls, about: others compute at the same time."""
READ_MS, WRITE_MS, TRANSACTION_MS = 4, 6, 15
"""What calls of DynamoDB take, with a spread of half of it to double."""
BATCH_MS = 1000
DRAIN_EVERY_MS = 300_000
"""As `infra/ingestion.py` has it."""
TICKS_MAX = 50_000_000
BUILDER = Builder(a_definition())
COOKIE, USER = Identifier("cookie_id", "bot"), Identifier("user_id", "bot")
BOTH = {"anonymousId": "bot", "userId": "bot"}
POINTERS = [(Keyspace(BUILDER.name, 1).pointer(one)[IDENTIFIERS_PK]["S"],) for one in (COOKIE, USER)]


class Run:
    """One run. `hot` says which of the fields of a hot event a shard sends; none: nobody is hot."""

    def __init__(self, shards, batches, hot, hot_events=10, others=10, seed=0):
        self.random = Random(seed)
        self.scheduler = Scheduler(self.random, TICK_US)
        self.dynamo = Dynamo(self.now_us)
        self.dynamo.watch = self._changed
        self.tally = Counter()
        self.took_ms = []
        """Per batch: from when it was due until it was acknowledged."""
        self.failed = 0
        self.waiting = 0
        """Records that were set aside, as they lost too many races."""
        self.linked_at = []
        """When the first event that links the two hot people was due, and when they were one, ms UTC."""
        self.waited_ms = []
        """What it took until each of them was counted."""
        self.sent = Counter()
        self.stores = []
        self.parked_max = 0
        self._sequence = 0
        self._size = hot_events, others
        for shard in range(shards):
            self._spawn(shard, batches, hot)

    def play(self):
        """Play it to its end; return it."""
        while self.scheduler.step():
            assert self.scheduler.ticks < TICKS_MAX, "it does not come to its end"
        return self

    @property
    def units(self):
        """Request units: of reads, of writes, and calls."""
        units = [one.units for one in self.stores]
        return (
            sum(one.reads for one in units),
            sum(one.writes for one in units),
            sum(one.calls for one in units),
        )

    def profile_of(self, identifier):
        """Return the profile of an identifier once one more event of it has folded what is parked."""
        found = []

        def look():
            store = self._store(Process("look"))
            field = {"cookie_id": "anonymousId", "user_id": "userId"}[identifier.type]
            self._ingest(store).run([self._envelope("last", {field: identifier.value})])
            pointer = store.pointers([identifier], fresh=True)[identifier]
            found.append(store.profiles([pointer.profile_id], fresh=True)[pointer.profile_id])

        self.scheduler.spawn(look)
        self.play()
        [profile] = found
        assert isinstance(profile, Profile)
        return profile

    def event_count(self):
        """Return what all profiles have counted."""
        items = self.dynamo.tables[PROFILES].values()
        return sum(int(one["event_count"]["N"]) for one in items if "event_count" in one)

    def _spawn(self, shard, batches, hot):
        process = Process(f"shard-{shard}")
        store = self._store(process)
        self.stores.append(store)
        batch = self._ingest(store)
        self.scheduler.spawn(lambda: self._lane(batch, shard, batches, hot), process)

    def _store(self, process):
        pool = lambda workers, _name: Pool(self.scheduler, process, workers)  # noqa: E731 - as the product calls it
        with patch("shared.adapters.dynamo.store.ThreadPoolExecutor", pool):
            return DynamoStore(Calls(self), BUILDER, 1, PROFILES, IDENTIFIERS, self)

    def _ingest(self, store):
        return Batch(BUILDER, 1, 0, Ingest(BUILDER, store, self), None, self, None)

    def _lane(self, batch, shard, batches, hot):
        for number in range(batches):
            due_ms = T0 + number * BATCH_MS + shard * BATCH_MS // 100
            self.wait_ms(due_ms - self.now_us() / 1000)
            waiting = self._records(shard, number, hot)
            while waiting:
                outcome = batch.run(waiting)
                self.tally.update(outcome.tally)
                if outcome.failed is None:
                    break
                self.failed += 1
                places = [one["kinesis"]["sequenceNumber"] for one in waiting]
                waiting = waiting[places.index(outcome.failed) :]
            self.took_ms.append(self.now_us() / 1000 - due_ms)
            self.parked_max = max(self.parked_max, self._parked())

    def _records(self, shard, number, hot):
        hot_events, others = self._size
        records = []
        for at in range(hot_events if hot else 0):
            fields = hot(shard, number, at)
            if fields == BOTH and not self.linked_at:
                self.linked_at.append(self.now_us() / 1000)
            self.sent["hot"] += 1
            records.append(self._envelope(shard, fields))
        for at in range(others):
            self.sent["others"] += 1
            records.append(self._envelope(shard, {"anonymousId": f"c{shard}-{(number * others + at) % 40}"}))
        self.random.shuffle(records)
        return records

    def _envelope(self, shard, fields):
        self._sequence += 1
        page = f"/{self.random.randrange(50)}"
        body = {"messageId": f"m{self._sequence}", "type": "page", "properties": {"page": page}, **fields}
        return {
            "eventID": f"{shard}:{self._sequence:08}",
            "kinesis": {
                "data": b64encode(json.dumps(body).encode()).decode(),
                "sequenceNumber": f"{self._sequence:08}",
                "approximateArrivalTimestamp": self.now_us() / 1_000_000,
            },
        }

    def _changed(self, table, key, _item):
        """Take note of the moment from which both identifiers lead to one profile."""
        if table == IDENTIFIERS and key in POINTERS and len(self.linked_at) == 1:
            ids = [self.dynamo.tables[IDENTIFIERS][one]["profile_id"]["S"] for one in POINTERS]
            if len(set(ids)) == 1:
                self.linked_at.append(self.now_us() / 1000)

    def _parked(self):
        items = self.dynamo.tables[PROFILES].values()
        return max((len(one["parked"]["SS"]) for one in items if "parked" in one), default=0)

    # The clock of all processes.

    def now_us(self):
        return T0 * 1000 + self.scheduler.ticks * TICK_US

    def pause(self, attempt):
        self.wait_ms(self.random.random() * 1000 * min(PAUSE_S_MAX, PAUSE_S_BASE * 2**attempt))

    # Where records wait that could not be written.

    def put(self, _builder, _version, retries):
        """Deliver each again once it is due, alone, and again, as the drain does."""
        for one in retries:
            self.waiting += 1
            self.scheduler.spawn(lambda one=one: self._drain(one), Process("drain"))

    def _drain(self, retry):
        store = self._store(self.scheduler.current.process)
        self.stores.append(store)
        batch, due_ms = self._ingest(store), self.now_us() / 1000
        self.wait_ms(retry.delay_s * 1000 + self.random.random() * DRAIN_EVERY_MS)
        while (outcome := batch.run([retry.envelope])).failed is not None:
            self.tally.update(outcome.tally)
            self.wait_ms(DRAIN_EVERY_MS)
        self.tally.update(outcome.tally)
        self.waited_ms.append(self.now_us() / 1000 - due_ms)

    def wait_ms(self, ms):
        if ms > 0:
            self.scheduler.switch(int(ms * 1000 / TICK_US))


class Calls:
    """A botocore client whose calls take their time, and whose reads are a little stale."""

    def __init__(self, run):
        self._run = run

    def __getattr__(self, name):
        ms = {"batch_get_item": READ_MS, "transact_write_items": TRANSACTION_MS}.get(name, WRITE_MS)
        return lambda **arguments: self._call(name, ms, arguments)

    def _call(self, name, ms, arguments):
        run = self._run
        half_ms = ms * (0.5 + 1.5 * run.random.random()) / 2
        run.wait_ms(half_ms)
        answer = run.dynamo.execute(name, arguments, lambda versions: versions[0])
        run.wait_ms(half_ms)
        return answer


def bot(_shard, _number, _at):
    """Events of one device on every shard."""
    return {"anonymousId": "bot"}


def two_that_become_one(shard, number, at):
    """Events of a device and of a user, which are found to be one person half way."""
    if number >= 2 and shard == 0 and at == 0:
        return BOTH
    return {"anonymousId": "bot"} if (shard + at) % 2 else {"userId": "bot"}


def bot_with_new_devices(shard, number, _at):
    """Events of one user on every shard, who has another device in every tenth batch."""
    return {"userId": "bot"} | ({"anonymousId": f"d{shard}-{number}"} if shard % 10 == 0 else {})


def measured(run):
    """Return the figures of a run."""
    took = sorted(run.took_ms)
    events = sum(run.sent.values())
    reads, writes, calls = run.units
    return {
        "events": events,
        "units_per_event": round((reads + writes) / events, 2),
        "calls_per_event": round(calls / events, 2),
        "conflicts_per_hot_event": round(run.tally["conflicts"] / max(1, run.sent["hot"]), 2),
        "deltas_parked": run.tally["deltas_parked"],
        "events_parked": run.tally["events_parked"],
        "parked_max": run.parked_max,
        "profiles_quieted": run.tally["profiles_quieted"],
        "link_ms": round(run.linked_at[1] - run.linked_at[0]) if len(run.linked_at) > 1 else None,
        "records_waiting": run.waiting,
        "batches_again": run.failed,
        "batch_ms_median": round(took[len(took) // 2]),
        "batch_ms_p99": round(took[len(took) * 99 // 100]),
        "batch_ms_max": round(took[-1]),
    }


SCENARIOS = {
    "nobody is hot": None,
    "a bot": bot,
    "a bot with new devices": bot_with_new_devices,
    "a merge under fire": two_that_become_one,
}


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.hot", description=__doc__)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    found = {}
    for name, hot in SCENARIOS.items():
        found[name] = measured(Run(options.shards, options.batches, hot, seed=options.seed).play())
        if not options.json:
            print(name, found[name], flush=True)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
