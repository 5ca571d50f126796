"""Processes of the ingestion function: the real code, with the clients of the simulated world."""

from shared.adapters.quarantine import S3Quarantine
from shared.app.batch import Batch
from shared.app.ingest import Ingest
from shared.contract import PREFIX_MARKERS
from tests.simulation.network import Objects
from tests.simulation.scheduler import Process

VERSION = 1


class Worker(Process):
    """One process of the ingestion function: it serves one call at a time, and stays warm."""

    def __init__(self, world, number):
        super().__init__(f"worker-{number}", skew_us=world.random.randint(-2_000_000, 2_000_000))
        self.is_busy = False
        self.store = world.store_for(self)
        ingest = Ingest(world.builder, self.store, Clock(world, self), world.setting.actions_max)
        objects = Objects(world, self)
        self.batch = Batch(world.builder, VERSION, 0, ingest, S3Quarantine(objects), _Markers(objects))


class _Markers:
    """The `Markers` port on the bucket."""

    def __init__(self, objects):
        self._objects = objects

    def acknowledge(self, marker, shard):
        self._objects.put(f"{PREFIX_MARKERS}{marker.token}/{shard}", b"{}")


class Clock:
    """The clock of a process, a little wrong."""

    def __init__(self, world, process):
        self._scheduler = world.scheduler
        self._process = process

    def now_us(self):
        return self._scheduler.now_us + self._process.skew_us

    def pause(self, attempt):
        self._scheduler.switch(attempt * 5)
