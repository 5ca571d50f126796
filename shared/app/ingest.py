"""Ingestion: contributions in, written profiles out, whatever races.

    group -> load -> plan -> commit, again for what lost a race, until all is written, parked or failed

Nothing here decides what a profile becomes (that is `core/plan.py`) or how it is stored (an adapter).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from shared.app.ports import Clock, Committed, Conflict, Failed, ProfileStore, SegmentGoneError
from shared.core.aggregations.base import NotLoadedError
from shared.core.compile import Builder, Contribution
from shared.core.event import Position
from shared.core.identity.grouping import Components
from shared.core.identity.identifiers import Identifier
from shared.core.plan import Note, Plan, plan
from shared.core.profile import Profile, missing_segments
from shared.core.snapshot import Pointer, Redirect, Snapshot, Tombstone, profile_of

PARK_AFTER: Final = 5
"""Lost races after which a group's events are parked beside the contended profile."""
ATTEMPTS_MAX: Final = 12
"""Lost races after which a group is given back to the stream."""
REDIRECTS_MAX: Final = 8

Group = list[Contribution]


class Outcome(msgspec.Struct):
    """What became of a batch. `failed` are the positions of events that must come again, and why."""

    tally: Counter[str] = msgspec.field(default_factory=Counter)
    notes: list[Note] = []
    failed: list[tuple[Position, str]] = []


class _Pending(msgspec.Struct):
    """A group that is not written yet, and how often it lost a race."""

    group: Group
    attempts: int = 0


class Ingest:
    """Ingests contributions of one builder into one store."""

    def __init__(self, builder: Builder, store: ProfileStore, clock: Clock) -> None:
        self._builder = builder
        self._store = store
        self._clock = clock

    def run(self, contributions: Iterable[Contribution]) -> Outcome:
        """Write what the contributions change; return once each is written, parked or failed."""
        outcome = Outcome()
        pending = [_Pending(list(contributions))]
        seed = Snapshot()
        fresh = False
        while pending:
            attempts = {id(one): waiting.attempts for waiting in pending for one in waiting.group}
            loading = _Loading(self._builder, self._store, seed, fresh=fresh)
            try:
                groups = loading.load([one for waiting in pending for one in waiting.group])
                planned = [
                    (
                        _Pending(group, max(attempts.get(id(one), 0) for one in group)),
                        loading.plan(group, self._clock),
                    )
                    for group in groups
                ]
            except SegmentGoneError:
                seed, fresh = Snapshot(), True
                continue
            pending = self._commit(planned, loading.snapshot, outcome)
            seed, fresh = loading.snapshot, bool(pending)
            if contended := max((waiting.attempts for waiting in pending), default=0):
                self._clock.pause(contended)
        return outcome

    def _commit(
        self, planned: list[tuple[_Pending, Plan]], snapshot: Snapshot, outcome: Outcome
    ) -> list[_Pending]:
        """Commit; return what is to be planned again. Forget in the snapshot what it may not rely on."""
        again: list[_Pending] = []
        results = self._store.commit([one for _, one in planned])
        for (waiting, one), result in zip(planned, results, strict=True):
            match result:
                case Committed():
                    outcome.tally.update(one.tally)
                    outcome.notes.extend(one.notes)
                    _forget(snapshot, waiting.group, one)
                    if one.rest:
                        again.append(_Pending(list(one.rest)))
                case Conflict(found=found):
                    outcome.tally["conflicts"] += 1
                    if one.is_structural or not all(isinstance(each, Profile) for each in found.values()):
                        _forget(snapshot, waiting.group, one)
                    snapshot.profiles.update(found)
                    waiting.attempts += 1
                    if not self._give_up(waiting, one, outcome):
                        again.append(waiting)
                case Failed(error=error):
                    outcome.failed.extend((each.position, error) for each in waiting.group)
        return again

    def _give_up(self, waiting: _Pending, lost: Plan, outcome: Outcome) -> bool:
        """Park or fail a group that lost too often; False while it should go on trying."""
        group = waiting.group
        if waiting.attempts >= PARK_AFTER and not lost.is_structural and lost.puts:
            target = lost.puts[0].profile.id
            first = min(group, key=lambda one: one.position)
            name = f"{target}/{first.position.shard}#{first.position.sequence}#{first.position.index}"
            if self._store.park(target, name, group):
                outcome.tally["deltas_parked"] += 1
                outcome.tally["events_parked"] += len(group)
                return True
        if waiting.attempts >= ATTEMPTS_MAX:
            outcome.failed.extend((one.position, "contended") for one in group)
            return True
        return False


def _forget(snapshot: Snapshot, group: Group, written: Plan) -> None:
    """Drop from a snapshot all that a plan looked at or changed."""
    ids = {put.profile.id for put in written.puts} | {one.tombstone.id for one in written.buries}
    ids |= {one.profile.id for one in written.removes} | set(written.checks)
    for contribution in group:
        for identifier in contribution.identifiers:
            pointer = snapshot.pointers.pop(identifier, None)
            ids.update(profile_of(snapshot, pointer)[0])
    for one in ids:
        stored = snapshot.profiles.pop(one, None)
        if isinstance(stored, Profile):
            for identifier in stored.identifiers:
                snapshot.pointers.pop(identifier, None)


