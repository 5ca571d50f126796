"""A definition, compiled: nothing is looked up per event that can be looked up per definition."""

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from shared.core.aggregations.base import Aggregation, Key, Value
from shared.core.aggregations.registry import aggregation_of
from shared.core.definition import Condition, DecimalNumber, Definition, Path, Scalar, window_days
from shared.core.event import Event, Position, corrected, message_id
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
from shared.core.values import PARSERS, UNUSABLE, parse_string

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


class _Column(NamedTuple):
    """Attributes that read the same: they are read once."""

    slots: tuple[int, ...]
    parse: Callable[[Any], Any]
    takes_arrays: bool
    numbers: tuple[int, ...]
    """Which attributes these are."""


class _When(NamedTuple):
    """One of the conditions that must all hold: the slot's value is one of these."""

    slot: int
    texts: frozenset[str]
    others: frozenset[tuple[type, Any]]


class _Group(NamedTuple):
    """What is read under the same `when`: it is decided once for all of it."""

    when: tuple[_When, ...]
    counts: tuple[int, ...]
    """Attributes that read nothing."""
    columns: tuple[tuple[int, bool, bool, Callable[[Any], Any], tuple[int, ...], _Column], ...]
    """(first slot, whether it reads text, whether there is no other slot, parser, attributes, all of it)."""


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
        self.known = frozenset(kind.name for kind in definition.identifiers if kind.known)
        days = window_days(definition)
        self.window_ms = None if days is None else days * DAY_MS
        """How much of the history its profile function gets, ms; None: it has none, and keeps no history."""
        self.limits = {kind.name: kind.limit for kind in definition.identifiers if kind.limit is not None}
        self._slot_of: dict[Path, int] = {}
        for path in _STANDARD:
            self._slot(path)
        self._decide = identifier_decider(definition)
        self._decided: dict[Values, tuple[tuple[Identifier, ...], tuple[SetAside, ...]]] = {}
        self._identifier_values = _picker([self._slot(path) for path in identifier_paths(definition)])
        paths = identifier_paths(definition)
        glanced = tuple(dict.fromkeys((*paths, *_STANDARD[:2])))  # several, whatever there is to identify by
        self._identifier_shape = Shape(glanced)
        self._glanced_values = _picker([glanced.index(path) for path in paths])
        self._groups = self._group_columns()
        self._anonymous = self._compile_when(definition.anonymous)
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
        if slots[_ANONYMOUS] is True or (self._anonymous and _holds(self._anonymous, slots)):
            return Dropped("anonymous")
        identifiers, set_aside = self._identifiers(self._identifier_values(slots))
        for one in set_aside:
            tally[f"set_aside.{one.type}.{one.reason}"] += 1
        if not identifiers:
            return Dropped("no_identifier")
        if not self.definition.anonymous_profiles and not any(one.type in self.known for one in identifiers):
            return Dropped("no_known_identifier")

        values: list[Reading | None] = [None] * len(self.attributes)
        found = self._fill(values, slots, tally)
        weight = EVENT_OVERHEAD_BYTES + self._byte_uses * size + found * self._value_bytes
        traits = None
        if slots[_TYPE] == "identify":
            traits, traits_size = flatten(slots[_TRAITS], tally)
            weight += traits_size
        return Contribution(key, event_hash(key[1]), arrival, identifiers, values, traits, weight, position)

    def _identifiers(self, values: Values) -> tuple[tuple[Identifier, ...], tuple[SetAside, ...]]:
        """Decide whose an event is, or remember it from an event that said just the same."""
        try:
            decided = self._decided.get(values)
        except TypeError:  # an array or an object where an identifier should be
            return self._decide(values)
        if decided is None:
            decided = self._decide(values)
            # Only texts: True and 1 are equal, but not the same identifier.
            if all(one is None or (type(one) is str and len(one) <= _DECIDED_TEXT_MAX) for one in values):
                if len(self._decided) >= _DECIDED_MAX:
                    self._decided.clear()
                self._decided[values] = decided
        return decided

    def _fill(self, readings: list[Reading | None], slots: Slots, tally: Counter[str]) -> int:
        """Fill in what each attribute reads; return how many values that is at most."""
        found = 0
        for when, counts, columns in self._groups:
            if when and not _holds(when, slots):
                continue
            for number in counts:
                readings[number] = True
            found += len(counts)
            # Hot: most values are plain, and stand on the first path. The others are for `_fill_column`.
            for slot, is_text, is_alone, parse, numbers, column in columns:
                raw = slots[slot]
                if raw is None:
                    if is_alone:
                        continue
                    reading: Any = None
                elif is_text and type(raw) is str and raw.isascii() and raw and not raw.isspace():
                    reading = raw  # as `parse` would have it
                else:
                    reading = None if type(raw) is list else parse(raw)
                if reading is None or reading is UNUSABLE:
                    found += self._fill_column(column, readings, slots, tally)
                    continue
                for number in numbers:
                    readings[number] = reading
                    found += 1
        return found

    def _fill_column(
        self, column: _Column, readings: list[Reading | None], slots: Slots, tally: Counter[str]
    ) -> int:
        """Fill in what the first path with a value gives; return how many values that is at most."""
        for slot in column.slots:
            raw = slots[slot]
            if raw is None:
                continue
            if type(raw) is list and column.takes_arrays:
                parsed = [column.parse(one) for one in raw]
                self._leave_out(column.numbers, parsed.count(UNUSABLE), tally)
                reading = [one for one in parsed if one is not None and one is not UNUSABLE] or None
                several = len(parsed)
            else:
                reading = column.parse(raw)
                several = 1
                if reading is UNUSABLE:
                    self._leave_out(column.numbers, 1, tally)
                    break
            if reading is not None:
                for number in column.numbers:
                    readings[number] = reading
                return several * len(column.numbers)
        return 0

    def _leave_out(self, numbers: tuple[int, ...], times: int, tally: Counter[str]) -> None:
        if times:
            for number in numbers:
                tally[f"left_out.{self.attributes[number].name}"] += times

    def _slot(self, path: Path) -> int:
        return self._slot_of.setdefault(path, len(self._slot_of))

    def _compile_when(self, conditions: tuple[Condition, ...]) -> tuple[_When, ...]:
        return tuple(
            _When(
                self._slot(one.path),
                frozenset(value for value in one.values if isinstance(value, str)),
                frozenset(_exactly(_as_decoded(value)) for value in one.values if not isinstance(value, str)),
            )
            for one in conditions
        )

    def _group_columns(self) -> tuple[_Group, ...]:
        # Compiled conditions differ where those of the definition are equal in Python, as 1 and True are.
        by_when: dict[tuple[_When, ...], list[int]] = {}
        for number, attribute in enumerate(self.attributes):
            by_when.setdefault(self._compile_when(attribute.when), []).append(number)
        return tuple(self._group(when, numbers) for when, numbers in by_when.items())

    def _group(self, when: tuple[_When, ...], numbers: list[int]) -> _Group:
        alike: dict[tuple[Any, ...], list[int]] = {}
        for number in numbers:
            attribute = self.attributes[number]
            takes_arrays = self.aggregations[number].takes_arrays
            alike.setdefault((attribute.paths, attribute.type, takes_arrays), []).append(number)
        columns = [
            _Column(
                tuple(map(self._slot, paths)),
                PARSERS[value_type] if value_type else _anything,
                takes_arrays,
                tuple(same),
            )
            for (paths, value_type, takes_arrays), same in alike.items()
        ]
        return _Group(
            when,
            tuple(number for one in columns if not one.slots for number in one.numbers),
            tuple(
                (
                    one.slots[0],
                    one.parse is parse_string,
                    len(one.slots) == 1,
                    one.parse,
                    one.numbers,
                    one,
                )
                for one in columns
                if one.slots
            ),
        )


def _picker(indices: list[int]) -> Callable[[Sequence[Any]], Values]:
    """Return what takes these items out of a list, as a tuple."""
    if len(indices) > 1:
        return itemgetter(*indices)
    return lambda slots: tuple([slots[index] for index in indices])


def _anything(value: Any) -> Any:
    """Read whatever is there, but not a blank: what a count without a type counts."""
    return None if isinstance(value, str) and not value.strip() else True


def _exactly(value: Any) -> tuple[type, Any]:
    """Return what makes values equal that are no text: True is not 1, but 1 and 1.0 are one number."""
    return (bool if type(value) is bool else Decimal, value)


def _as_decoded(value: Scalar) -> Any:
    """Return a value of the definition as an event's JSON would carry it: numbers are int or Decimal."""
    return value.decimal if isinstance(value, DecimalNumber) else value


def _holds(conditions: tuple[_When, ...], slots: Slots) -> bool:
    for slot, texts, others in conditions:
        value = slots[slot]
        kind = type(value)
        if kind is str:
            if value not in texts:
                return False
        elif not others or value is None or kind is list or kind is dict or _exactly(value) not in others:
            return False
    return True
