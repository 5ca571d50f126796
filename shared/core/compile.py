"""A definition, compiled: nothing is looked up per event that can be looked up per definition."""

from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from shared.core.aggregations.base import Aggregation, Key, Value
from shared.core.aggregations.registry import aggregation_of
from shared.core.definition import Definition, Path, window_days
from shared.core.event import Event, Position, corrected, message_id
from shared.core.extraction import compile_when, extractor, holds
from shared.core.identity.identifiers import (
    Identifier,
    SetAside,
    Values,
    identifier_decider,
    identifier_paths,
)
from shared.core.memory import event_hash
from shared.core.retention import DAY_MS
from shared.core.shape import Shape, Slots, tree_of, walk
from shared.core.times import parse_time
from shared.core.traits import flatten

EVENT_OVERHEAD_BYTES: Final = 512
"""Upper bound of what an event adds to the canonical form beside its values: times, counters."""
VALUE_OVERHEAD_BYTES: Final = 160
"""Upper bound of what a value adds beside its own text: a time, punctuation, 76 digits of a number."""

_text_of: Final = msgspec.json.Encoder(decimal_format="number").encode

Reading = Value | list[Value]
"""What an attribute reads from one event: a value, or several where it takes arrays."""


class Contribution(msgspec.Struct, gc=False):
    """What one event gives to a profile.

    `values` holds what each attribute of the definition read, in their order; None where that is nothing.
    `traits` is None unless the event is an `identify`. `weight` is an upper bound of the bytes by which the
    event can lengthen a profile's canonical form. `hash` is what a memory remembers of the id. `text` is the
    event's JSON, only where the builder keeps a history. Times ms UTC.
    """

    key: Key
    hash: int
    arrival: int
    identifiers: tuple[Identifier, ...]
    values: list[Reading | None]
    traits: dict[str, Any] | None
    weight: int
    position: Position
    text: bytes | None = None

    @property
    def order(self) -> tuple[int, str]:
        """Events are processed in order of arrival, then of id."""
        return (self.arrival, self.key[1])


class Dropped(NamedTuple):
    """An event that builds no profile, and why: `anonymous`, `no_identifier` or `no_known_identifier`."""

    reason: str


_STANDARD: Final[tuple[Path, ...]] = (
    ("messageId",),
    ("timestamp",),
    ("originalTimestamp",),
    ("sentAt",),
    ("receivedAt",),
    ("type",),
    ("traits",),
    ("context", "anonymous"),
)
"""What every event is read for; these have the first slots."""
_ID, _TIMESTAMP, _ORIGINAL, _SENT, _RECEIVED, _TYPE, _TRAITS, _ANONYMOUS = range(len(_STANDARD))

_DECIDED_MAX: Final = 2**17
"""Events whose identifiers are remembered as decided, by what the events say: people come back. Past it all
are forgotten, which costs less than telling who came last."""
_DECIDED_TEXT_MAX: Final = 256
"""Characters of a value that is remembered."""


