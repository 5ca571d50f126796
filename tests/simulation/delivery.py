"""What Lambda does for ingestion: mappings that read shards, calls, retries, giving up."""

import contextlib
import json

from shared.adapters.dynamo.followups import ERRORS
from shared.adapters.lambda_transformer import TransformationUnavailableError
from shared.adapters.quarantine import S3Quarantine
from shared.app import quarantine
from shared.app.delivery import IngestionUnavailableError, VersionGoneError
from shared.app.drain import Drain
from shared.app.ports import SegmentGoneError
from shared.contract import PREFIX_FAILED
from tests.people import HOUR
from tests.simulation.network import Objects
from tests.simulation.scheduler import Killed, Process, ProcessDiedError, SimulationError
from tests.simulation.workers import VERSION, Worker

MAPPING = "7cc5a2b4-0000-4000-8000-000000000000"
EXPECTED_ERRORS = {
    "ClientError",
    "ConnectTimeoutError",
    "ProvisionedThroughputExceededException",
    "ReadTimeoutError",
    "ThrottledError",
    "contended",
    "simulated",
}
"""What a group of events may fail with; anything else is a mistake, however well it goes the next time."""
PASSING = {quarantine.FAILED_REPEATEDLY, "transform_retry", "transform_crash", "profile_damaged"}
"""Why an event is in quarantine that is well when it is replayed."""
STORM_RATE, STORM_RATE_OF_WRITES = 0.3, 0.5
STORM_TICKS = 300
"""For how long records wait for each call of ingestion, where these hardly ever succeed."""
IMPATIENCE = ("given up",)
"""Of whoever waits for an answer of ingestion, while ingestion works on."""
IMPATIENCE_TICKS_MAX = 60
OFTEN = 4
LOST = (ProcessDiedError, SegmentGoneError, TransformationUnavailableError, VersionGoneError)
"""What a whole batch may fail with, besides errors of services."""


