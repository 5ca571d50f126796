"""What attributes read from an event, as code that is written for one definition.

Hot: this runs for every event, whichever way it comes. A loop over attributes, conditions and paths takes
twice as long as the same steps written out one after the other, so they are: `extractor` writes the source of
one function and compiles it. Nothing of a definition's text stands in that source, only numbers and names
made here; what the definition says is bound to the names.

It handles what nearly every event carries: texts that are plain, and values on the first path. All else is
left to the functions of `_Column`, which are the whole rule.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from shared.core.aggregations.registry import aggregation_of
from shared.core.definition import Attribute, Condition, DecimalNumber, Path, Scalar
from shared.core.shape import Slots
from shared.core.times import remembered as remembered_times
from shared.core.values import PARSERS, UNUSABLE, remembered_ips

Tally = Counter[str]
Extractor = Callable[[Slots, Tally], tuple[list[Any], int]]
"""Returns what each attribute reads from the slots, None where that is nothing; and how many values that is
at most. Counts in the tally what had to be left out."""

_REMEMBERED: Final[dict[str | None, str]] = {"datetime": "known_times", "ip": "known_ips"}
"""Value types whose parsers remember what texts they have read lately, and the name of that memory."""


class When(NamedTuple):
    """One of the conditions that must all hold: the slot's value is one of these."""

    slot: int
    texts: frozenset[str]
    others: frozenset[tuple[type, Any]]

    def holds(self, value: Any) -> bool:
        """Whether a value is one of these: True is not 1, but 1 and 1.0 are one number."""
        kind = type(value)
        if kind is str:
            return value in self.texts
        if value is None or kind is list or kind is dict:
            return False
        return _exactly(value) in self.others


class _Column(NamedTuple):
    """Attributes that read the same: they are read once."""

    slots: tuple[int, ...]
    type: str | None
    parse: Callable[[Any], Any]
    takes_arrays: bool
    numbers: tuple[int, ...]
    """Which attributes these are."""
    names: tuple[str, ...]

    def read(self, slots: Slots, tally: Tally) -> tuple[Any, int]:
        """Return what the first path with a value gives, and how many values that is at most."""
        for slot in self.slots:
            raw = slots[slot]
            if raw is None:
                continue
            if type(raw) is list and self.takes_arrays:
                parsed = [self.parse(one) for one in raw]
                self._leave_out(parsed.count(UNUSABLE), tally)
                reading = [one for one in parsed if one is not None and one is not UNUSABLE] or None
                several = len(parsed)
            else:
                reading = self.parse(raw)
                several = 1
                if reading is UNUSABLE:
                    self._leave_out(1, tally)
                    break
            if reading is not None:
                return reading, several * len(self.numbers)
        return None, 0

    def _leave_out(self, times: int, tally: Tally) -> None:
        if times:
            for name in self.names:
                tally[f"left_out.{name}"] += times


def extractor(attributes: Sequence[Attribute], slot_of: Callable[[Path], int]) -> Extractor:
    """Compile what attributes read."""
    source = _Source()
    source.attributes(attributes, slot_of)
    return source.compiled()


def compile_when(conditions: Iterable[Condition], slot_of: Callable[[Path], int]) -> tuple[When, ...]:
    """Compile conditions that must all hold."""
    return tuple(
        When(
            slot_of(one.path),
            frozenset(value for value in one.values if isinstance(value, str)),
            frozenset(_exactly(_as_decoded(value)) for value in one.values if not isinstance(value, str)),
        )
        for one in conditions
    )


def holds(conditions: tuple[When, ...], slots: Slots) -> bool:
    """Whether all conditions hold."""
    return all(one.holds(slots[one.slot]) for one in conditions)


