"""A profile: the state that events fold into, and that merges.

States are a commutative monoid (see `aggregations/base.py`): folding the same contributions in any order and
any grouping gives the same profile. What order does decide (founding, expiry, limits, breaking) is decided
in `plan.py`, in order of arrival.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from shared.core.aggregations.base import Entry, Key, Keyed, Value
from shared.core.canonical import encode, plain
from shared.core.compile import Builder, Contribution, Reading
from shared.core.history import Head
from shared.core.identity.identifiers import Identifier
from shared.core.identity.ids import profile_id
from shared.core.memory import MINUTE_MS, Memory, minute_of
from shared.core.retention import expires_at
from shared.core.times import format_time
from shared.core.traits import Trait
from shared.core.traits import merge as merge_traits

IDENTIFIERS_MAX: Final = 1000
CANONICAL_BYTES_MAX: Final = 512 * 1024
"""A profile over either limit is broken, as in Piwik PRO."""
MERGES_KEPT: Final = 20
NAMES: Final = ("published_id", "destination_id", "table_name")
"""What a profile function may return beside traits: it names the row of a destination."""
REMOVED_OVERHEAD_BYTES: Final = 16
"""Of a removed trait beside its name: when it was removed."""

_KEY_OF: Final = attrgetter("key")


class Merge(NamedTuple):
    """One merge a profile went through: what joined it, when (ms UTC), linked by which identifier types."""

    secondary: str
    at: int
    linked_by: tuple[str, ...]


class Quiet(NamedTuple):
    """Since `at` (ms UTC) all writers of a profile at this revision are asked to leave it to one of them.

    They park what can be parked beside it, and wait with the rest; if it `is_closed`, they wait with all.
    """

    rev: int
    at: int
    is_closed: bool


class Computed(msgspec.Struct, frozen=True):
    """What the builder's profile function returned when it ran last.

    `basis` are the heads of the history that it was given. A trait that is None hides the profile's own.
    """

    traits: dict[str, Any]
    basis: tuple[Head, ...]
    published_id: str | None = None
    destination_id: str | None = None
    table_name: str | None = None


class Profile(msgspec.Struct):
    """A profile's state.

    `identifiers` maps each to its first arrival here; `attributes` holds one aggregation state (or None) per
    attribute of the definition. `bytes_max` is an upper bound of the canonical form, exact when it was last
    measured. `aliases` are ids of merged profiles whose pointers may still lead through a redirect. `parked`
    names deltas that wait beside the stored profile. `heads` is where its history begins, sorted; `computed`
    the last result of its function. Times are ms UTC; `rev` counts writes. A `quiet` of another revision
    means nothing any more.

    What is stored stays until `kept_until` at least: a rebuild writes profiles that stay beyond their expiry,
    as who follows the stream after it may be days behind.
    """

    id: str
    founder: Identifier
    created_at: int
    updated_at: int
    event_count: int
    identifiers: dict[Identifier, int]
    attributes: list[Any]
    traits: dict[str, Trait]
    memory: Memory
    bytes_max: int = 0
    merges: tuple[Merge, ...] = ()
    aliases: tuple[str, ...] = ()
    rev: int = 0
    children_until: int = 0
    kept_until: int = 0
    parked: tuple[str, ...] = ()
    heads: tuple[Head, ...] = ()
    computed: Computed | None = None
    quiet: Quiet | None = None

    @property
    def is_quiet(self) -> bool:
        """Whether somebody has asked for quiet, and nobody has written the profile since."""
        return self.quiet is not None and self.quiet.rev == self.rev

    @property
    def is_closed(self) -> bool:
        """Whether nothing is to be parked beside it either."""
        return self.quiet is not None and self.is_quiet and self.quiet.is_closed

    @property
    def is_due(self) -> bool:
        """Whether its function is to run: it has counted what the last result did not see."""
        return self.heads != (() if self.computed is None else self.computed.basis)


def new_profile(builder: Builder, profile_id: str, founder: Identifier, arrival: int) -> Profile:
    """Return a profile that has not counted any event."""
    return Profile(
        id=profile_id,
        founder=founder,
        created_at=arrival,
        updated_at=arrival,
        event_count=0,
        identifiers={},
        attributes=[None] * len(builder.attributes),
        traits={},
        memory=Memory(),
    )


def copy(builder: Builder, profile: Profile) -> Profile:
    """Return a profile that shares nothing that folding would change."""
    return msgspec.structs.replace(
        profile,
        identifiers=profile.identifiers.copy(),
        attributes=[
            None if state is None else aggregation.copy(state)
            for aggregation, state in zip(builder.aggregations, profile.attributes, strict=True)
        ],
        traits=profile.traits.copy(),
        memory=profile.memory.copy(),
    )


def count(profile: Profile, contribution: Contribution) -> bool:
    """Count an event, its arrival and its id, not yet its values; False, and nothing, for a duplicate.

    Raises `NotLoadedError` when the part of the memory that could tell is not loaded.
    """
    arrival = contribution.arrival
    if not profile.memory.count(contribution.hash, arrival // MINUTE_MS):
        return False
    if arrival < profile.created_at:  # noqa: PLR1730 - hot: calling min or max costs more
        profile.created_at = arrival
    if arrival > profile.updated_at:  # noqa: PLR1730 - likewise
        profile.updated_at = arrival
    profile.event_count += 1
    profile.bytes_max += contribution.weight
    return True


def fold(builder: Builder, profile: Profile, contributions: Sequence[Contribution]) -> None:
    """Fold the values and traits of events into a profile that has counted them."""
    # Hot: by attribute, so that an aggregation is called once, not once per event.
    contributions = sorted(contributions, key=_KEY_OF)
    keys = [one.key for one in contributions]
    # Times are told apart faster than keys, and nearly always differ.
    has_ties = len({key[0] for key in keys}) < len(keys) and len(set(keys)) < len(keys)
    columns = zip(*[one.values for one in contributions], strict=True)
    attributes = profile.attributes
    for number, (aggregation, column) in enumerate(zip(builder.aggregations, columns, strict=True)):
        mine: Sequence[Key] = keys
        values: Sequence[Any] = [reading for reading in column if reading is not None]
        if len(values) < len(column):
            if not values:
                continue
            mine = [key for key, reading in zip(keys, column, strict=True) if reading is not None]
        if has_ties or (aggregation.takes_arrays and list in map(type, values)):
            mine, values = _one_by_one(mine, values)
        attributes[number] = aggregation.add(attributes[number], mine, values)
    for one in contributions:
        if one.traits:
            merge_traits(profile.traits, {name: (one.key, value) for name, value in one.traits.items()})


def _one_by_one(keys: Sequence[Key], readings: Sequence[Reading]) -> tuple[Sequence[Key], Sequence[Value]]:
    """Give each element of an array its own key; sort, as where keys are equal values decide."""
    keyed: list[Keyed] = []
    for key, reading in zip(keys, readings, strict=True):
        if isinstance(reading, list):
            time, event_id, _ = key
            keyed += [((time, event_id, index), value) for index, value in enumerate(reading)]
        else:
            keyed.append((key, reading))
    keyed.sort()
    return [key for key, _ in keyed], [value for _, value in keyed]


def counts_since(builder: Builder, profile: Profile) -> int:
    """Return the minute since which a profile has surely counted itself what it remembers.

    It has counted nothing that arrived before it began. What it remembers from before it has of a removed
    profile; a later life began in the minute in which that one ended, perhaps.
    """
    is_later_life = profile.id != profile_id(builder.name, profile.founder)
    return minute_of(profile.created_at) + is_later_life


def merge(builder: Builder, primary: Profile, secondary: Profile, how: Merge) -> list[int]:
    """Merge a profile into another; return the minutes of the events that both remember.

    None, but where both have inherited the memory of one removed profile. The primary keeps its id and
    founder, and what was computed of it until that is computed anew. Raises `NotLoadedError` when parts of
    the secondary, or of either memory, are not loaded.
    """
    shared = primary.memory.unite(secondary.memory)
    primary.created_at = min(primary.created_at, secondary.created_at)
    primary.updated_at = max(primary.updated_at, secondary.updated_at)
    primary.event_count += secondary.event_count
    for identifier, first_seen in secondary.identifiers.items():
        mine = primary.identifiers.get(identifier)
        primary.identifiers[identifier] = first_seen if mine is None else min(mine, first_seen)
    primary.attributes = [
        aggregation.merge(a, b)
        for aggregation, a, b in zip(
            builder.aggregations, primary.attributes, secondary.attributes, strict=True
        )
    ]
    merge_traits(primary.traits, secondary.traits)
    primary.bytes_max += secondary.bytes_max
    primary.kept_until = max(primary.kept_until, secondary.kept_until)
    primary.heads = united(primary.heads, secondary.heads)
    merges = sorted({*primary.merges, *secondary.merges, how}, key=lambda one: (one.at, one.secondary))
    primary.merges = tuple(merges[-MERGES_KEPT:])
    return shared


def united(heads: tuple[Head, ...], others: tuple[Head, ...]) -> tuple[Head, ...]:
    """Return the heads of two histories as those of one."""
    return tuple(sorted({*heads, *others})) if others else heads


def missing_segments(builder: Builder, profile: Profile) -> list[str]:
    """Return the names of all segments that are not loaded."""
    names = [segment.name for segment in profile.memory.segments]
    for aggregation, state in zip(builder.aggregations, profile.attributes, strict=True):
        if state is not None and aggregation.takes_arrays:
            names.extend(segment.name for segment in state.segments)
    return names


def is_known(builder: Builder, profile: Profile) -> bool:
    """Whether any identifier tells who this person is."""
    known = builder.known
    for kind, _ in profile.identifiers:  # noqa: SIM110 - hot: a generator costs more than the look
        if kind in known:
            return True
    return False


def expiry(builder: Builder, profile: Profile) -> int:
    """Return when the profile expires unless another event comes, ms UTC."""
    retention = builder.definition.retention
    return expires_at(retention, profile.updated_at, known=is_known(builder, profile))


def present_attributes(
    builder: Builder, profile: Profile, number: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    """Return attribute values by name, as JSON values; datetimes as text, list entries as {value, at}.

    `number` is applied to what attributes of numbers show.
    """
    shown: dict[str, Any] = {}
    for (name, is_time, is_number), aggregation, state in zip(
        builder.shows, builder.aggregations, profile.attributes, strict=True
    ):
        if state is None:
            continue
        for suffix, value in aggregation.present(state):
            one = _shown(value, is_time=is_time) if is_time or type(value) is list else value
            shown[name + suffix] = number(one) if number and is_number else one
    return shown


def _shown(value: Any, *, is_time: bool) -> Any:
    # Hot: a list is shown in one go, all of its entries being alike.
    if type(value) is not list:
        return format_time(value) if is_time else value
    if value and type(value[0]) is Entry:
        if is_time:
            return [{"value": format_time(one), "at": format_time(key[0])} for key, one in value]
        return [{"value": one, "at": format_time(key[0])} for key, one in value]
    return list(map(format_time, value)) if is_time else value


def present_identifiers(profile: Profile) -> dict[str, list[str]]:
    """Return identifier values by type, each list sorted."""
    by_type: dict[str, list[str]] = {}
    for kind, value in sorted(profile.identifiers):
        by_type.setdefault(kind, []).append(value)
    return by_type


def removed_bytes(profile: Profile) -> int:
    """Return what removed traits take, which no canonical form shows, but every stored state holds.

    It counts towards the size limit: otherwise endless removals would grow a profile without end.
    """
    return sum(
        len(name.encode()) + REMOVED_OVERHEAD_BYTES
        for name, (_, value) in profile.traits.items()
        if value is None
    )


def present_traits(profile: Profile) -> dict[str, Any]:
    """Return the profile's own traits that are not removed."""
    return {name: value for name, (_, value) in profile.traits.items() if value is not None}


