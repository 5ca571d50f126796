"""What must hold of every plan of ingestion, before any of it is written."""


class Looked:
    """A store whose plans are looked at as they come."""

    def __init__(self, store, problems):
        self._store = store
        self._problems = problems

    def __getattr__(self, name):
        return getattr(self._store, name)

    def commit(self, plans):
        for plan in plans:
            self._problems |= problems_of(plan)
        return self._store.commit(plans)


def problems_of(plan):
    """Return what is wrong with a plan, as texts: what is parked is folded, or stays listed by somebody."""
    seen = {name for one in (*plan.puts, *plan.buries) for name in one.beside}
    seen.update(name for one in plan.removes for name in one.profile.parked)
    listed = {name for one in plan.puts for name in one.profile.parked}
    listed.update(name for one in plan.buries for name in one.tombstone.parked)
    return {"a plan forgets what is parked"} if seen - listed - {*plan.folded_deltas} else set()
