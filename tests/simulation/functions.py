"""Worlds whose builder has a profile function, with all that has it run, and fails at that.

    profiles table -> its stream -> dispatch -> queue -> run -> sandbox

The stream delivers again what was delivered, the queue loses nothing and is late, twice and in no order, and
every process dies between any two of its calls. Some events are such that the function always fails on them.
"""

from random import Random
from zlib import crc32

import msgspec

from shared.adapters.dynamo.due import DynamoDueProfiles
from shared.adapters.dynamo.followups import ERRORS
from shared.adapters.function_errors import S3FunctionErrors
from shared.adapters.sqs import QueueRefusedError, SqsQueue
from shared.app.functions.deliver import BuildingError, Deliver
from shared.app.functions.dispatch import dispatch
from shared.app.functions.errors import retry, standing
from shared.app.functions.failing import Backoff
from shared.app.functions.results import computed_of, input_of, since_of
from shared.app.functions.run import Became, Runs
from shared.app.registry import Status
from shared.contract import PROFILES_DUE
from shared.core.compile import Builder
from shared.core.definition import debounce_s
from shared.core.functions import FunctionFailure
from shared.runtime.functions import STATUS_S
from tests.simulation.due_queue import DueQueue, SqsClient
from tests.simulation.dynamo import PROFILES
from tests.simulation.histories import A_YEAR, EVERYTHING, SMALL_MAX, history_of, live_ids, live_of
from tests.simulation.machine import NAME
from tests.simulation.network import Client, Objects
from tests.simulation.processes import Processes
from tests.simulation.publishing import PublishingWorld
from tests.simulation.scheduler import ProcessDiedError
from tests.simulation.user_functions import function_for, outcome_of
from tests.simulation.workers import Clock
from tests.simulation.world import FailedRunError, World

LANES = 3
"""Of the table's stream: the changes of one profile keep their order."""
CHANGES_MAX = 8
POLLERS_MAX = 3
MESSAGES_MAX = 10
ROUNDS_MAX = 500
STATUS_KEPT_RATE = 0.5
"""How often a run is by a process that read a version's status some time before."""
EXPECTED_ERRORS = {
    "ClientError",
    "ConnectTimeoutError",
    "FunctionUnavailableError",
    "QueueRefusedError",
    "ReadTimeoutError",
    "SegmentGoneError",
    "ThrottledError",
    "UnavailableError",
}
"""What keeps a function from running; anything else is a mistake, however well it goes the next time."""


