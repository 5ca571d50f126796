"""The store in memory behind the same network: the app and the core alone, several times as fast."""

from shared.adapters.memory_store import MemoryStore
from shared.app.ports import Failed

READS_STALE_RATE = 0.3
COMMITS = ("unreached", "lost", "twice", "slow")


class SimulatedMemoryStore:
    """A process's view of one `MemoryStore`: what need not be fresh may be what it saw before."""

    def __init__(self, world, store: MemoryStore):
        self._world = world
        self._store = store
        self._pointers = {}
        self._profiles = {}

    def pointers(self, identifiers, *, fresh):
        return self._read(self._store.pointers, self._pointers, sorted(identifiers), fresh=fresh)

    def profiles(self, ids, *, fresh):
        return self._read(self._store.profiles, self._profiles, sorted(ids), fresh=fresh)

    def load(self, builder, profile, names):
        return self._store.load(builder, profile, names)

    def deltas(self, names):
        self._world.scheduler.switch()
        found = self._store.deltas(names)
        self._world.scheduler.switch()
        return found

    def chunks(self, profile, since_ms):
        self._world.scheduler.switch()
        found = self._store.chunks(profile, since_ms)
        self._world.scheduler.switch()
        return found

    def failing(self, profile_id):
        return self._store.failing(profile_id)

    def failed(self, profile_id, failing):
        self._store.failed(profile_id, failing)

    def commit(self, plans):
        return [self._commit(plan) for plan in plans]

    def park(self, profile_id, name, contributions):
        self._world.scheduler.switch()
        parked = self._store.park(profile_id, name, contributions)
        self._world.scheduler.switch()
        return parked

    def ask_for_quiet(self, ids, removed, at):
        self._world.scheduler.switch()
        found = self._store.ask_for_quiet(ids, removed, at)
        self._world.scheduler.switch()
        return found

    def _read(self, read, seen, keys, *, fresh):
        self._world.scheduler.switch()
        found = read(keys, fresh=fresh)
        if not fresh and self._world.setting.is_stale:
            for key in keys:
                if key in seen and self._world.faults.random.random() < READS_STALE_RATE:
                    found[key] = seen[key]
        seen.update(found)
        self._world.scheduler.switch()
        return found

    def _commit(self, plan):
        scheduler, faults = self._world.scheduler, self._world.faults
        scheduler.switch()
        fault = faults.draw("commit", COMMITS)
        if fault == "slow":
            scheduler.switch(1 + faults.below(100))
        if fault == "unreached":
            return Failed("simulated")
        [result] = self._store.commit([plan])
        if fault == "twice":
            [result] = self._store.commit([plan])
        scheduler.switch()
        return Failed("simulated") if fault == "lost" else result
