"""A profile store in memory: what `kith fold` writes to, and the fake that tests start from.

One lock stands for the store's transactions; every condition is checked as DynamoDB would check it.
"""

from collections.abc import Collection, Sequence
from threading import Lock

from msgspec.structs import replace

from shared.app.functions.failing import Failing
from shared.app.ports import Committed, Conflict, Result, SegmentGoneError
from shared.core.compile import Builder, Contribution
from shared.core.history import Head
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile, Quiet
from shared.core.snapshot import Pointer, Redirect, Stored
from shared.core.walk import reachable
from shared.core.writes import Plan, Point, Put, Remove


class MemoryStore:
    """Implements `ProfileStore`. Profiles are held whole: there are no segments."""

    def __init__(self) -> None:
        self.pointed: dict[Identifier, Pointer] = {}
        self.stored: dict[str, Stored] = {}
        self.parked: dict[str, list[Contribution]] = {}
        self.chunked: dict[Head, bytes] = {}
        self.failures: dict[str, Failing] = {}
        self._lock = Lock()

    def pointers(
        self,
        identifiers: Collection[Identifier],
        *,
        fresh: bool,  # noqa: ARG002 - memory is never stale
    ) -> dict[Identifier, Pointer | None]:
        """Return where identifiers lead."""
        with self._lock:
            return {one: self.pointed.get(one) for one in identifiers}

    def profiles(
        self,
        ids: Collection[str],
        *,
        fresh: bool,  # noqa: ARG002 - memory is never stale
    ) -> dict[str, Stored | None]:
        """Return what is stored under ids."""
        with self._lock:
            return {one: self.stored.get(one) for one in ids}

    def load(self, builder: Builder, profile: Profile, names: Collection[str]) -> Profile:
        """Raise: a profile in memory has no segments."""
        raise SegmentGoneError(f"{profile.id} of {builder.name} has no segments {sorted(names)}")

    def deltas(self, names: Collection[str]) -> dict[str, list[Contribution]]:
        """Return parked contributions."""
        with self._lock:
            return {name: self.parked[name] for name in names if name in self.parked}

    def chunks(self, profile: Profile, since_ms: int) -> dict[Head, bytes]:
        """Return the chunks of a profile's history, as far back as events since then may be."""
        with self._lock:
            return reachable(profile.heads, since_ms, self.chunked.get)

    def failing(self, profile_id: str) -> Failing | None:
        """Return what is kept of the failures of a profile's function."""
        return self.failures.get(profile_id)

    def failed(self, profile_id: str, failing: Failing) -> None:
        """Keep the failures of a profile's function."""
        self.failures[profile_id] = failing

    def commit(self, plans: Sequence[Plan]) -> list[Result]:
        """Write each plan whole, or not at all."""
        for plan in plans:  # first, and whatever comes of the plan: a store of items does it so
            for put in plan.puts:
                self.chunked.update({Head(put.profile.id, one.name): one.data for one in put.chunks})
        return [self._commit(one) for one in plans]

    def park(self, profile_id: str, name: str, contributions: Sequence[Contribution]) -> bool:
        """Leave contributions beside a live profile."""
        with self._lock:
            profile = self.stored.get(profile_id)
            if not isinstance(profile, Profile) or profile.is_closed:
                return False
            self.parked[name] = list(contributions)
            if name not in profile.parked:
                # A new object: what readers hold of the old one is theirs.
                self.stored[profile_id] = replace(profile, parked=(*profile.parked, name))
            return True

    def ask_for_quiet(self, ids: Collection[str], removed: Collection[str], at: int) -> dict[str, Profile]:
        """Ask all others to leave profiles to this process; return those for which this call did so."""
        found: dict[str, Profile] = {}
        with self._lock:
            for one in sorted(ids):
                profile = self.stored.get(one)
                if not isinstance(profile, Profile):
                    continue
                if profile.is_quiet:
                    break
                rev = profile.rev + 1
                self.stored[one] = found[one] = replace(
                    profile, rev=rev, quiet=Quiet(rev, at, is_closed=one in removed)
                )
        return found

    def _commit(self, plan: Plan) -> Result:
        with self._lock:
            if not self._holds(plan):
                ids = [*(put.profile.id for put in plan.puts), *(bury.tombstone.id for bury in plan.buries)]
                return Conflict({one: self.stored.get(one) for one in ids})
            for put in plan.puts:
                self.stored[put.profile.id] = self._beside(put)
            for bury in plan.buries:
                self.stored[bury.tombstone.id] = bury.tombstone
            for remove in plan.removes:
                self._remove(remove)
            for point in (*plan.points, *plan.released):
                if self._may_point(point):
                    self.pointed[point.identifier] = point.pointer
            for repair in plan.repairs:
                pointer = self.pointed.get(repair.identifier)
                if pointer is not None and pointer.profile_id == repair.expected:
                    self.pointed[repair.identifier] = Pointer(repair.target, pointer.first_seen)
            for name in plan.folded_deltas:
                self.parked.pop(name, None)
            return Committed()

    def _beside(self, put: Put) -> Profile:
        """Return a profile as it is stored: what was parked beside it since it was planned stays listed."""
        stored = self.stored.get(put.profile.id)
        listed = stored.parked if isinstance(stored, Profile) else ()
        new = tuple(name for name in listed if name not in put.beside)
        return replace(put.profile, parked=(*put.profile.parked, *new)) if new else put.profile

    def _remove(self, remove: Remove) -> None:
        if remove.redirect is None:
            del self.stored[remove.profile.id]
        else:
            self.stored[remove.profile.id] = Redirect(remove.profile.id, remove.rev, remove.redirect)

    def _holds(self, plan: Plan) -> bool:
        seen = {put.profile.id: put.beside for put in plan.puts if put.folded is None}
        seen.update({bury.tombstone.id: bury.beside for bury in plan.buries})
        seen.update({remove.profile.id: remove.profile.parked for remove in plan.removes})
        for one, beside in seen.items():
            stored = self.stored.get(one)
            if isinstance(stored, Profile) and set(stored.parked) != set(beside):
                return False
        expected: dict[str, int | None] = {put.profile.id: put.expected for put in plan.puts}
        expected.update({bury.tombstone.id: bury.expected for bury in plan.buries})
        expected.update({remove.profile.id: remove.expected for remove in plan.removes})
        expected.update(plan.checks)
        for one, rev in expected.items():
            stored = self.stored.get(one)
            if (None if stored is None else stored.rev) != rev:
                return False
        return all(map(self._may_point, plan.points))

    def _may_point(self, point: Point) -> bool:
        pointer = self.pointed.get(point.identifier)
        return pointer is None or pointer.profile_id in point.expected