class Functions:
    """The part of a world that has functions run."""

    def __init__(self, setting, without=frozenset()):
        random = Random(f"functions {setting.seed}")
        self.window = random.choice([EVERYTHING, A_YEAR])
        self.debounce = random.choice(["0 seconds", "0 seconds", "30 seconds"])
        self.backoff = Backoff(attempts=random.choice([1, 3]), first_s=random.choice([1, 30]))
        self.returned = {}
        """What runs have returned, by the id of their profile: results that may be shown."""
        self.written = set()
        """Of which profiles a run told that its result was written: (version, id)."""
        self._lanes = [[] for _ in range(LANES)]
        self._reading = set()
        self._pollers = 0
        super().__init__(setting, without)
        self.queue = DueQueue(Random(f"queue {setting.seed}"), lambda: self.scheduler.now_us, self._poke)
        self.dynamo.watch = self._changed

    def a_builder(self):
        options = (("window", self.window), ("debounce", self.debounce))
        return Builder(msgspec.structs.replace(super().a_builder().definition, profile_function=options))

    def function_of(self, process):
        return function_for(self, process)

    def status_of(self, process, version):
        """Return the status of a version, as a process is told."""
        del process, version
        return Status.ACTIVE

    # The stream of the table, and dispatch.

    def _changed(self, table, key, item):
        """Take up a change that Lambda's filter lets through."""
        if table != PROFILES or item is None or PROFILES_DUE not in item:
            return
        lane = crc32(key[0].encode()) % LANES
        self._lanes[lane].append({"dynamodb": {"NewImage": item}})
        if lane not in self._reading:
            self._reading.add(lane)
            self.scheduler.spawn(lambda: self._read_lane(lane))

    def _read_lane(self, lane):
        """Have a lane's changes dispatched, batch by batch, each until that is done; some of them again."""
        changes = self._lanes[lane]
        while changes:
            self.scheduler.switch()
            batch = changes[: self.random.randint(1, CHANGES_MAX)]
            try:
                dispatched = self.scheduler.wait(
                    self.work("dispatch", lambda one, b=batch: self._dispatch(one, b))
                )
            except (ProcessDiedError, QueueRefusedError, *ERRORS):
                self.scheduler.switch(5)
                continue
            except Exception as error:  # noqa: BLE001 - it would come again for ever
                self.problems.add(f"dispatch failed with {type(error).__name__}: {error}")
                break
            if dispatched.unreadable:
                self.problems.add("a change of the table tells of no profile")
            if self.faults.draw("answer of dispatch", ("lost",)) is None:
                del changes[: len(batch)]
        self._reading.discard(lane)

    def _dispatch(self, process, batch):
        return dispatch(SqsQueue(SqsClient(self, process), "queue"), batch)

    # The queue, and runs.

    def _poke(self):
        """Have the queue read while there is anything to receive."""
        while self._pollers < POLLERS_MAX and self.queue.has_some():
            self._pollers += 1
            self.scheduler.spawn(self._poll)

    def _poll(self):
        self.scheduler.switch()
        while True:
            twice = self.faults.draw("the queue", ("twice",)) is not None
            messages = self.queue.receive(self.random.randint(1, MESSAGES_MAX), twice=twice)
            if not messages:
                break
            self._run(messages)
        self._pollers -= 1

    def _run(self, messages):
        """Have a process deal with messages, and delete those that it is done with."""
        try:
            deliveries = self.scheduler.wait(self.work("run", lambda one: _Running(self, one).take(messages)))
        except ProcessDiedError:
            return
        for one in deliveries:
            self.met[f"a run: {one.became.value if one.became else 'failed'}"] += 1
            if one.due is None:
                self.problems.add("a message tells of no profile")
            elif one.error is not None and type(one.error).__name__ not in EXPECTED_ERRORS:
                self.problems.add(f"a run failed with {type(one.error).__name__}: {one.error}")
            elif one.became is Became.WRITTEN:
                self.written.add((one.due.version, one.due.profile_id))
            if not one.again and self.faults.draw("deletion of a message", ("lost",)) is None:
                self.queue.delete(one.message)

    # What happens, by the names of steps.

    def play(self, step):
        self._poke()
        super().play(step)

    def idle(self, ms):
        """Let time pass while everything goes on."""
        self.scheduler.now_us += ms * 1000
        self._poke()

    def retry(self, at=0):
        """Have the functions of all run again that are listed for their errors."""
        del at
        self._background(self._retry)

    def _retry(self, process):
        errors = S3FunctionErrors(Objects(self, process))
        retry(errors, SqsQueue(SqsClient(self, process), "queue"), list(self._standing(process)))

    def _standing(self, process):
        profiles = DynamoDueProfiles(Client(self, process), PROFILES, Clock(self, process))
        return standing(S3FunctionErrors(Objects(self, process)).list(NAME), profiles)

    def looked_at(self, store, profile):
        """Nobody is shown a result that no run has returned."""
        del store
        if profile is not None and profile.computed is not None and not self._may_show(profile):
            self.problems.add("a reader was shown a result that no run returned")

    def _may_show(self, profile):
        return profile.computed.traits in self.returned.get(profile.id, [])

    # How it ends.

    def settle(self):
        self._poke()
        super().settle()

    def _deliver_all(self):
        super()._deliver_all()
        self._rest()

    def _rest(self):
        """Let all that waits in the queue come, however late; nothing fails any more."""
        with self.faults.none():
            self.settle()
            for _ in range(ROUNDS_MAX):
                if not self.queue.held or self.queue.dead():
                    return
                self.scheduler.now_us = max(self.scheduler.now_us, self.queue.next_us())
                self.settle()
        raise FailedRunError("functions do not come to rest")

    def finish(self):
        super().finish()
        self._retry_all()
        for profile_id in self.ask(lambda store: live_ids(self, store), self.active):
            found = self.ask(lambda store, one=profile_id: live_of(self, store, one), self.active)
            assert found is None or not found.parked, f"events wait beside {profile_id} for ever"

    def _retry_all(self):
        with self.faults.none():
            self._rest()
            self.retry()
            self._rest()

    # What is checked.

    def check(self):
        """Check that every function has run on all events, or is listed because it cannot."""
        super().check()
        self._check_functions()

    def _check_functions(self):
        self._retry_all()
        assert not self.problems, self.problems
        assert not self.queue.dead(), "a message was received too often"
        listed = {one.error.due.profile_id: one for one in self.ask(self._listed, self.active)}
        failing = set()
        for profile_id in self.ask(lambda store: live_ids(self, store), self.active):
            if self.ask(lambda store, one=profile_id: self._check_result(store, one, listed), self.active):
                failing.add(profile_id)
        assert failing >= {name for name, one in listed.items() if one.rev is not None}, "others are listed"

    def _listed(self, _store):
        found = self._standing(self.scheduler.current.process)
        return [one for one in found if one.error.due.version == self.active]

    def _check_result(self, store, profile_id, listed):
        """Check one profile; say whether its function cannot but fail."""
        kept = history_of(self, store, profile_id)
        if kept is None:
            return True  # it has expired: nobody asks
        profile, rows = kept
        if self.window == EVERYTHING:
            assert rows == profile.event_count, f"{profile_id} counted {profile.event_count}, and has {rows}"
        chunks = store.chunks(profile, since_of(self.builder, profile)).values()
        outcome = outcome_of(input_of(self.builder, profile, list(chunks)))
        if not isinstance(outcome, FunctionFailure):
            assert not profile.is_due, f"the function of {profile_id} was not run on all events"
            assert profile.computed == computed_of(profile, outcome), f"{profile_id} has another result"
            return False
        assert profile.is_due, f"{profile_id} shows a result of events that its function fails on"
        assert profile_id in listed, f"the function of {profile_id} fails, and nobody is told"
        assert listed[profile_id].error.reason == outcome.reason
        if profile.computed is not None:
            assert self._may_show(profile), f"{profile_id} shows a result that no run returned"
        elif not self.has_forgotten:
            assert (self.active, profile_id) not in self.written, f"{profile_id} has lost its last result"
        return True


