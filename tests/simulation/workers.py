"""Processes of the ingestion function: the real code, with the clients of the simulated world."""

from shared.adapters.quarantine import S3Quarantine
from shared.app.batch import Batch
from shared.app.ingest import Ingest
from shared.app.markers import Markers
from shared.app.retries import Retries
from tests.simulation.chains import transformer_for
from tests.simulation.network import Objects
from tests.simulation.plans import Looked
from tests.simulation.scheduler import Process

VERSION = 1


class Worker(Process):
    """One process of the ingestion function: it serves one call at a time, and stays warm."""

    def __init__(self, world, number):
        super().__init__(f"worker-{number}", skew_us=world.random.randint(-2_000_000, 2_000_000))
        self.is_busy = False
        self.is_given_up = False
        """Whether it works at what was delivered again to somebody else meanwhile."""
        self._world = world
        self._batches = {}
        self.batch(VERSION)

    def batch(self, version):
        """Return what ingests for a version, which is made once."""
        if version not in self._batches:
            world, objects = self._world, Objects(self._world, self)
            store, builder = Looked(world.store_for(self, version), world, version), world.builder_of(version)
            ingest = Ingest(builder, store, Clock(world, self), world.setting.actions_max)
            self._batches[version] = Batch(
                builder,
                version,
                world.t0(version),
                ingest,
                S3Quarantine(objects),
                Retries(objects, lambda: world.now_ms),
                Markers(objects),
                transformer_for(world, self),
            )
        return self._batches[version]


class Clock:
    """The clock of a process, a little wrong."""

    def __init__(self, world, process):
        self._scheduler = world.scheduler
        self._process = process

    def now_us(self):
        return self._scheduler.now_us + self._process.skew_us

    def pause(self, attempt):
        self._scheduler.switch(attempt * 5)
