"""The state machine of rebuilds: real states, each call in a process of its own that may die, or work twice.

Its order of states, its retries, and what becomes of a state that fails: as `infra/rebuild_machine.py` has
them.
"""

import json
import re
from random import Random

import msgspec

from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.active import DynamoActiveProfiles
from shared.adapters.dynamo.lines import DynamoLines
from shared.adapters.dynamo.loader import DynamoLoader
from shared.adapters.dynamo.sweep import DynamoVersionItems
from shared.adapters.quarantine import S3Quarantine
from shared.app.executions import RUNNING, Execution
from shared.app.rebuild.build import Build, BuildEndedError, BuildFailedError, BuildName, ensure_building
from shared.app.rebuild.clean_up import clean_up
from shared.app.rebuild.cut_over import cut_over
from shared.app.rebuild.fail import fail
from shared.app.rebuild.follow import follow
from shared.app.rebuild.give_up import give_up
from shared.app.rebuild.link import link
from shared.app.rebuild.plan import Part, Timing, plan
from shared.app.rebuild.replay import PartitionNumber, replay
from shared.app.rebuild.scan import scan
from shared.app.rebuild.shuffle import PartNumber, shuffle
from shared.app.rebuild.verify import verify
from shared.contract import REBUILD_RETRIES
from tests.simulation.chains import transformer_for
from tests.simulation.dynamo import IDENTIFIERS, PROFILES
from tests.simulation.network import LATE_TICKS_MAX, Client, Objects
from tests.simulation.scheduler import ProcessDiedError
from tests.simulation.workers import Clock

NAME = "people"
TABLES = Tables(PROFILES, IDENTIFIERS)
TIMING = Timing(lead_s=1, marker_delay_s=1, poll_s=1)
CONSUMER = {"MaximumRecordAgeInSeconds": 11 * 3600}
STALLS_AFTER_TICKS_MAX = 150
STALL_TICKS_MAX = 6000
STALLS_AT_WRITES = 0.5
WRITES = {"batch_execute_statement", "put_item"}
"""How often a worker that was given up stands still before it writes profiles, if it ever does."""
CANCELED_RATE = 0.1
"""How often somebody cancels a version just when it is to become active."""
TWICE_RATE = 0.1
"""How often a call is given up and made again while the first one still works."""
DIES_RATE = 0.1
DIES_AFTER_TICKS_MAX = 150
"""How often a worker dies in the midst of its work, and when."""
EXPECTED_ERRORS = {
    "ClientError",
    "ConnectTimeoutError",
    "FunctionUnavailableError",
    "NotInsertedError",
    "ReadTimeoutError",
    "RegistryConflictError",
    "SegmentGoneError",
    "ThrottledError",
    "TransformationUnavailableError",
}
"""What a call of a function may fail with; anything else is a mistake, however well it goes the next time."""
ALL_BAD = re.compile(r"transform\.py: all \d+ events went to quarantine")
"""Why a build fails, and rightly, whose few events the chain refuses."""
ABORTED, SUCCEEDED, FAILED = "ABORTED", "SUCCEEDED", "FAILED"


class StoppedError(Exception):
    """The execution was told to stop: no further state begins, and what works still works on."""


class StateFailedError(Exception):
    """A state failed for good."""


class Run:
    """One execution: of a build, or of what cleans up after one."""

    def __init__(self, version, grace_s=None):
        self.name = BuildName(NAME, version)
        self.grace_s = grace_s or 0
        self.status = RUNNING
        self.verified = None