class _Running:
    """A process of `functions_run`, as `shared/runtime/functions.py` composes it."""

    def __init__(self, world, process):
        self._world = world
        self._process = process
        self._clock = Clock(world, process)
        self._deliver = Deliver(
            self._runs_of,
            SqsQueue(SqsClient(world, process), "queue"),
            S3FunctionErrors(Objects(world, process)),
            world.backoff,
            self._clock.now_us,
        )

    def take(self, messages):
        return list(self._world.pool(MESSAGES_MAX, process=self._process).map(self._deliver.take, messages))

    def _runs_of(self, builder, version):
        assert builder == NAME
        world, status = self._world, self._world.status_of(self._process, version)
        if status is Status.BUILDING:
            raise BuildingError
        if status is not Status.ACTIVE:
            return None
        store = world.store_for(self._process, version, cache=False)
        function, compiled = world.function_of(self._process), world.builder_of(version)
        debounce = debounce_s(compiled.definition)
        return Runs(compiled, debounce, store, function, self._clock, world.backoff, small_max=SMALL_MAX)


class FunctionsWorld(Functions, Processes, World):
    """A world of one version with functions."""


class FunctionsOfVersions(Functions, PublishingWorld):
    """A world of several versions with functions, which their rebuilds run as well."""

    def __init__(self, setting, without=frozenset()):
        super().__init__(setting, without)
        self.stale_s = STATUS_S
        self._statuses = {}
        """The status of each version as some process has read it, and when."""

    def status_of(self, process, version):
        """Return the status of a version; that of a while ago, unless it was being built."""
        read_ms, status = self._statuses.get(version, (0, None))
        if self.now_ms - read_ms < STATUS_S * 1000 and self.random.random() < STATUS_KEPT_RATE:
            row = self.registry.version(NAME, version)
            if row is None or row.status is not status:
                self.met["a status was stale"] += 1
            return status
        registry, *_ = self.ports(process)
        row = registry.version(NAME, version)
        status = None if row is None else row.status
        if status is not Status.BUILDING:
            self._statuses[version] = self.now_ms, status
        return status
