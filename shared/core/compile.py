"""A definition, compiled: nothing is looked up per event that can be looked up per definition."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from shared.core.aggregations.base import Aggregation, Key, Value
from shared.core.aggregations.registry import aggregation_of
from shared.core.definition import Attribute, Condition, Definition, Path, Scalar
from shared.core.event import Event, Position
from shared.core.identity.identifiers import Identifier, identifier_reader
from shared.core.memory import event_hash
from shared.core.traits import flatten
from shared.core.values import PARSERS, UNUSABLE

EVENT_OVERHEAD_BYTES: Final = 512
"""Upper bound of what an event adds to the canonical form beside its values: times, counters."""
VALUE_OVERHEAD_BYTES: Final = 160
"""Upper bound of what a value adds beside its own text: a time, punctuation, 76 digits of a number."""

Reading = Value | list[Value]
"""What an attribute reads from one event: a value, or several where it takes arrays."""


class Contribution(msgspec.Struct, gc=False):
    """What one event gives to a profile.

    `values` holds what each attribute of the definition read, in their order; None where that is nothing.
    `traits` is None unless the event is an `identify`. `weight` is an upper bound of the bytes by which the
    event can lengthen a profile's canonical form. `hash` is what a memory remembers of the id. Times ms UTC.
    """

    key: Key
    hash: int
    arrival: int
    identifiers: tuple[Identifier, ...]
    values: list[Reading | None]
    traits: dict[str, Any] | None
    weight: int
    position: Position

    @property
    def order(self) -> tuple[int, str]:
        """Events are processed in order of arrival, then of id."""
        return (self.arrival, self.key[1])


class Dropped(NamedTuple):
    """An event that builds no profile, and why: `anonymous`, `no_identifier` or `no_known_identifier`."""

    reason: str


_Column = tuple[int, tuple[int, ...], Callable[[Any], Any], bool, str]
"""(number of the attribute, slots of its paths, parser, whether it takes arrays, its counter of left out)"""

_When = tuple[tuple[int, frozenset[tuple[type, Any]]], ...]
"""All must hold: the slot's value is one of these."""


class _Group(NamedTuple):
    """Columns under the same `when`: it is decided once for all of them."""

    when: _When
    columns: tuple[_Column, ...]


_Branch = tuple[tuple[str, int, Any], ...]
"""A level of the tree of paths: (key, slot or -1, next level or None)."""


