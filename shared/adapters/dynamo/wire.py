"""DynamoDB's wire format, by hand: `{"S": ...}` and its kin, from plain values and back.

boto3's TypeSerializer takes ten times as long; items are marshalled for every write.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from shared.core.values import Number, canonical_number, number_text

Wire = dict[str, Any]
"""One value on the wire: a dict of one type letter and what it holds."""
Item = dict[str, Wire]
"""A whole item on the wire."""


def to_wire(value: Any) -> Wire:  # noqa: PLR0911 - one return per type
    """Return a JSON value, or bytes, as DynamoDB takes it. Numbers are int or finite Decimal."""
    kind = type(value)
    if kind is str:
        return {"S": value}
    if kind is bool:
        return {"BOOL": value}
    if kind is int or kind is Decimal:
        return {"N": number_text(value)}
    if kind is list or kind is tuple:
        return {"L": [to_wire(one) for one in value]}
    if kind is dict:
        return {"M": {name: to_wire(one) for name, one in value.items()}}
    if value is None:
        return {"NULL": True}
    if kind is bytes:
        return {"B": value}
    raise TypeError(f"DynamoDB holds no {kind.__name__}")


def from_wire(wire: Mapping[str, Any]) -> Any:
    """Return the plain value, numbers in canonical form. Raises ValueError for sets: no value is one."""
    for letter, value in wire.items():
        if letter in {"S", "BOOL", "B"}:
            return value
        if letter == "N":
            return from_number(value)
        if letter == "L":
            return [from_wire(one) for one in value]
        if letter == "M":
            return {name: from_wire(one) for name, one in value.items()}
        if letter == "NULL":
            return None
    raise ValueError(f"unknown wire type {sorted(wire)}")


def from_number(text: str) -> Number:
    """Return the canonical number that DynamoDB's text of a number stands for."""
    try:
        return int(text)
    except ValueError:
        return canonical_number(Decimal(text))
