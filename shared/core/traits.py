"""Traits: what `identify` events say of a person.

Nested objects collect by dotted name, arrays whole, null removes, the last by event time wins. A trait that
cannot be kept exactly is left out, and its neighbours stay.
"""

from collections import Counter
from decimal import Decimal
from typing import Any, Final

from shared.core.aggregations.base import Key
from shared.core.canonical import canonical_json
from shared.core.values import PARSERS, UNUSABLE

NAME_BYTES_MAX: Final = 256
DEPTH_MAX: Final = 16
"""Nesting of objects and arrays; DynamoDB takes 32 levels, some of which the item itself needs."""
ENTRY_OVERHEAD_BYTES: Final = 8

Trait = tuple[Key, Any]
"""(key of the event that set it, JSON value); the value None says that it was removed."""


class _LeftOutError(Exception):
    """This trait cannot be kept; the argument is the reason."""


def flatten(traits: Any, tally: Counter[str]) -> tuple[dict[str, Any], int]:
    """Return the traits by dotted name, and an upper bound of their canonical bytes.

    What is left out is counted in `tally` by reason.
    """
    flat: dict[str, Any] = {}
    if type(traits) is not dict:
        if traits is not None:
            tally["left_out.traits.wrong_type"] += 1
        return flat, 0
    _collect(traits, "", 0, flat, tally)
    size = sum(len(canonical_json({name: value})) + ENTRY_OVERHEAD_BYTES for name, value in flat.items())
    return flat, size


def _collect(
    traits: dict[str, Any], prefix: str, depth: int, flat: dict[str, Any], tally: Counter[str]
) -> None:
    # In order of their names, for `{"a": {"b": 1}, "a.b": 2}` says the same however it is written.
    for key, value in sorted(traits.items(), key=_name):
        name = prefix + key
        if not key or len(name.encode()) > NAME_BYTES_MAX:
            tally["left_out.traits.name"] += 1
        elif type(value) is dict and not value:  # so is a text with half a surrogate pair read
            tally["left_out.traits.empty"] += 1
        elif type(value) is dict and depth < DEPTH_MAX:
            _collect(value, name + ".", depth + 1, flat, tally)
        else:
            try:
                flat[name] = _kept(value, 0)
            except _LeftOutError as error:
                tally[f"left_out.traits.{error}"] += 1


def _kept(value: Any, depth: int) -> Any:
    """Return the value with its numbers canonical."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int or kind is Decimal:
        number = PARSERS["number"](value)
        if number is UNUSABLE:
            raise _LeftOutError("number")
        return number
    if depth >= DEPTH_MAX:
        raise _LeftOutError("too_deep")
    if kind is list:
        return [_kept(one, depth + 1) for one in value]
    if kind is dict:
        return {key: _kept(one, depth + 1) for key, one in value.items()}
    raise _LeftOutError("wrong_type")


def _name(item: tuple[str, Any]) -> str:
    return item[0]


def _text(trait: Trait) -> bytes:
    return canonical_json(trait[1])


def merge(a: dict[str, Trait], b: dict[str, Trait]) -> dict[str, Trait]:
    """Put the traits of `b` over those of `a` where they are later; changes and returns `a`."""
    for name, trait in b.items():
        mine = a.get(name)
        if mine is None or trait[0] > mine[0] or (trait[0] == mine[0] and _text(trait) > _text(mine)):
            a[name] = trait
    return a