class _Loading:
    """Reads as little as planning needs: one pointer per group, its profile, then what that does not list."""

    def __init__(self, builder: Builder, store: ProfileStore, seed: Snapshot, *, fresh: bool) -> None:
        self.builder = builder
        self.store = store
        self.snapshot = seed
        self.fresh = fresh
        self._delta_contributions: dict[str, list[Contribution]] = {}

    def load(self, contributions: list[Contribution]) -> list[Group]:
        """Return the groups that must be planned together, and have in the snapshot what that takes."""
        contributions = list(contributions)
        while True:
            groups = _groups(contributions, Snapshot())
            wanted = [[one for each in group for one in each.identifiers] for group in groups]
            self._read_pointers({identifiers[0] for identifiers in wanted})
            for identifiers in wanted:
                self._imply_pointers(identifiers)
            self._read_pointers({one for identifiers in wanted for one in identifiers})
            parked = self._read_deltas()
            if not parked:
                return _groups(contributions, self.snapshot)
            contributions.extend(parked)

    def plan(self, group: Group, clock: Clock) -> Plan:
        """Plan a group, loading segments as they turn out to be needed."""
        while True:
            try:
                return plan(self.builder, group, self.snapshot, clock.now_us())
            except NotLoadedError as error:
                self._read_segments(set(error.names))

    def _read_pointers(self, identifiers: set[Identifier]) -> None:
        """Read pointers and where they lead, but for what a loaded profile lists anyway."""
        snapshot = self.snapshot
        unknown = identifiers - snapshot.pointers.keys()
        if not unknown:
            return
        found = self.store.pointers(unknown, fresh=self.fresh)
        snapshot.pointers.update(found)
        self._read_profiles({one.profile_id for one in found.values() if one is not None}, fresh=self.fresh)
        # A pointer that leads nowhere may just be newer than what a stale read showed of its profile.
        doubtful = {one for one in unknown if self._is_doubtful(one)}
        if doubtful and not self.fresh:
            snapshot.pointers.update(self.store.pointers(doubtful, fresh=True))
            targets = {one.profile_id for each in doubtful if (one := snapshot.pointers[each]) is not None}
            for target in targets:
                snapshot.profiles.pop(target, None)
            self._read_profiles(targets, fresh=True)

    def _is_doubtful(self, identifier: Identifier) -> bool:
        pointer = self.snapshot.pointers[identifier]
        if pointer is None:
            return False
        stored = profile_of(self.snapshot, pointer)[1]
        return not isinstance(stored, Profile) or identifier not in stored.identifiers

    def _read_profiles(self, ids: set[str], *, fresh: bool) -> None:
        snapshot = self.snapshot
        for _ in range(REDIRECTS_MAX):
            unknown = {one for one in ids if one not in snapshot.profiles}
            if not unknown:
                return
            found = self.store.profiles(unknown, fresh=fresh)
            snapshot.profiles.update(found)
            ids = {stored.target for stored in found.values() if isinstance(stored, Redirect)}

    def _imply_pointers(self, identifiers: list[Identifier]) -> None:
        """Take a live profile's word for the identifiers it lists.

        That is safe, and saves reading their pointers: whoever moves a pointer bumps the revision of the
        profile that it leaves.
        """
        pointers = self.snapshot.pointers
        head = profile_of(self.snapshot, pointers[identifiers[0]])[1]
        if isinstance(head, Profile):
            for identifier in identifiers:
                first_seen = head.identifiers.get(identifier)
                if first_seen is not None:
                    pointers.setdefault(identifier, Pointer(head.id, first_seen))

    def _read_deltas(self) -> list[Contribution]:
        """Return the contributions parked beside the profiles of these, once."""
        parked = {
            name
            for stored in self.snapshot.profiles.values()
            if isinstance(stored, Profile | Tombstone)
            for name in stored.parked
        }
        new = parked - self.snapshot.deltas
        if not new:
            return []
        found = self.store.deltas(new)
        self.snapshot.deltas.update(new)
        return [one for each in found.values() for one in each]

    def _read_segments(self, names: set[str]) -> None:
        for profile_id, stored in self.snapshot.profiles.items():
            if isinstance(stored, Profile):
                wanted = names.intersection(missing_segments(self.builder, stored))
                if wanted:
                    self.snapshot.profiles[profile_id] = self.store.load(self.builder, stored, wanted)


def _groups(contributions: Sequence[Contribution], snapshot: Snapshot) -> list[Group]:
    """Return what must be planned together: events that share identifiers, or profiles through them."""
    components = Components()
    for contribution in contributions:
        components.join(contribution.identifiers)
    for contribution in contributions:
        for identifier in contribution.identifiers:
            pointer = snapshot.pointers.get(identifier)
            if pointer is not None:
                components.join((identifier, *profile_of(snapshot, pointer)[0]))
    groups: dict[object, Group] = {}
    for contribution in sorted(contributions, key=lambda one: one.order):
        groups.setdefault(components.find(contribution.identifiers[0]), []).append(contribution)
    return list(groups.values())