class Builder:
    """A compiled definition."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.name = definition.name
        self.attributes = definition.attributes
        self.aggregations: tuple[Aggregation[Any], ...] = tuple(map(aggregation_of, definition.attributes))
        self.priority = {kind.name: rank for rank, kind in enumerate(definition.identifiers)}
        self.known = frozenset(kind.name for kind in definition.identifiers if kind.known)
        self.limits = {kind.name: kind.limit for kind in definition.identifiers if kind.limit is not None}
        self._read_identifiers = identifier_reader(definition)
        self._slot_of: dict[Path, int] = {}
        self._groups = self._group_columns()
        self._anonymous = self._compile_when(definition.anonymous)
        self._tree = _tree_of(self._slot_of)
        self._slots = len(self._slot_of)
        longest_name = max((len(one.name.encode()) for one in definition.attributes), default=0)
        self._value_bytes = VALUE_OVERHEAD_BYTES + 6 * longest_name
        # Each byte of an event shows at most this often in a profile: once per attribute that reads
        # its path (twice for first_last), as a trait, and as an identifier.
        uses = Counter(path for one in definition.attributes for path in one.paths for _ in range(2))
        self._byte_uses = 2 + max(uses.values(), default=0)

    def contribute(self, event: Event, tally: Counter[str]) -> Contribution | Dropped:
        """Return what an event gives to a profile; count in `tally` what had to be set aside or left out."""
        body = event.body
        slots: list[Any] = [None] * self._slots
        _walk(self._tree, body, slots)
        if self._is_anonymous(body, slots):
            return Dropped("anonymous")
        identifiers, set_aside = self._read_identifiers(body)
        for one in set_aside:
            tally[f"set_aside.{one.type}.{one.reason}"] += 1
        if not identifiers:
            return Dropped("no_identifier")
        if not self.definition.anonymous_profiles and not any(one.type in self.known for one in identifiers):
            return Dropped("no_known_identifier")

        values, found = self._readings(slots, tally)
        weight = EVENT_OVERHEAD_BYTES + self._byte_uses * event.size
        weight += found * self._value_bytes
        traits = None
        if body.get("type") == "identify":
            traits, size = flatten(body.get("traits"), tally)
            weight += size
        return Contribution(
            (event.time, event.id, 0),
            event_hash(event.id),
            event.arrival,
            identifiers,
            values,
            traits,
            weight,
            event.position,
        )

    def _readings(self, slots: list[Any], tally: Counter[str]) -> tuple[list[Reading | None], int]:
        """Return what each attribute reads, and how many values that is at most."""
        readings: list[Reading | None] = [None] * len(self.attributes)
        found = 0
        for when, columns in self._groups:
            if when and not _holds(when, slots):
                continue
            # Hot: most attributes have one path, and most values are there and plain.
            for number, column_slots, parse, takes_arrays, left_out in columns:
                for slot in column_slots:
                    raw = slots[slot]
                    if raw is None:
                        continue
                    if type(raw) is list:
                        reading = _elements(raw, parse, takes_arrays, left_out, tally)
                        found += len(raw)
                    else:
                        reading = parse(raw)
                    if reading is None:
                        continue
                    if reading is UNUSABLE:
                        tally[left_out] += 1
                    else:
                        readings[number] = reading
                        found += 1
                    break
                else:
                    if not column_slots:
                        readings[number] = True
                        found += 1
        return readings, found

    def _is_anonymous(self, body: dict[str, Any], slots: list[Any]) -> bool:
        context = body.get("context")
        if type(context) is dict and context.get("anonymous") is True:
            return True
        return bool(self._anonymous) and _holds(self._anonymous, slots)

    def _slot(self, path: Path) -> int:
        return self._slot_of.setdefault(path, len(self._slot_of))

    def _compile_when(self, conditions: tuple[Condition, ...]) -> _When:
        return tuple(
            (self._slot(one.path), frozenset(map(_exactly, map(_as_decoded, one.values))))
            for one in conditions
        )

    def _group_columns(self) -> tuple[_Group, ...]:
        groups: dict[tuple[Condition, ...], list[_Column]] = {}
        for index, attribute in enumerate(self.attributes):
            groups.setdefault(attribute.when, []).append(self._column(index, attribute))
        return tuple(_Group(self._compile_when(when), tuple(columns)) for when, columns in groups.items())

    def _column(self, index: int, attribute: Attribute) -> _Column:
        parse = PARSERS[attribute.type] if attribute.type else _anything
        slots = tuple(self._slot(path) for path in attribute.paths)
        takes_arrays = self.aggregations[index].takes_arrays
        return index, slots, parse, takes_arrays, f"left_out.{attribute.name}"


def _anything(value: Any) -> Any:
    """Read whatever is there, but not a blank: what a count without a type counts."""
    return None if isinstance(value, str) and not value.strip() else True


def _elements(
    raw: list[Any],
    parse: Callable[[Any], Any],
    takes_arrays: bool,  # noqa: FBT001 - a column's own fields, in their order
    left_out: str,
    tally: Counter[str],
) -> Any:
    """Return the usable elements of an array, None where there are none."""
    if not takes_arrays:
        return True if parse is _anything else UNUSABLE
    readings = []
    for element in raw:
        reading = parse(element)
        if reading is UNUSABLE:
            tally[left_out] += 1
        elif reading is not None:
            readings.append(reading)
    return readings or None


def _exactly(value: Any) -> tuple[type, Any]:
    """Return what makes values equal: True is not 1 and "1" is not 1, but 1 and 1.0 are one number."""
    kind = type(value)
    return (kind if kind is bool or kind is str else Decimal, value)


def _as_decoded(value: Scalar) -> Any:
    """Return a value of the definition as an event's JSON would carry it: 0.1 is exactly that."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def _holds(when: _When, slots: list[Any]) -> bool:
    for slot, values in when:
        value = slots[slot]
        kind = type(value)
        if value is None or kind is list or kind is dict:
            return False
        if _exactly(value) not in values:
            return False
    return True


def _tree_of(slots: dict[Path, int]) -> _Branch:
    """Arrange paths as a tree, so that each container of an event is looked up once."""
    children: dict[str, dict[Path, int]] = {}
    own: dict[str, int] = {}
    for path, slot in slots.items():
        head, rest = path[0], path[1:]
        children.setdefault(head, {})
        if rest:
            children[head][rest] = slot
        else:
            own[head] = slot
    return tuple(
        (head, own.get(head, -1), _tree_of(below) if below else None) for head, below in children.items()
    )


def _walk(branch: _Branch, container: dict[str, Any], slots: list[Any]) -> None:
    for key, slot, below in branch:
        value = container.get(key)
        if value is None:
            continue
        if slot >= 0:
            slots[slot] = value
        if below is not None and type(value) is dict:
            _walk(below, value, slots)
