"""Reads as little as planning needs, and says which contributions must be planned together."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from operator import attrgetter
from typing import Final, TypeVar

from msgspec.structs import replace

from shared.app.damage import DamagedError, Place, readable
from shared.app.ports import ProfileStore
from shared.core.aggregations.base import NotLoadedError
from shared.core.compile import Builder, Contribution
from shared.core.identity.grouping import Components
from shared.core.identity.identifiers import Identifier
from shared.core.plan import plan
from shared.core.profile import Profile, missing_segments
from shared.core.snapshot import Pointer, Redirect, Snapshot, Stored, Tombstone, profile_of
from shared.core.writes import Plan

REDIRECTS_MAX: Final = 8
"""Redirects followed in a row; each is a merge whose follow-up has not finished."""

_Place = TypeVar("_Place", bound=Place)
_Held = TypeVar("_Held")
_ORDER_OF: Final = attrgetter("order")

Group = list[Contribution]
"""Contributions that must be planned together, in the order in which they are taken."""


class UnplannableError(Exception):
    """A group cannot be planned, for the error that is its cause: it never can, on what was read."""


class Loading:
    """What is known of the store while a batch is ingested: a snapshot that grows as groups need it.

    With `fresh`, reads are consistent: once a race was lost, a stale read would only lose it again.
    """

    def __init__(self, builder: Builder, store: ProfileStore) -> None:
        self.builder = builder
        self.store = store
        self.snapshot = Snapshot()
        self.fresh = False
        self._damaged: set[Place] = set()
        """Identifiers, ids and names of deltas where what is stored cannot be read. They count as absent in
        the snapshot, and no group that comes to them is planned."""
        self._parked_in: dict[int, str] = {}
        """The delta that a contribution was parked in, by the identity of the contribution."""
        self._written: set[int] = set()
        """Contributions that were parked and are written by now, by identity."""

    def load(self, contributions: Sequence[Contribution]) -> list[Group]:
        """Return the groups, and have in the snapshot what planning them takes.

        One pointer is read per group, then its profile, then what that does not list. Contributions parked
        beside a profile join the group that will write it.
        """
        contributions = list(contributions)
        while True:
            wanted = [
                [one for each in _each_once(group) for one in each] for group in self._shared(contributions)
            ]
            self._read_pointers({identifiers[0] for identifiers in wanted})
            for identifiers in wanted:
                self._imply_pointers(identifiers)
            self._read_pointers({one for identifiers in wanted for one in identifiers})
            contributions = self._still_parked(contributions)
            parked = self._read_deltas()
            if not parked:
                return self._together(contributions)
            contributions.extend(parked)

    def look_at(self, ids: Collection[str]) -> None:
        """Read profiles, so that what is parked beside them is loaded with the rest."""
        self.snapshot.profiles.update(self._profiles(ids, fresh=True))

    def own(self, group: Group) -> Group:
        """Return the contributions that this batch brought, without those parked beside profiles."""
        return [one for one in group if id(one) not in self._parked_in] if self._parked_in else group

    def plan(self, group: Group, rev_floor: int, actions_max: int) -> Plan:
        """Plan a group, loading segments as they turn out to be needed.

        Raises `SegmentGoneError` when the group's profiles have been written since they were read,
        `DamagedError` when something that it comes to cannot be read, and `UnplannableError`.
        """
        if self._damaged and (damaged := self._damaged & self._places(group)):
            raise DamagedError(damaged)
        snapshot = self._of(group)
        while True:
            try:
                return plan(self.builder, group, snapshot, rev_floor, actions_max)
            except NotLoadedError as error:
                self._read_segments(group, set(error.names))
            except Exception as error:
                raise UnplannableError from error

    def written(self, group: Group, rest: Sequence[Contribution]) -> None:
        """Take note that a group is written, but for the rest."""
        if self._parked_in:
            left = set(map(id, rest))
            self._written.update(id(one) for one in group if id(one) not in left)

    def _places(self, group: Group) -> set[Place]:
        """Return all that planning a group comes to: identifiers, profiles, what is parked beside them."""
        identifiers = {identifier for each in _each_once(group) for identifier in each}
        ids = self._ids(identifiers)
        found = (self.snapshot.profiles.get(one) for one in ids)
        parked = {name for one in found if isinstance(one, Profile | Tombstone) for name in one.parked}
        return {*identifiers, *ids, *parked}

    def _ids(self, identifiers: Iterable[Identifier]) -> set[str]:
        """Return the ids of the profiles that identifiers lead to, or by way of."""
        pointers = (self.snapshot.pointers.get(one) for one in identifiers)
        return {one for pointer in pointers for one in profile_of(self.snapshot, pointer)[0]}

    def _of(self, group: Group) -> Snapshot:
        """Return the snapshot with those deltas alone of which nothing is left once this group is written.

        Those of a group that has failed are still to be folded, whoever writes their profile meanwhile.
        """
        if not self.snapshot.deltas:
            return self.snapshot
        taken = self._written.union(map(id, group))
        deltas = {
            name: parked for name, parked in self.snapshot.deltas.items() if taken.issuperset(map(id, parked))
        }
        return replace(self.snapshot, deltas=deltas)

    def forget(self, group: Group, planned: Plan | None = None) -> None:
        """Drop from the snapshot what a group looked at or changed."""
        snapshot = self.snapshot
        ids: set[str] = set()
        if planned is not None:
            ids |= {one.profile.id for one in planned.puts} | {one.profile.id for one in planned.removes}
            ids |= {one.tombstone.id for one in planned.buries} | planned.checks.keys()
        for identifiers in _each_once(group):
            for identifier in identifiers:
                ids.update(profile_of(snapshot, snapshot.pointers.pop(identifier, None))[0])
        for one in ids:
            stored = snapshot.profiles.pop(one, None)
            if isinstance(stored, Profile):
                for identifier in stored.identifiers:
                    snapshot.pointers.pop(identifier, None)

    @staticmethod
    def _shared(contributions: list[Contribution]) -> list[Group]:
        """Group by shared identifiers alone."""
        components = Components()
        for identifiers in _each_once(contributions):
            components.join(identifiers)
        return _by_component(contributions, components)

    def _together(self, contributions: list[Contribution]) -> list[Group]:
        """Group by shared identifiers, by profiles reached through them, and by what is parked there."""
        components = Components()
        for identifiers in _each_once(contributions):
            components.join(identifiers)
            for identifier in identifiers:
                pointer = self.snapshot.pointers.get(identifier)
                if pointer is not None:
                    components.join((identifier, *profile_of(self.snapshot, pointer)[0]))
        if self.snapshot.deltas:
            for stored in self.snapshot.profiles.values():
                if isinstance(stored, Profile | Tombstone):
                    for name in stored.parked:
                        for contribution in self.snapshot.deltas.get(name, ()):
                            components.join((stored.id, *contribution.identifiers))
        return _by_component(contributions, components)

    def _read_pointers(self, identifiers: set[Identifier]) -> None:
        """Read pointers and where they lead, but for what a loaded profile lists anyway."""
        snapshot = self.snapshot
        unknown = identifiers - snapshot.pointers.keys()
        if not unknown:
            return
        found = self._pointers(unknown, fresh=self.fresh)
        snapshot.pointers.update(found)
        self._read_profiles({one.profile_id for one in found.values() if one is not None}, fresh=self.fresh)
        # A pointer that seems to lead nowhere may just be newer than what was read of its profile.
        doubtful = {one for one in unknown if self._is_doubtful(one)}
        if doubtful:
            snapshot.pointers.update(self._pointers(doubtful, fresh=True))
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
            found = self._profiles(unknown, fresh=fresh)
            snapshot.profiles.update(found)
            ids = {stored.target for stored in found.values() if isinstance(stored, Redirect)}

    def _imply_pointers(self, identifiers: list[Identifier]) -> None:
        """Take a live profile's word for the identifiers it lists.

        That is safe, and saves reading their pointers: whoever moves a pointer bumps the revision of the
        profile that it leaves. But if it has expired, TTL may have taken a pointer before it, which leads to
        somebody else by now: the write fails of that, and then they are read.
        """
        if self.fresh:
            return
        pointers = self.snapshot.pointers
        head = profile_of(self.snapshot, pointers[identifiers[0]])[1]
        if isinstance(head, Profile):
            for identifier in identifiers:
                first_seen = head.identifiers.get(identifier)
                if first_seen is not None:
                    pointers.setdefault(identifier, Pointer(head.id, first_seen))

    def _still_parked(self, contributions: list[Contribution]) -> list[Contribution]:
        """Leave out what was parked, and has been folded by somebody else since it was read."""
        if not self._parked_in:
            return contributions
        listed = self._listed_deltas()
        folded = {one for one, name in self._parked_in.items() if name not in listed}
        return [one for one in contributions if id(one) not in folded]

    def _listed_deltas(self) -> set[str]:
        return {
            name
            for stored in self.snapshot.profiles.values()
            if isinstance(stored, Profile | Tombstone)
            for name in stored.parked
        }

    def _read_deltas(self) -> list[Contribution]:
        """Return the contributions parked beside the profiles of these, once."""
        new = self._listed_deltas() - self.snapshot.deltas.keys()
        if not new:
            return []
        found = self._readable(self.store.deltas, new)
        self.snapshot.deltas.update({name: found.get(name, ()) for name in new})
        self._parked_in.update((id(one), name) for name, each in found.items() for one in each)
        return [one for each in found.values() for one in each]

    def _read_segments(self, group: Group, names: set[str]) -> None:
        """Load segments of the profiles that a group leads to: no others are planned with it."""
        snapshot = self.snapshot
        for profile_id in self._ids(one for each in _each_once(group) for one in each):
            stored = snapshot.profiles.get(profile_id)
            if isinstance(stored, Profile):
                wanted = names.intersection(missing_segments(self.builder, stored))
                if wanted:
                    snapshot.profiles[profile_id] = self.store.load(self.builder, stored, wanted)

    def _pointers(
        self, identifiers: Collection[Identifier], *, fresh: bool
    ) -> dict[Identifier, Pointer | None]:
        found = self._readable(partial(self.store.pointers, fresh=fresh), identifiers)
        return found if len(found) == len(identifiers) else dict.fromkeys(identifiers) | found

    def _profiles(self, ids: Collection[str], *, fresh: bool) -> dict[str, Stored | None]:
        found = self._readable(partial(self.store.profiles, fresh=fresh), ids)
        return found if len(found) == len(ids) else dict.fromkeys(ids) | found

    def _readable(
        self, read: Callable[[Collection[_Place]], dict[_Place, _Held]], wanted: Collection[_Place]
    ) -> dict[_Place, _Held]:
        """Read what can be read, and take note of what cannot."""
        found, damaged = readable(read, wanted)
        self._damaged |= damaged
        return found


def _each_once(contributions: Iterable[Contribution]) -> Collection[tuple[Identifier, ...]]:
    """Return whose events these are, each tuple of identifiers once.

    Hot: the builder gives the same tuple again and again, and its identity is told faster than what it holds.
    """
    return {id(one.identifiers): one.identifiers for one in contributions}.values()


def _by_component(contributions: list[Contribution], components: Components) -> list[Group]:
    roots = {id(one): components.find(one[0]) for one in _each_once(contributions)}
    groups: dict[int, Group] = {}
    for contribution in sorted(contributions, key=_ORDER_OF):
        groups.setdefault(roots[id(contribution.identifiers)], []).append(contribution)
    return list(groups.values())