class _Source:
    """The source of an extractor, as it is written."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._used: set[int] = set()
        self._bound: dict[str, Any] = {
            "UNUSABLE": UNUSABLE,
            "known_times": remembered_times,
            "known_ips": remembered_ips,
        }

    def compiled(self) -> Extractor:
        """Compile what has been written."""
        exec("\n".join(self._lines), self._bound)  # noqa: S102 - numbers and names of this module, nothing else
        made: Extractor = self._bound["extract"]
        return made

    def attributes(self, attributes: Sequence[Attribute], slot_of: Callable[[Path], int]) -> None:
        """Write all of it."""
        # Compiled conditions differ where those of the definition are equal in Python, as 1 and True are.
        by_when: dict[tuple[When, ...], list[int]] = {}
        for number, attribute in enumerate(attributes):
            by_when.setdefault(compile_when(attribute.when, slot_of), []).append(number)
        body: list[str] = []
        for when, numbers in by_when.items():
            steps = self._steps(_columns(attributes, numbers, slot_of))
            if when:
                body.append(f"if {' and '.join(map(self._condition, when))}:")
                steps = _indented(steps)
            body += steps
        values = ", ".join(f"v{number}" for number in range(len(attributes)))
        start = [f"s{slot} = slots[{slot}]" for slot in sorted(self._used)]
        start.append("found = 0")
        if attributes:
            start.append(" = ".join(f"v{number}" for number in range(len(attributes))) + " = None")
        self._lines = [
            "def extract(slots, tally):",
            *_indented([*start, *body, f"return [{values}], found"]),
        ]

    def _steps(self, columns: Iterable[_Column]) -> list[str]:
        steps: list[str] = []
        for column in columns:
            steps += self._step(column)
        return steps

    def _step(self, column: _Column) -> list[str]:
        """Write how a column is read, and where that goes."""
        targets = " = ".join(f"v{number}" for number in column.numbers)
        count = f"found += {len(column.numbers)}"
        if not column.slots:
            return [f"{targets} = True", count]
        raw = self._slot(column.slots[0])
        read = self._bind("read", column.read)
        whole = [f"value, many = {read}(slots, tally)", f"{targets} = value", "found += many"]
        is_there = f"elif {raw} is not None:" if len(column.slots) == 1 else "else:"
        if column.type == "string":
            # What `parse_string` takes as it is. A text that begins with a blank takes the long way.
            return [
                f'if {raw}.__class__ is str and {raw} > "!" and {raw}.isascii():',
                *_indented([f"{targets} = {raw}", count]),
                is_there,
                *_indented(whole),
            ]
        parse = self._bind("parse", column.parse)
        known = _REMEMBERED.get(column.type)
        parsed = f"None if {raw} is None or {raw}.__class__ is list else {parse}({raw})"
        steps = [
            f"value = {parsed}",
            "if value is None or value is UNUSABLE:",
            *_indented([f"value, many = {read}(slots, tally)", "found += many"]),
            "else:",
            *_indented([count]),
            f"{targets} = value",
        ]
        if known is not None:
            return [
                f"value = {known}.get({raw}) if {raw}.__class__ is str else None",
                "if value is not None:",
                *_indented([f"{targets} = value", count]),
                is_there,
                *_indented(steps),
            ]
        if len(column.slots) == 1:
            return [f"if {raw} is not None:", *_indented(steps)]
        return steps

    def _condition(self, one: When) -> str:
        value = self._slot(one.slot)
        if len(one.texts) == 1 and not one.others:
            return f"{value} == {self._bind('text', next(iter(one.texts)))}"
        return f"{self._bind('holds', one.holds)}({value})"

    def _slot(self, slot: int) -> str:
        self._used.add(slot)
        return f"s{slot}"

    def _bind(self, what: str, value: Any) -> str:
        name = f"{what}_{len(self._bound)}"
        self._bound[name] = value
        return name


def _columns(
    attributes: Sequence[Attribute], numbers: Iterable[int], slot_of: Callable[[Path], int]
) -> list[_Column]:
    """Put attributes that read the same into one column."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for number in numbers:
        attribute = attributes[number]
        takes_arrays = aggregation_of(attribute).takes_arrays
        alike.setdefault((attribute.paths, attribute.type, takes_arrays), []).append(number)
    return [
        _Column(
            tuple(map(slot_of, paths)),
            value_type,
            PARSERS[value_type] if value_type else _anything,
            takes_arrays,
            tuple(same),
            tuple(attributes[number].name for number in same),
        )
        for (paths, value_type, takes_arrays), same in alike.items()
    ]


def _anything(value: Any) -> Any:
    """Read whatever is there, but not a blank: what a count without a type counts."""
    return None if isinstance(value, str) and not value.strip() else True


def _exactly(value: Any) -> tuple[type, Any]:
    """Return what makes values equal that are no text: True is not 1, but 1 and 1.0 are one number."""
    return (bool if type(value) is bool else Decimal, value)


def _as_decoded(value: Scalar) -> Any:
    """Return a value of the definition as an event's JSON would carry it: numbers are int or Decimal."""
    return value.decimal if isinstance(value, DecimalNumber) else value


def _indented(lines: Iterable[str]) -> list[str]:
    return ["    " + line for line in lines]