class Machine:
    """Implements `Executions` on a world."""

    def __init__(self, world):
        self.world = world
        self.builds = {}
        self.clean_ups = {}
        self._calls = 0

    def start(self, builder, version, grace_s):
        del builder
        if version in self.builds:
            return False
        run = self.builds[version] = Run(version, grace_s)
        self.world.scheduler.spawn(lambda: self._execute(run, self._build))
        return True

    def stop(self, builder, version, cause):
        assert builder == NAME
        assert cause
        if version in self.builds and self.builds[version].status == RUNNING:
            self.builds[version].status = ABORTED

    def clean_up(self, builder, version):
        assert builder == NAME
        if version not in self.clean_ups or self.clean_ups[version].status != RUNNING:
            run = self.clean_ups[version] = Run(version)
            self.world.scheduler.spawn(lambda: self._execute(run, self._end))

    def of(self, builder, version):
        assert builder == NAME
        run = self.builds.get(version)
        return None if run is None else Execution(status=run.status)

    # Executions

    def _execute(self, run, work):
        try:
            work(run)
        except StoppedError:
            return
        except StateFailedError:
            run.status = FAILED
        else:
            run.status = SUCCEEDED if run.status == RUNNING else run.status

    def _build(self, run):
        """Plan to CleanUp of what was replaced; whatever fails before CutOver ends the version."""
        try:
            self._make(run)
            retired = self._cut_over(run)
        except StateFailedError:
            self._end(run)
            raise
        if retired:
            self.world.rest(run.grace_s)
            self._clean_up(run, BuildName(NAME, retired))

    def _make(self, run):
        for work in (
            lambda: self._until_done(run, "plan"),
            lambda: self._map(run, "scan", run.name.scan_manifest),
            lambda: self._call(run, "link"),
            lambda: self._map(run, "shuffle", run.name.shuffle_manifest),
        ):
            work()
            self.world.state_done(run.name)
        self._map(run, "replay", run.name.replay_manifest)
        run.verified = self._call(run, "verify")
        self._until_done(run, "follow")

    def _until_done(self, run, state):
        while not (answer := self._call(run, state)).done:
            self.world.rest(answer.wait_s)

    def _map(self, run, state, manifest):
        """Run a state for each line of a manifest, all at once, again and again until it is done."""
        lines = self._lines(run, state, manifest)

        def work(line):
            while not getattr(self._call(run, state, line), "done", True):
                pass

        tasks = [self.world.scheduler.spawn(lambda line=line: work(line)) for line in lines]
        errors = []
        for task in tasks:
            try:
                self.world.scheduler.wait(task)
            except (StateFailedError, StoppedError) as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _lines(self, run, state, manifest):
        """Read a manifest, as Step Functions does it, which says no more than that it cannot."""
        try:
            return [json.loads(line) for line in self.world.objects.get(manifest)[0].splitlines()]
        except ValueError as error:
            if not self.world.may_fail(run.name, manifest):
                self.world.problems.add(f"{state} of version {run.name.version} has a damaged manifest")
            raise StateFailedError(state) from error

    def _cut_over(self, run):
        """Cut over; once it has begun nothing is undone, and somebody redrives it until it is done.

        Somebody may cancel the version in that very moment.
        """
        random = Random(f"cut over {self.world.setting.seed} {run.name.version}")
        if self.world.works_twice and random.random() < CANCELED_RATE:
            self.world.cancel()
        while True:
            try:
                return self._call(run, "cut_over").retired
            except StateFailedError as error:
                if isinstance(error.__cause__, BuildEndedError):
                    raise

    def _end(self, run):
        """Fail, wait until nobody works any more, clean up."""
        self._call(run, "fail", gives_up=False)
        self._clean_up(run, run.name)

    def _clean_up(self, run, name):
        self._wait_for_workers()
        while not self._call(run, "clean_up", name).done:
            pass

    def _wait_for_workers(self):
        """Wait longer than any function may run that runs now, or begins as it knows no better."""
        if self.world.stale_s:
            self.world.rest(self.world.stale_s)
        for task in self.world.working():
            while not task.is_done:
                self.world.scheduler.switch(50)
        self.world.scheduler.switch(1 + LATE_TICKS_MAX)  # and than what they have sent may take

    # Calls of functions

    def _call(self, run, state, *arguments, gives_up=True):
        """Have a state's function do its work, tried again as often as the machine does."""
        for attempt in range(REBUILD_RETRIES + 1):
            if run.status == ABORTED:
                raise StoppedError
            is_last = attempt == REBUILD_RETRIES
            try:
                return self._invoke(run, state, arguments, gives_up=gives_up and is_last)
            except (BuildEndedError, BuildFailedError) as error:
                raise StateFailedError(state) from error
            except (ProcessDiedError, Exception) as error:
                if is_last:
                    raise StateFailedError(state) from error
            self.world.scheduler.switch(20)
        raise AssertionError

    def _invoke(self, run, state, arguments, *, gives_up):
        world = self.world
        # A second CleanUp that works alone would leave its cursor, which goes by the bucket's lifecycle.
        may_work_twice = world.works_twice and state != "clean_up"
        times = 2 if may_work_twice and world.random.random() < TWICE_RATE else 1
        tasks = [
            world.work(state, _Function(world, run.name, state, arguments, gives_up)) for _ in range(times)
        ]
        if len(tasks) > 1:
            world.met["a state was called twice"] += 1
            world.scheduler.spawn(lambda: self._stall(tasks[0]))
        self._calls += 1
        random = Random(f"call {world.setting.seed} {self._calls}")
        if world.works_twice and random.random() < DIES_RATE:
            world.scheduler.spawn(lambda: self._end_process(tasks[-1], random))
        return world.scheduler.wait(tasks[-1])

    def _stall(self, task):
        """Have a worker that was given up stand still somewhere, and go on when others have long gone on."""
        random, scheduler = self.world.random, self.world.scheduler
        if random.random() < STALLS_AT_WRITES:  # where it does most harm: others write there by then
            while task.process.called not in WRITES and not task.is_done:
                scheduler.switch(1)
        else:
            scheduler.switch(random.randrange(STALLS_AFTER_TICKS_MAX))
        scheduler.stall(task.process, random.randrange(STALL_TICKS_MAX))

    def _end_process(self, task, random):
        """End a worker somewhere in its work: after some of its calls, of whatever it is."""
        self.world.scheduler.switch(random.randrange(1, random.choice([10, DIES_AFTER_TICKS_MAX])))
        if not task.is_done:
            self.world.end(task.process)