def _over(computed: Computed, shown: dict[str, Any], traits: dict[str, Any]) -> dict[str, Any]:
    """Lay what a profile function returned over what a profile shows; `traits` are its traits to be shown."""
    together = shown["traits"] | traits
    shown["traits"] = {name: value for name, value in together.items() if value is not None}
    for name in NAMES:
        value = getattr(computed, name)
        if value is not None:
            shown[name] = value
    return shown


def present(builder: Builder, profile: Profile) -> dict[str, Any]:
    """Return the profile as its canonical form has it.

    Raises `NotLoadedError` when parts of long lists are not loaded.
    """
    shown = _present(builder, profile, present_traits(profile), present_attributes(builder, profile))
    computed = profile.computed
    return shown if computed is None else _over(computed, shown, computed.traits)


def _present(
    builder: Builder, profile: Profile, traits: dict[str, Any], attributes: dict[str, Any]
) -> dict[str, Any]:
    return {
        "profile_id": profile.id,
        "identifiers": present_identifiers(profile),
        "traits": traits,
        "attributes": attributes,
        "created_at": format_time(profile.created_at),
        "updated_at": format_time(profile.updated_at),
        "event_count": profile.event_count,
        "expires_at": format_time(expiry(builder, profile)),
    }


def canonical(builder: Builder, profile: Profile) -> bytes:
    """Return the canonical form: one line of JSON. Raises `NotLoadedError` like `present`."""
    shown = _plainly(builder, profile)
    computed = profile.computed
    return encode(shown if computed is None else _over(computed, shown, plain(computed.traits)))


def counted_bytes(builder: Builder, profile: Profile) -> int:
    """Return how much of the canonical form counts towards its limit: not what was computed of the profile.

    Raises `NotLoadedError` like `present`.
    """
    return len(encode(_plainly(builder, profile)))


def _plainly(builder: Builder, profile: Profile) -> dict[str, Any]:
    """Return what a profile shows, but for what was computed of it, as the encoder takes it."""
    # Hot: only traits and numbers can hold what the encoder would not write plainly.
    traits = plain(present_traits(profile))
    return _present(builder, profile, traits, present_attributes(builder, profile, plain))
