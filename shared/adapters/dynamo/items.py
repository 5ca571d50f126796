"""Items to what the core works with, and back. `docs/store.md` describes them for people."""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from shared.adapters.dynamo import computed
from shared.adapters.dynamo.json_text import has_empty_name, json_of
from shared.adapters.dynamo.keys import SEPARATOR, Keyspace
from shared.adapters.dynamo.parts import MEMORY, pile_of
from shared.adapters.dynamo.piles import segmented
from shared.adapters.dynamo.state import SEPARATE, StateReader, StateWriter, reads_items
from shared.adapters.dynamo.wire import Item, Wire, from_wire, to_wire
from shared.contract import PROFILES_SK, SK_BODY_PREFIX, TTL_ATTRIBUTE
from shared.core.aggregations.base import Aggregation, Entry, Key, Keyed
from shared.core.canonical import canonical_json
from shared.core.compile import Builder
from shared.core.definition import Attribute, debounce_s
from shared.core.identity.identifiers import Identifier
from shared.core.memory import Memory, Trace
from shared.core.profile import Merge, Profile, Quiet, expiry, present_identifiers
from shared.core.snapshot import Pointer, Redirect, Stored, Tombstone
from shared.core.times import format_time, parse_time
from shared.core.traits import Trait
from shared.core.writes import Point, Remove

KIND: Final = "kind"
"""Tells tombstones and redirects from profiles, which have no such attribute."""
TOMBSTONE: Final = "tombstone"
REDIRECT: Final = "redirect"
PARKED: Final = "parked"
"""Names the deltas that wait beside a profile. It grows without any other change, and without a new `rev`."""
QUIET: Final = "quiet"
CLOSED: Final = "closed"
"""Since when, ISO, others are asked for quiet by who is to write a profile, or remove it, which ends it."""
BULKY: Final = ("attributes", "traits", "identifiers", "state", computed.COMPUTED)
"""What leaves the item of a profile that would be too large for one."""


