"""What must hold of every plan of ingestion, before any of it is written."""

from shared.adapters.dynamo.keys import Keyspace
from shared.contract import PROFILES_PK, PROFILES_SK
from shared.core.profile import Profile
from tests.simulation.dynamo import PROFILES


class Looked:
    """A store whose plans are looked at as they come, and what it knows of before, of a world."""

    def __init__(self, store, world, version):
        self._store = store
        self._world = world
        self._keyspace = Keyspace(world.builder.name, version)

    def __getattr__(self, name):
        return getattr(self._store, name)

    def profiles(self, ids, *, fresh):
        """Read profiles, and take note of what the store knew of before, and is stored no more."""
        found = self._store.profiles(ids, fresh=fresh)
        if not fresh and self._world.setting.cache and self._world.setting.store != "memory":
            cached = [one for one in found.values() if isinstance(one, Profile) and self._is_stale(one)]
            if any(self._store._reads.cached.get(one.id) is one for one in cached):
                self._world.met["a cache was stale"] += 1
        return found

    def commit(self, plans):
        for plan in plans:
            self._world.problems |= problems_of(plan)
            if any(one.redirect for one in plan.removes):
                self._world.met["a merge was to leave a redirect"] += 1
        return self._store.commit(plans)

    def _is_stale(self, profile):
        key = self._keyspace.profile(profile.id)
        item = self._world.dynamo.tables[PROFILES].get((key[PROFILES_PK]["S"], key[PROFILES_SK]["S"]))
        return item is None or int(item["rev"]["N"]) != profile.rev


def problems_of(plan):
    """Return what is wrong with a plan, as texts: what is parked is folded, or stays listed by somebody."""
    seen = {name for one in (*plan.puts, *plan.buries) for name in one.beside}
    seen.update(name for one in plan.removes for name in one.profile.parked)
    listed = {name for one in plan.puts for name in one.profile.parked}
    listed.update(name for one in plan.buries for name in one.tombstone.parked)
    return {"a plan forgets what is parked"} if seen - listed - {*plan.folded_deltas} else set()