class Delivery:
    """The part of a world that delivers records to processes."""

    def invoke(self, envelopes, version=VERSION):
        """Within a task: have a process ingest a batch; ProcessDiedError if it did not live to answer."""
        worker = self._worker()
        while worker is None:
            self.scheduler.switch(10)
            worker = self._worker()
        if not self.is_callable(version):
            raise VersionGoneError
        worker.is_busy = True
        task = self.scheduler.spawn(lambda: worker.batch(version).run(envelopes), worker)
        if self.setting.has_impatience and self.faults.draw(
            f"answer of {worker.name}", IMPATIENCE, times=OFTEN
        ):
            worker.is_given_up = True
            self.scheduler.spawn(lambda: self._ignore(worker, task))
            self.scheduler.switch(1 + self.faults.below(IMPATIENCE_TICKS_MAX))
            raise ProcessDiedError
        return self._outcome(worker, task)

    def _outcome(self, worker, task):
        """Wait for what becomes of a batch."""
        try:
            outcome = self.scheduler.wait(task)
        finally:
            worker.is_busy = worker.is_given_up = False
        self._check_tally(outcome)
        self.tally.update(outcome.tally)
        return outcome

    def _ignore(self, worker, task):
        """Let a process go on that nobody waits for: its batch is delivered again meanwhile."""
        try:
            self._outcome(worker, task)
        except (*LOST, *ERRORS):
            pass
        except Exception as error:  # noqa: BLE001 - nobody is told of it
            self._mistake(error)

    def _mistake(self, error):
        """Take note of what a whole batch must not fail with, however well it goes the next time."""
        self.problems.add(f"a batch failed with {type(error).__name__}: {error}")

    def _worker(self):
        idle = [one for one in self.workers if not one.is_busy]
        serving = [one for one in self.workers if not one.is_given_up]
        if len(serving) < self.setting.processes and (not idle or self.random.random() < 0.2):
            self._count += 1
            try:
                self.workers.append(Worker(self, self._count))
            except Exception as error:
                raise SimulationError("a process could not start") from error
            return self.workers[-1]
        return self.random.choice(idle) if idle else None

    def _end(self, worker):
        self.workers.remove(worker)
        if worker.is_busy:
            self.met["died: worker"] += 1
        self.has_lost_answers |= worker.is_busy
        self.scheduler.kill(worker)

    def start_lanes(self, shard):
        """Have a shard read by everybody who does not read it yet, and may."""
        for consumer in self.consumers:
            self._start_lane(consumer, shard)

    def _start_lane(self, consumer, shard):
        if shard not in consumer.reading and shard in consumer.readable():
            consumer.reading.add(shard)
            self.scheduler.spawn(lambda: self._lane(consumer, shard))

    def _lane(self, consumer, shard):
        """Deliver one shard, batch by batch, until there is nothing left."""
        attempts = 0
        size_max = self.setting.batch_max
        while consumer.is_open and not consumer.is_done(shard):
            self.scheduler.switch(STORM_TICKS if self.is_stormy else 0)
            size = self.random.randint(1, size_max)
            begin = consumer.done(shard)
            batch = shard.records[begin : begin + size]
            done = self._deliver(consumer, batch)
            consumer.move(shard, done)
            attempts = 0 if done else attempts + 1
            if attempts:
                size_max = max(1, len(batch) // 2)
            elif done:
                size_max = self.setting.batch_max
            if attempts > self.setting.attempts_max:
                self._give_up(consumer, shard, batch)
                consumer.move(shard, len(batch))
                attempts = 0
        consumer.reading.discard(shard)
        for one in consumer.readable():
            self._start_lane(consumer, one)

    def _deliver(self, consumer, batch):
        """Deliver a batch; return how many of its records are done with."""
        try:
            outcome = self.invoke([record.envelope for record in batch], consumer.version)
        except (*LOST, *ERRORS):
            return 0
        except Exception as error:  # noqa: BLE001 - Lambda would deliver it again
            self._mistake(error)
            return 0
        self._look_who_is_first(consumer, batch)
        if outcome.failed is None:
            return len(batch)
        return next(at for at, record in enumerate(batch) if record.sequence == outcome.failed)

    def _look_who_is_first(self, consumer, batch):
        """Take note of records that come after those of another shard which arrived later."""
        newest = self.newest.get(consumer.name)
        if newest is None or batch[-1].arrival >= newest.arrival:
            self.newest[consumer.name] = batch[-1]
        elif newest.shard != batch[-1].shard:
            self.met["shards overtook each other"] += 1

    def _give_up(self, consumer, shard, batch):
        """Write what the mapping gives up on to the on-failure destination, as Lambda does."""
        self.met["Lambda gave a batch up"] += 1
        self._count += 1
        document = {
            "requestContext": {
                "functionArn": f"arn:aws:lambda:eu-central-1:1:function:i:{consumer.name}",
                "condition": "RetryAttemptsExhausted",
            },
            "payload": {"Records": [record.envelope for record in batch]},
        }
        self.objects.now = self.now_ms
        key = f"{PREFIX_FAILED}{MAPPING}/{shard.name}/{self._count:08}"
        self.objects.put(key, json.dumps(document).encode())

    def ingest(self, builder, version, records):
        """The `Ingestion` port: how many records of a batch are accepted, from the first one on."""
        del builder
        try:
            outcome = self.invoke(records, version)
        except ProcessDiedError:
            return 0
        except (Killed, VersionGoneError):
            raise
        except Exception:  # noqa: BLE001 - an error of the function is nobody else's
            return 0
        self.met["what waited was delivered"] += 1
        if outcome.failed is None:
            return len(records)
        numbers = [record["kinesis"]["sequenceNumber"] for record in records]
        accepted = numbers.index(outcome.failed)
        if accepted:
            self.met["part of what waited was accepted"] += 1
        return accepted

    @property
    def is_stormy(self):
        """Whether very much goes wrong now."""
        return self.faults.rate == STORM_RATE or self.faults.rate_of_writes > 0

    # What happens, by the names of steps.

    def storm(self, at):
        """Have very much go wrong from now on, or only with writes; or, if it does, no more than usual."""
        if self.is_stormy:
            self.faults.rate, self.faults.rate_of_writes = self.setting.fault_rate, 0
        elif at % 2:
            self.faults.rate = STORM_RATE
        else:
            self.faults.rate_of_writes = STORM_RATE_OF_WRITES

    def drain(self, at=0):
        """Deliver again what the mapping gave up on."""
        self._refuse_writes(at)
        self._drain(self.now_ms + (at % 24) * HOUR)

    def replay(self, at=0):
        """Replay all of quarantine."""
        self._refuse_writes(at)
        self._background(self._replay)

    def _refuse_writes(self, at):
        """Have what is delivered now be written in part, where anything fails and much is drained."""
        if self.setting.is_drained and self.faults.rate and at // 32 % 4:
            self.faults.rate_of_writes = STORM_RATE_OF_WRITES

    def _background(self, work):
        self._count += 1
        process = Process(f"background-{self._count}")

        def run():
            with contextlib.suppress(IngestionUnavailableError, Exception):
                work(process)

        self.scheduler.spawn(run, process)

    def _drain(self, now):
        def work(process):
            objects = Objects(self, process)
            drain = Drain(objects, self, S3Quarantine(objects), lambda _: None, lambda: 10**9, self.has_ended)
            drain.run(now)

        self._background(work)

    def _replay(self, process):
        store = S3Quarantine(Objects(self, process))
        entries = list(store.list())
        # A rebuild may set aside, by code that is not always well, what was folded before days passed.
        passing = [one.entry for one in entries if PASSING & one.entry.reasons.keys()]
        self.has_waited |= bool(passing)
        self.has_latecomers |= any(one.arrival < self.epoch_ms for one in passing)
        quarantine.replay(store, self, entries)

    def _check_tally(self, outcome):
        tally = outcome.tally
        if mistakes := set(outcome.errors) - EXPECTED_ERRORS:
            self.problems.add(f"events failed with {sorted(mistakes)}")
        accounted = sum(
            tally[name]
            for name in (
                "events_folded",
                "events_duplicate",
                "events_quarantined",
                "events_failed",
                "events_parked",
                "events_postponed",
            )
        )
        accounted += sum(count for name, count in tally.items() if name.startswith("dropped."))
        came = tally["events_in"] + tally["events_fanned_out"]
        if accounted < came or (accounted > came and not self.may_have_parked()):
            self.problems.add(f"{came} events came in, {accounted} are accounted for")