class Builder:
    """A compiled definition."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.name = definition.name
        self.attributes = definition.attributes
        self.aggregations: tuple[Aggregation[Any], ...] = tuple(map(aggregation_of, definition.attributes))
        self.shows = tuple(
            (one.name, one.type == "datetime" and one.aggregation != "count", one.type == "number")
            for one in definition.attributes
        )
        """Of each attribute its name, and whether it shows times, or numbers."""
        self.known = frozenset(kind.name for kind in definition.identifiers if kind.known)
        days = window_days(definition)
        self.window_ms = None if days is None else days * DAY_MS
        """How much of the history its profile function gets, ms; None: it has none, and keeps no history."""
        self.limits = {kind.name: kind.limit for kind in definition.identifiers if kind.limit is not None}
        self._slot_of: dict[Path, int] = {}
        for path in _STANDARD:
            self._slot(path)
        self._requires_known = not definition.anonymous_profiles
        self._decide = identifier_decider(definition)
        self._decided: dict[Values, tuple[tuple[Identifier, ...], tuple[SetAside, ...]]] = {}
        self._identifier_values = _picker([self._slot(path) for path in identifier_paths(definition)])
        paths = identifier_paths(definition)
        glanced = tuple(dict.fromkeys((*paths, *_STANDARD[:2])))  # several, whatever there is to identify by
        self._identifier_shape = Shape(glanced)
        self._glanced_values = _picker([glanced.index(path) for path in paths])
        self._extract = extractor(definition.attributes, self._slot)
        self._anonymous = compile_when(definition.anonymous, self._slot)
        self._tree = tree_of(tuple(self._slot_of))
        self._shape = Shape(tuple(self._slot_of))
        self._slots = len(self._slot_of)
        longest_name = max((len(one.name.encode()) for one in definition.attributes), default=0)
        self._value_bytes = VALUE_OVERHEAD_BYTES + 6 * longest_name
        # Each byte of an event shows at most this often in a profile: once per attribute that reads
        # its path (twice for first_last), once per identifier type that does, and as a trait.
        uses = Counter(path for one in definition.attributes for path in one.paths for _ in range(2))
        uses.update(path for kind in definition.identifiers for path in kind.paths)
        self._byte_uses = 2 + max(uses.values(), default=0)

    def contribute(self, event: Event, tally: Counter[str]) -> Contribution | Dropped:
        """Return what an event gives to a profile; count in `tally` what had to be set aside or left out."""
        slots: Slots = [None] * self._slots
        walk(self._tree, event.body, slots)
        key = (event.time, event.id, 0)
        found = self._contribute(slots, key, event.arrival, event.size, event.position, tally)
        if self.window_ms is not None and type(found) is Contribution:
            found.text = _text_of(event.body)
        return found

    def read(
        self, text: bytes, arrival: int | None, position: Position, tally: Counter[str]
    ) -> Contribution | Dropped | None:
        """Return what the event in a text gives, just as decoding it whole and `contribute` would.

        None, and nothing counted, for what only decoding it whole can tell. Without an `arrival` (ms UTC) the
        event has that of `arrival_of`.
        """
        slots = self._shape.read(text)
        if slots is None:
            return None
        event_id = message_id(slots[_ID])
        if event_id is None:
            return None
        time = parse_time(slots[_TIMESTAMP])
        if arrival is None:
            arrival = parse_time(slots[_RECEIVED])
            if arrival is None:
                arrival = time
                if arrival is None:
                    return None
            received = None  # the arrival tells it, or it does not tell the arrival either
        else:
            received = slots[_RECEIVED]
        time = arrival if time is None else corrected(time, slots[_ORIGINAL], slots[_SENT], received, arrival)
        found = self._contribute(slots, (time, event_id, 0), arrival, len(text), position, tally)
        if self.window_ms is not None and type(found) is Contribution:
            found.text = text.strip()
        return found

    def identifier_values(self, text: bytes) -> Values | None:
        """Return what may tell whose the event in a text is, for a first look: it may be no event yet.

        A fraction of the work of `read`. None for what only reading it can tell.
        """
        glanced = self._identifier_shape.glance(text)
        return None if glanced is None else self._glanced_values(glanced)

    def identifiers(self, values: Values) -> tuple[Identifier, ...]:
        """Return whose an event is by its `identifier_values`; empty for nobody's."""
        return self._decide(values)[0]

    def _contribute(
        self, slots: Slots, key: Key, arrival: int, size: int, position: Position, tally: Counter[str]
    ) -> Contribution | Dropped:
        if slots[_ANONYMOUS] is True or (self._anonymous and holds(self._anonymous, slots)):
            return Dropped("anonymous")
        values_of_identifiers = self._identifier_values(slots)
        try:
            identifiers, set_aside = self._decided[values_of_identifiers]  # hot: people come back
        except (KeyError, TypeError):  # an array or an object where an identifier should be has no hash
            identifiers, set_aside = self._identifiers(values_of_identifiers)
        if set_aside:
            for one in set_aside:
                tally[f"set_aside.{one.type}.{one.reason}"] += 1
        if not identifiers:
            return Dropped("no_identifier")
        if self._requires_known and not any(one.type in self.known for one in identifiers):
            return Dropped("no_known_identifier")

        values, found = self._extract(slots, tally)
        weight = EVENT_OVERHEAD_BYTES + self._byte_uses * size + found * self._value_bytes
        traits = None
        if slots[_TYPE] == "identify":
            traits, traits_size = flatten(slots[_TRAITS], tally)
            weight += traits_size
        return Contribution(key, event_hash(key[1]), arrival, identifiers, values, traits, weight, position)

    def _identifiers(self, values: Values) -> tuple[tuple[Identifier, ...], tuple[SetAside, ...]]:
        """Decide whose an event is, and remember it for an event that says just the same."""
        decided = self._decide(values)
        # Only texts: True and 1 are equal, but not the same identifier.
        for one in values:
            if one is not None and (type(one) is not str or len(one) > _DECIDED_TEXT_MAX):
                return decided
        if len(self._decided) >= _DECIDED_MAX:
            self._decided.clear()
        self._decided[values] = decided
        return decided

    def _slot(self, path: Path) -> int:
        return self._slot_of.setdefault(path, len(self._slot_of))


def _picker(indices: list[int]) -> Callable[[Sequence[Any]], Values]:
    """Return what takes these items out of a list, as a tuple."""
    if len(indices) > 1:
        return itemgetter(*indices)
    return lambda slots: tuple([slots[index] for index in indices])