def seconds(time_ms: int) -> Wire:
    """Return a TTL: whole seconds, never before the moment itself."""
    return {"N": str(-(-time_ms // 1000))}


class Items:
    """Encodes and decodes the items of one version of one builder."""

    def __init__(self, builder: Builder, keyspace: Keyspace) -> None:
        self._builder = builder
        self._keyspace = keyspace
        self._debounce_s = debounce_s(builder.definition)
        self._columns = tuple(
            (attribute.name, aggregation, is_time(attribute))
            for attribute, aggregation in zip(builder.attributes, builder.aggregations, strict=True)
        )

    def profile(self, profile: Profile) -> Item:
        """Encode a profile, however large."""
        attributes, rests = self._split(profile.attributes)
        traits, as_text = _readable_traits(profile.traits)
        item = self._keyspace.profile(profile.id)
        item.update(
            identifiers=to_wire(present_identifiers(profile)),
            founder={"S": SEPARATOR.join(profile.founder)},
            created_at={"S": format_time(profile.created_at)},
            updated_at={"S": format_time(profile.updated_at)},
            event_count={"N": str(profile.event_count)},
            rev={"N": str(profile.rev)},
            state={"B": self._state(profile, rests, as_text)},
        )
        item[TTL_ATTRIBUTE] = seconds(max(expiry(self._builder, profile), profile.kept_until))
        item.update(computed.readable(profile, self._debounce_s))
        if attributes:
            item["attributes"] = {"M": attributes}
        if traits:
            item["traits"] = {"M": traits}
        return _with_parked(item, profile.parked)

    @reads_items
    def stored(self, item: Item) -> Stored:
        """Decode a profile, a tombstone or a redirect.

        Raises `UnknownFormatError` for what is damaged, or another release wrote; so do all that decode.
        """
        kind = item.get(KIND, {"S": ""})["S"]
        profile_id, rev = self._keyspace.profile_id(item), int(item["rev"]["N"])
        if kind == REDIRECT:
            return Redirect(profile_id, rev, item[REDIRECT]["S"])
        if kind == TOMBSTONE:
            return Tombstone(profile_id, rev, tuple(traces_of(item)), _parked(item))
        return self._profile(item, profile_id, rev)

    def tombstone(self, tombstone: Tombstone, until: int) -> Item:
        """Encode a tombstone that may go at `until` (ms UTC)."""
        item = self._keyspace.profile(tombstone.id)
        item[KIND] = {"S": TOMBSTONE}
        item["rev"] = {"N": str(tombstone.rev)}
        item.update(traces(sorted(tombstone.traces)))
        item[TTL_ATTRIBUTE] = seconds(until)
        return _with_parked(item, tombstone.parked)

    def redirect(self, remove: Remove) -> Item:
        """Encode the redirect that a merged profile leaves; it has no TTL yet."""
        item = self._keyspace.profile(remove.profile.id)
        item[KIND] = {"S": REDIRECT}
        item["rev"] = {"N": str(remove.rev)}
        item[REDIRECT] = {"S": remove.redirect or ""}
        return item

    def pointer(self, point: Point, until: int) -> Item:
        """Encode a pointer that may go at `until` (ms UTC)."""
        item = self._keyspace.pointer(point.identifier)
        item["profile_id"] = {"S": point.pointer.profile_id}
        item["first_seen"] = {"S": format_time(point.pointer.first_seen)}
        item[TTL_ATTRIBUTE] = seconds(until)
        return item

    def body(self, parts: Mapping[int, Sequence[Any]]) -> Item:
        """Encode parts of piles, by their numbers, as what a segment says. Each is sorted."""
        attributes, rests = self._split(
            [
                _list_of(aggregation, parts[pile_of(column)]) if pile_of(column) in parts else None
                for column, (_, aggregation, _) in enumerate(self._columns)
            ]
        )
        state = StateWriter()
        state.rests(rests)
        state.traces(parts.get(MEMORY, ()))
        item: Item = {"state": {"B": state.packed()}}
        if attributes:
            item["attributes"] = {"M": attributes}
        return item

    @reads_items
    def parts(self, item: Item) -> dict[int, Sequence[Any]]:
        """Decode a segment: what it holds of each pile, by its number."""
        state = StateReader(item["state"]["B"])
        if state.format == SEPARATE:
            return self._separate(item, state)
        states = self._join(item.get("attributes", {"M": {}})["M"], state.rests(len(self._columns)))
        parts: dict[int, Sequence[Any]] = {
            pile_of(column): lists.spill(states[column], 0)[1]
            for column, (_, aggregation, _) in enumerate(self._columns)
            if states[column] is not None and (lists := segmented(aggregation)) is not None
        }
        traces = state.traces()
        if traces:
            parts[MEMORY] = traces
        return parts

    def _separate(self, item: Item, state: StateReader) -> dict[int, Sequence[Any]]:
        """Decode a segment of the format in which it holds a part of one list, or of the memory."""
        if "entries" not in item:
            return {MEMORY: state.traces()}
        names = [name for name, _, _ in self._columns]
        column = names.index(item["attribute"]["S"])
        _, _, of_times = self._columns[column]
        return {
            pile_of(column): [
                ((_time(wire["M"]["at"]), *state.event()), _value(wire["M"]["value"], of_times))
                for wire in item["entries"]["L"]
            ]
        }

    def _state(self, profile: Profile, rests: list[Any], as_text: list[str]) -> bytes:
        origin = profile.created_at
        state = StateWriter(origin)
        lists = [
            held.segments if aggregation.takes_arrays and held is not None else ()
            for (_, aggregation, _), held in zip(self._columns, profile.attributes, strict=True)
        ]
        state.segments(lists, profile.memory.segments)
        for _, since in sorted(profile.identifiers.items(), key=itemgetter(0)):
            state.signed(since - origin)
        state.number(profile.bytes_max)
        state.signed(profile.children_until - origin)
        state.rests(rests)
        _put_traits(state, profile.traits, as_text)
        state.number(len(profile.merges))
        for one in profile.merges:
            state.hex(one.secondary)
            state.signed(one.at - origin)
            state.number(len(one.linked_by))
            for kind in one.linked_by:
                state.text(kind)
        state.number(len(profile.aliases))
        for alias in profile.aliases:
            state.hex(alias)
        state.traces(profile.memory.traces())
        computed.put(state, profile)
        return state.packed()

    def _split(self, states: Sequence[Any]) -> tuple[dict[str, Wire], list[Any]]:
        attributes: dict[str, Wire] = {}
        rests: list[Any] = []
        for (name, aggregation, of_times), state in zip(self._columns, states, strict=True):
            if state is None:
                rests.append(None)
                continue
            readable, rest = aggregation.split(state)
            rests.append(rest)
            for suffix, value in readable.items():
                attributes[name + suffix] = _shown(value, of_times=of_times)
        return attributes, rests

    def _join(self, attributes: dict[str, Wire], rests: list[Any]) -> list[Any]:
        states: list[Any] = []
        for (name, aggregation, of_times), rest in zip(self._columns, rests, strict=True):
            readable = {
                suffix: _value(attributes[name + suffix], of_times)
                for suffix in aggregation.suffixes
                if name + suffix in attributes
            }
            states.append(aggregation.join(readable, rest) if readable else None)
        return states

    def _profile(self, item: Item, profile_id: str, rev: int) -> Profile:
        origin = created_at_of(item)
        state = StateReader(item["state"]["B"], origin)
        identifiers = [
            Identifier(kind, wire["S"])
            for kind, values in sorted(item["identifiers"]["M"].items(), key=itemgetter(0))
            for wire in values["L"]
        ]
        # What stands in the state is taken in the order in which `_state` puts it.
        state.segments()
        profile = Profile(
            id=profile_id,
            founder=founder_of(item),
            created_at=origin,
            updated_at=updated_at_of(item),
            event_count=int(item["event_count"]["N"]),
            identifiers={one: origin + state.signed() for one in identifiers},
            bytes_max=state.number(),
            children_until=origin + state.signed(),
            attributes=self._join(item.get("attributes", {"M": {}})["M"], state.rests(len(self._columns))),
            traits=_traits(item.get("traits", {"M": {}})["M"], state),
            merges=tuple([_merge(state, origin) for _ in range(state.number())]),
            aliases=tuple([state.hex() for _ in range(state.number())]),
            memory=Memory(state.traces(), state.memory_segments()),
            rev=rev,
            kept_until=int(item[TTL_ATTRIBUTE]["N"]) * 1000,
            parked=_parked(item),
            quiet=_quiet(item, rev),
        )
        profile.heads, profile.computed = computed.take(state, item, profile_id)
        return profile


def founder_of(item: Item) -> Identifier:
    """Decode the founder of a profile."""
    kind, _, value = item["founder"]["S"].partition(SEPARATOR)
    return Identifier(kind, value)


def created_at_of(item: Item) -> int:
    """Decode when a profile was created, ms UTC."""
    return _time(item["created_at"])


def updated_at_of(item: Item) -> int:
    """Decode when the last event of a profile arrived, ms UTC."""
    return _time(item["updated_at"])


@reads_items
def pointer_of(item: Item) -> Pointer:
    """Decode a pointer."""
    return Pointer(item["profile_id"]["S"], _time(item["first_seen"]))


def traces(memory: Sequence[Trace]) -> Item:
    """Encode traces, which must be sorted, as what a tombstone remembers."""
    state = StateWriter()
    state.traces(memory)
    return {"state": {"B": state.packed()}}


@reads_items
def traces_of(item: Item) -> list[Trace]:
    """Decode the memory of a tombstone."""
    return StateReader(item["state"]["B"]).traces()


def is_body(item: Item) -> bool:
    """Whether an item is a segment or a chunk."""
    sk: str = item[PROFILES_SK]["S"]
    return sk.startswith(SK_BODY_PREFIX)


def is_time(attribute: Attribute) -> bool:
    """Whether an attribute's values are moments, held as ms and shown as text."""
    return attribute.type == "datetime" and attribute.aggregation != "count"


def _merge(state: StateReader, origin: int) -> Merge:
    secondary, at = state.hex(), origin + state.signed()
    return Merge(secondary, at, tuple([state.text() for _ in range(state.number())]))


def _put_traits(state: StateWriter, traits: dict[str, Trait], as_text: list[str]) -> None:
    """Put the keys of the readable traits by sorted name, then what the traits do not show."""
    removed: dict[str, Key] = {}
    for name, (key, value) in sorted(traits.items(), key=itemgetter(0)):
        if value is None:
            removed[name] = key
        else:
            state.key(key)
    state.number(len(removed))
    for name, key in removed.items():
        state.text(name)
        state.key(key)
    state.number(len(as_text))
    for name in as_text:
        state.text(name)


def _readable_traits(traits: dict[str, Trait]) -> tuple[dict[str, Wire], list[str]]:
    """Return the traits as the item shows them, and the names of those that it shows as JSON text."""
    shown: dict[str, Wire] = {}
    as_text: list[str] = []
    for name, (_, value) in traits.items():
        if value is None:
            continue
        if has_empty_name(value):
            shown[name] = {"S": canonical_json(value).decode()}
            as_text.append(name)
        else:
            shown[name] = to_wire(value)
    return shown, as_text


def _traits(shown: dict[str, Wire], state: StateReader) -> dict[str, Trait]:
    keys = {name: state.key() for name in sorted(shown)}
    removed = {state.text(): state.key() for _ in range(state.number())}
    as_text = {state.text() for _ in range(state.number())}
    traits: dict[str, Trait] = {
        name: (key, json_of(shown[name]["S"]) if name in as_text else from_wire(shown[name]))
        for name, key in keys.items()
    }
    traits.update((name, (key, None)) for name, key in removed.items())
    return traits


def _shown(value: Any, *, of_times: bool) -> Wire:
    if type(value) is list:
        if value and type(value[0]) is Entry:
            return {"L": [_shown_entry(one, of_times=of_times) for one in value]}
        return {"L": [_shown(one, of_times=of_times) for one in value]}
    return {"S": format_time(value)} if of_times else to_wire(value)


def _shown_entry(entry: Keyed, *, of_times: bool) -> Wire:
    key, value = entry
    return {"M": {"value": _shown(value, of_times=of_times), "at": {"S": format_time(key[0])}}}


def _value(wire: Wire, of_times: bool) -> Any:  # noqa: FBT001 - passed on for each of many values
    """Return what `_shown` showed; an entry of a list comes as ((time,), value)."""
    if "L" in wire:
        return [_value(one, of_times) for one in wire["L"]]
    if "M" in wire:
        return (_time(wire["M"]["at"]),), _value(wire["M"]["value"], of_times)
    return _time(wire) if of_times else from_wire(wire)


def _time(wire: Wire) -> int:
    time_ms = parse_time(wire["S"])
    if time_ms is None:
        raise ValueError("an item holds a time that is none")
    return time_ms


def _with_parked(item: Item, parked: Iterable[str]) -> Item:
    names = list(parked)
    if names:  # DynamoDB takes no empty set
        item[PARKED] = {"SS": names}
    return item


def _parked(item: Item) -> tuple[str, ...]:
    return tuple(sorted(item[PARKED]["SS"])) if PARKED in item else ()


def _quiet(item: Item, rev: int) -> Quiet | None:
    """Decode whether others are asked for quiet: it is a request, and one that is damaged is none."""
    for name in (CLOSED, QUIET):
        if name in item and (at := parse_time(item[name].get("S", ""))) is not None:
            return Quiet(rev, at, is_closed=name == CLOSED)
    return None


def _list_of(aggregation: Aggregation[Any], keyed: Sequence[Keyed]) -> Any:
    """Return the state of a part of a list."""
    return aggregation.add(None, [key for key, _ in keyed], [value for _, value in keyed])
