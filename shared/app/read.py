"""Reading profiles: as they are now, whole, with whatever still waits beside them folded in.

Nothing is written: a reader sees what the next writer would make of what is stored.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from shared.app.loading import Loading
from shared.app.ports import ProfileStore, SegmentGoneError
from shared.core.aggregations.base import Keyed
from shared.core.compile import Builder
from shared.core.definition import Definition, IdentifierType
from shared.core.identity.identifiers import Identifier, identifier_reader
from shared.core.identity.ids import profile_id
from shared.core.profile import NAMES, Profile, expiry, missing_segments
from shared.core.snapshot import Redirect
from shared.core.times import format_time

ATTEMPTS_MAX: Final = 5
"""Times that a profile is read again because somebody wrote it meanwhile."""
REDIRECTS_MAX: Final = 8
_NO_LIMIT: Final = 2**31
"""A plan that is only looked at needs no room in a transaction."""


class UnusableIdentifierError(ValueError):
    """No profile can have such an identifier; the message says why, and nothing of the value."""


def identifier_of(definition: Definition, kind: str, value: str) -> Identifier:
    """Return an identifier as ingestion would know it; UnusableIdentifierError if it never would."""
    declared = {one.name: one for one in definition.identifiers}
    if kind not in declared:
        raise UnusableIdentifierError(
            f"builder {definition.name} has no identifier {kind}; it has {', '.join(declared)}"
        )
    only: IdentifierType = msgspec.structs.replace(declared[kind], paths=(("value",),))
    read = identifier_reader(msgspec.structs.replace(definition, identifiers=(only,)))
    identifiers, set_aside = read({"value": value})
    if not identifiers:
        reason = set_aside[0].reason if set_aside else "blank"
        raise UnusableIdentifierError(f"a {kind} like this is never used to identify anybody: {reason}")
    return identifiers[0]


class Reader:
    """Reads the profiles of one version of a builder; `now` gives ms since 1970, UTC."""

    def __init__(self, builder: Builder, store: ProfileStore, now: Callable[[], int]) -> None:
        self._builder = builder
        self._store = store
        self._now = now

    def by_identifier(self, identifier: Identifier) -> Profile | None:
        """Return the live profile that has an identifier in normal form."""

        def find() -> Profile | None:
            target = self._target(identifier)
            for _ in range(ATTEMPTS_MAX):
                profile = self._follow(target)
                if profile is not None and identifier in profile.identifiers:
                    return profile
                # Where that was merged or removed between the two reads, the pointer leads elsewhere by now.
                before, target = target, self._target(identifier)
                if target == before:
                    break
            return None

        profile = self._read(find)
        # What waits beside a profile may end it, and begin a life that has not all of its identifiers.
        return profile if profile is not None and identifier in profile.identifiers else None

    def by_id(self, wanted: str) -> Profile | None:
        """Return the live profile with an id, or the one that it was merged into."""
        return self._read(lambda: self._follow(wanted))

    def whole(self, profile: Profile) -> Profile | None:
        """Return a profile as it was stored with all that belongs to it; None if it has expired."""
        try:
            return self._whole(profile)
        except SegmentGoneError:  # it was written meanwhile
            return self.by_id(profile.id)

    def _read(self, find: Callable[[], Profile | None]) -> Profile | None:
        for _ in range(ATTEMPTS_MAX - 1):
            try:
                return self._whole(find())
            except SegmentGoneError:
                continue
        return self._whole(find())

    def _whole(self, profile: Profile | None) -> Profile | None:
        for _ in range(ATTEMPTS_MAX):
            if profile is None or not profile.parked:
                break
            before, profile = profile, self._with_parked(profile)
            if profile is not None and profile.rev == before.rev:
                break  # what it lists is not there
        if profile is None:
            return None
        missing = missing_segments(self._builder, profile)
        if missing:
            profile = self._store.load(self._builder, profile, missing)
        return profile if self._now() <= expiry(self._builder, profile) else None

    def _target(self, identifier: Identifier) -> str:
        """Return the id of the profile that an identifier leads to."""
        pointer = self._store.pointers([identifier], fresh=True)[identifier]
        # A creation that crashed half-way leaves a founder without its pointer.
        return profile_id(self._builder.name, identifier) if pointer is None else pointer.profile_id

    def _follow(self, wanted: str) -> Profile | None:
        for _ in range(REDIRECTS_MAX):
            stored = self._store.profiles([wanted], fresh=True)[wanted]
            if not isinstance(stored, Redirect):
                return stored if isinstance(stored, Profile) else None
            wanted = stored.target
        return None

    def _with_parked(self, profile: Profile) -> Profile | None:
        """Return what the profile becomes once the events parked beside it are folded; None if that ends it.

        The profile as it is stored by now, if somebody has folded them since it was read. Raises
        `SegmentGoneError` where it was removed meanwhile: merged, perhaps, into whoever is to be found.
        """
        parked = self._store.deltas(profile.parked)
        loading = Loading(self._builder, self._store)
        loading.fresh = True
        groups = loading.load([one for each in parked.values() for one in each])
        plans = [loading.plan(group, 1, _NO_LIMIT) for group in groups]
        puts = [put.profile for one in plans for put in one.puts]
        found = next((one for one in puts if profile.founder in one.identifiers), None)
        if found is not None or any(bury.tombstone.id == profile.id for one in plans for bury in one.buries):
            return found
        stored = self._follow(profile.id)
        if stored is None:
            raise SegmentGoneError(f"{profile.id} is gone")
        return stored


def why(builder: Builder, profile: Profile) -> dict[str, Any]:
    """Return what is known of how a profile came to be what it is, as JSON values.

    Of each attribute: the contribution that gave its first and its last value, with event id and event time.
    Of a list these are the earliest and the latest entry. Sums, counts, minima and maxima know neither. What
    its function returned is under `computed`, if there is one.
    """
    known = {
        "profile_id": profile.id,
        "founder": {"type": profile.founder.type, "value": profile.founder.value},
        "created_at": format_time(profile.created_at),
        "updated_at": format_time(profile.updated_at),
        "event_count": profile.event_count,
        "identifiers": [
            {"type": one.type, "value": one.value, "first_seen": format_time(first_seen)}
            for one, first_seen in sorted(profile.identifiers.items(), key=lambda item: (item[1], item[0]))
        ],
        "merges": [
            {"profile_id": one.secondary, "at": format_time(one.at), "linked_by": list(one.linked_by)}
            for one in profile.merges
        ],
        "attributes": {
            attribute.name: {"aggregation": attribute.aggregation}
            | {
                which: _contribution(keyed, is_time=attribute.type == "datetime")
                for which, keyed in _ends(attribute.aggregation, state).items()
            }
            for attribute, state in zip(builder.attributes, profile.attributes, strict=True)
            if state is not None
        },
        "traits": {name: {"last": _contribution(trait)} for name, trait in sorted(profile.traits.items())},
    }
    if profile.heads or profile.computed:
        known["computed"] = _computed(profile)
    return known


def _computed(profile: Profile) -> dict[str, Any]:
    """Return what a profile function returned, and whether it has seen all events that were counted."""
    computed = profile.computed
    if computed is None:
        return {"is_due": profile.is_due}
    names = {name: value for name in NAMES if (value := getattr(computed, name)) is not None}
    return {"is_due": profile.is_due, **names, "traits": computed.traits}


def _ends(aggregation: str, state: Any) -> dict[str, Keyed]:
    """Return the first and the last contribution that a state still knows."""
    match aggregation:
        case "first" | "last":
            return {aggregation: state}
        case "first_last":
            first, last = state
        case "list":
            first, last = min(state.entries), max(state.entries)
        case "unique_list":
            keyed = [(key, value) for value, key in state.keys.items()]
            first, last = min(keyed), max(keyed)
        case _:
            return {}
    return {"first": first, "last": last}


def _contribution(keyed: Keyed, *, is_time: bool = False) -> dict[str, Any]:
    (time, event_id, _), value = keyed
    shown = format_time(value) if is_time and isinstance(value, int) else value
    return {"value": shown, "event_id": event_id, "at": format_time(time)}