class _Function:
    """A call of one of the functions, and what it composes; see `shared/runtime/rebuild.py`."""

    def __init__(self, world, name, state, arguments, gives_up):
        self.world = world
        self.name = name
        self.state = state
        self.arguments = arguments
        self.gives_up = gives_up

    def __call__(self, process):
        self.process = process
        self.registry, self.progress, self.consumers, self.shards = self.world.ports(process)
        self.objects = Objects(self.world, process)
        self.client = Client(self.world, process)
        self.clock = Clock(self.world, process)
        try:
            return getattr(self, self.state)(*self.arguments)
        except BuildEndedError:
            raise
        except BuildFailedError as error:
            if not self.world.may_fail(self.name, str(error)):
                self.world.problems.add(f"{self.state} of version {self.name.version}: {error}")
            self._give_up(str(error))
            raise
        except Exception as error:
            if type(error).__name__ not in EXPECTED_ERRORS:
                self.world.problems.add(f"{self.state} failed with {type(error).__name__}: {error}")
            if self.gives_up:
                self._give_up(type(error).__qualname__)
            raise

    def _give_up(self, reason):
        give_up(self.registry, self.name, f"{self.state}: {reason}", self.world.now_ms)

    @property
    def build(self):
        row = ensure_building(self.registry, self.name)
        return Build(
            self.world.builder_of(row.version), row.version, row.t0, self.world.function_of(self.process)
        )

    def may_go_on(self):
        return self.world.random.random() < 0.9

    def plan(self):
        return plan(
            self.registry,
            self.progress,
            self.objects,
            self.shards,
            self.name,
            self.world.now_ms,
            TIMING,
            "a release",
        )

    def scan(self, line):
        quarantine = S3Quarantine(self.objects)
        part, transformer = msgspec.convert(line, Part), transformer_for(self.world, self.process)
        return scan(self.build, part, self.objects, quarantine, self.progress, transformer)

    def link(self):
        ensure_building(self.registry, self.name)
        return link(self.registry, self.name, self.objects, self.progress)

    def shuffle(self, line):
        ensure_building(self.registry, self.name)
        return shuffle(self.name, PartNumber(line["part"]), self.objects, self.progress)

    def replay(self, line):
        build = self.build
        active = self.registry.active()[NAME]
        return replay(
            self.registry,
            build,
            PartitionNumber(line["partition"]),
            self.objects,
            DynamoLoader(self.client, build.builder, build.version, TABLES, build.t0, self.clock),
            DynamoActiveProfiles(self.client, build.builder, active, TABLES, self.clock),
            self.progress,
            self.may_go_on,
        )

    def verify(self):
        ensure_building(self.registry, self.name)
        active = self.registry.active()[NAME]
        builders = {one: self.world.builder_of(one) for one in (self.name.version, active)}
        return verify(self.name, self.objects, DynamoLines(self.client, builders, TABLES, self.clock), active)

    def follow(self):
        return follow(
            self.registry,
            self.consumers,
            CONSUMER,
            self.objects,
            self.shards,
            self.name,
            self.world.now_ms,
            TIMING,
        )

    def cut_over(self):
        return cut_over(self.registry, self.consumers, self.name, self.world.now_ms)

    def fail(self):
        reason = "the state machine met an error"
        return fail(self.registry, self.consumers, self.name, reason, self.world.now_ms)

    def clean_up(self, name):
        items = DynamoVersionItems(self.client, TABLES, self.clock)
        return clean_up(
            self.registry, self.consumers, items, self.objects, name, self.world.now_ms, self.may_go_on
        )
