"""Why a profile differs between two versions: by value, and by cause.

A version that was built from the archive equals the one that folded the stream, but for what the promise
names: definitions that say something else, and the few things that depend on order or on time. Each
difference is attributed to one of these, the most certain first; what none explains is a fault of Kith's.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from shared.app.frozen import PROFILE_FILE, TRANSFORM_FILE, Frozen
from shared.app.shown import Shown, differing, identifiers_of, values_of
from shared.app.unseen import Span
from shared.contract import DEDUP_WINDOW_H
from shared.core.compile import Builder
from shared.core.identity.identifiers import Identifier
from shared.core.memory import REMEMBERED_MAX
from shared.core.profile import CANONICAL_BYTES_MAX, IDENTIFIERS_MAX, NAMES
from shared.core.retention import SHORTEST_MONTH_MS
from shared.core.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Callable

DEDUP_WINDOW_MS: Final = DEDUP_WINDOW_H * 3_600_000
NEAR: Final = 0.9
"""How near to a limit a profile is that may have been over it at another time."""


class Cause(StrEnum):
    """What a difference comes of."""

    DEFINITION = "definition"
    """The two versions say something else about this."""
    TO_BE_FOLLOWED = "to be followed"
    """Records arrived that one of the versions has not folded: it is behind, or it was replaced before."""
    QUARANTINE = "quarantine"
    """Events of this person wait in the quarantine of one version."""
    ARCHIVE = "archive"
    """What one version was built from did not hold all of this profile: the archive begins later, or had not
    got yet what was added to it since."""
    LIMITS = "limits"
    """The profile is at a limit, and what is over it depends on the order of arrival."""
    EXPIRY = "expiry"
    """One version let the profile expire and began anew, where the other saw an event just in time."""
    FUNCTION = "function"
    """The profile function of one version has not run since the last event, has failed, or has returned
    something else for the same events, as one may that reads a clock or fetches."""
    DUPLICATES = "duplicates"
    """So many events came within a day that their ids were no longer all remembered; or an event came in
    several shards, and each version counted another of its copies, which arrived at another time."""
    UNEXPLAINED = "unexplained"


class Difference(NamedTuple):
    """One value that differs; None where a version has none. `place` is like `attributes.orders`."""

    place: str
    cause: Cause
    left: Any
    right: Any


class Known(msgspec.Struct, frozen=True):
    """What is known of the two versions, left and right, beside their profiles. Times ms UTC.

    `followed` is until when each has folded what arrived; `quarantined` are identifiers in events that wait
    in the quarantine of just one of them; `unseen` is when records arrived that each, but not the other, was
    not built from.
    """

    changes: "Changes"
    followed: tuple[int, int]
    quarantined: frozenset[Identifier] = frozenset()
    archive_begins: int | None = None
    unseen: tuple[frozenset[Span], frozenset[Span]] = (frozenset(), frozenset())


class Changes(msgspec.Struct, frozen=True):
    """What two definitions say differently: names of values, retention, and who is who."""

    values: frozenset[str]
    retention: bool
    identity: bool
    limited: frozenset[str]
    """Types of identifiers of which a profile has a limited number, by both."""
    function: bool = False
    """Whether the profile functions differ, or how they run."""
    computes: bool = False
    """Whether any of the two has one."""

    @property
    def any(self) -> bool:
        """Say whether the definitions differ at all."""
        return bool(self.values) or self.retention or self.identity or self.function


def changes_between(left: Frozen, right: Frozen) -> Changes:
    """Compare two definitions."""
    one, other = left.definition, right.definition
    names = _declared(left), _declared(right)
    functions = [one.files.get(PROFILE_FILE) for one in (left, right)]
    same_people = (one.identifiers, one.block, one.anonymous, one.anonymous_profiles) == (
        other.identifiers,
        other.block,
        other.anonymous,
        other.anonymous_profiles,
    )
    given = [(each.env, each.fetch, each.warehouses) for each in (one, other)]
    same_chain = left.files.get(TRANSFORM_FILE) == right.files.get(TRANSFORM_FILE)
    same_function = (functions[0], one.profile_function) == (functions[1], other.profile_function)
    return Changes(
        values=frozenset(
            name for name in names[0].keys() | names[1].keys() if names[0].get(name) != names[1].get(name)
        ),
        retention=one.retention != other.retention,
        identity=not (same_people and same_chain and (given[0] == given[1] or not _has_chain(left, right))),
        limited=_limited(left) & _limited(right),
        function=not (same_function and given[0] == given[1]) and any(functions),
        computes=any(functions),
    )


def differences(left: Shown | None, right: Shown | None, known: Known) -> list[Difference]:
    """Return what differs in a profile, None where a version has none, each with its cause."""
    if left is None or right is None:
        cause = _of_events(left, right, known)
        return [Difference("profile", cause, left and left["profile_id"], right and right["profile_id"])]
    before, after = values_of(left), values_of(right)
    of_events = _of_events(left, right, known) if _saw_other_events(left, right) else None
    return [
        Difference(place, _cause(place, of_events, known), before.get(place), after.get(place))
        for place in differing(before, after)
    ]


def in_motion(left: Shown | None, right: Shown | None) -> bool:
    """Say whether two forms may differ because one of them was read before the other was written."""
    return left is None or right is None or _saw_other_events(left, right)


def _cause(place: str, of_events: Cause | None, known: Known) -> Cause:
    """Attribute one value: to its own definition first, then to the events that it comes of."""
    section, _, name = place.partition(".")
    if section == "attributes" and name in known.changes.values:
        return Cause.DEFINITION
    if place == "expires_at" and (known.changes.retention or known.changes.identity):
        return Cause.DEFINITION
    is_computed = known.changes.computes and (section == "traits" or place in NAMES)
    if is_computed and known.changes.function:
        return Cause.DEFINITION
    if of_events is not None:
        return of_events
    if known.changes.identity:
        return Cause.DEFINITION
    return Cause.FUNCTION if is_computed else Cause.UNEXPLAINED


def _of_events(left: Shown | None, right: Shown | None, known: Known) -> Cause:
    """Attribute that two versions have other events, or other identifiers, for the same profile."""
    both = [one for one in (left, right) if one is not None]
    unseen = known.unseen[0] | known.unseen[1]
    checks: list[tuple[Cause, Callable[[], bool]]] = [
        (Cause.DEFINITION, lambda: known.changes.identity),
        (Cause.TO_BE_FOLLOWED, lambda: _is_to_be_followed(left, right, known)),
        (Cause.DEFINITION, lambda: known.changes.retention),
        (
            Cause.QUARANTINE,
            lambda: any(not known.quarantined.isdisjoint(identifiers_of(one)) for one in both),
        ),
        (Cause.ARCHIVE, lambda: any(_time(one, "created_at") < (known.archive_begins or 0) for one in both)),
        (Cause.ARCHIVE, lambda: _has_seen_more(left, right, known.unseen[1])),
        (Cause.ARCHIVE, lambda: _has_seen_more(right, left, known.unseen[0])),
        (Cause.LIMITS, lambda: _is_at_a_limit(both, known)),
        (Cause.EXPIRY, lambda: _began_anew(both)),
        (Cause.DUPLICATES, lambda: any(one["event_count"] > REMEMBERED_MAX for one in both)),
        (Cause.DUPLICATES, lambda: _counted_other_copies(both)),
        # Events that only one version has seen may have made one person of two.
        (Cause.ARCHIVE, lambda: len(both) == 1 and any(one.surely for one in unseen)),
    ]
    return next((cause for cause, holds in checks if holds()), Cause.UNEXPLAINED)


def _is_to_be_followed(left: Shown | None, right: Shown | None, known: Known) -> bool:
    """Say whether one side holds something that arrived after the other had stopped, or had come so far."""
    seen = (
        _time(left, "updated_at") if left is not None else 0,
        _time(right, "updated_at") if right is not None else 0,
    )
    return seen[0] >= known.followed[1] or seen[1] >= known.followed[0]


def _has_seen_more(one: Shown | None, other: Shown | None, unseen: frozenset[Span]) -> bool:
    """Say whether one side has more events, in a time of which the other side has not seen all."""
    if one is None or (other is not None and one["event_count"] <= other["event_count"]):
        return False
    began, ended = _time(one, "created_at"), _time(one, "updated_at")
    return any(began <= span.last and span.first <= ended for span in unseen)


def _is_at_a_limit(both: list[Shown], known: Known) -> bool:
    for one in both:
        if any(kind in known.changes.limited for kind in one["identifiers"]):
            return True
        if len(identifiers_of(one)) > NEAR * IDENTIFIERS_MAX:
            return True
        if len(msgspec.json.encode(one)) > NEAR * CANONICAL_BYTES_MAX:
            return True
    return False


def _began_anew(both: list[Shown]) -> bool:
    """Say whether the two lives began so far from each other that an expiry fits in between."""
    began = sorted(_time(one, "created_at") for one in both)
    return len(began) > 1 and began[1] - began[0] >= SHORTEST_MONTH_MS


def _counted_other_copies(both: list[Shown]) -> bool:
    """Say whether two versions have as many events of the same people, which arrived at other times.

    Of an event that producers sent twice, in two shards, a version counts the one that it meets first.
    """
    if len(both) == 1 or any(both[0][name] != both[1][name] for name in ("event_count", "identifiers")):
        return False
    apart = (abs(_time(both[0], name) - _time(both[1], name)) for name in ("created_at", "updated_at"))
    return all(one < DEDUP_WINDOW_MS for one in apart)


def _saw_other_events(left: Shown, right: Shown) -> bool:
    names = ("event_count", "created_at", "updated_at", "identifiers")
    return any(left[name] != right[name] for name in names)


def _time(shown: Shown, name: str) -> int:
    return parse_time(shown[name]) or 0


def _has_chain(*both: Frozen) -> bool:
    return any(TRANSFORM_FILE in one.files for one in both)


def _limited(frozen: Frozen) -> frozenset[str]:
    return frozenset(kind.name for kind in frozen.definition.identifiers if kind.limit is not None)


def _declared(frozen: Frozen) -> dict[str, Any]:
    """Return attributes by the names of the values that they show."""
    builder = Builder(frozen.definition)
    return {
        attribute.name + suffix: attribute
        for attribute, aggregation in zip(builder.attributes, builder.aggregations, strict=True)
        for suffix in aggregation.suffixes
    }
