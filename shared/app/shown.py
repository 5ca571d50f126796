"""Profiles as they are shown: what their canonical form says, taken apart again, with numbers exact."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from shared.core.identity.identifiers import Identifier
from shared.core.values import number_text

_KITHS: Final = ("profile_id", "created_at", "updated_at")
SECTIONS: Final = ("identifiers", "traits", "attributes")

_DECODE: Final = msgspec.json.Decoder(float_hook=Decimal).decode

Shown = Mapping[str, Any]
"""A profile as its canonical form has it; numbers are int or Decimal."""


def shown_of(canonical: bytes) -> Shown:
    """Return what a canonical form says."""
    shown: Shown = _DECODE(canonical)
    return shown


def masked(shown: Shown, mask: Callable[[str], str]) -> Shown:
    """Return a profile in which nothing is seen that must not be; what Kith itself says stays.

    A number that holds what must not be seen becomes text.
    """
    return {
        name: value
        if name in _KITHS
        else {key: _masked(one, mask) for key, one in value.items()}
        if name in ("identifiers", "attributes")
        else _masked(value, mask)
        for name, value in shown.items()
    }


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(key): _masked(one, mask) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one, mask) for one in value]
    if type(value) is int or type(value) is Decimal:
        text = number_text(value)
        return value if mask(text) == text else mask(text)
    return value


def identifiers_of(shown: Shown) -> frozenset[Identifier]:
    """Return the identifiers of a profile."""
    return frozenset(
        Identifier(kind, value) for kind, values in shown["identifiers"].items() for value in values
    )


def values_of(shown: Shown | None) -> dict[str, Any]:
    """Return all values of a profile but its id, by names like `attributes.orders`; none of no profile."""
    if shown is None:
        return {}
    values = {name: value for name, value in shown.items() if name not in (*SECTIONS, "profile_id")}
    for section in SECTIONS:
        values |= {f"{section}.{name}": value for name, value in shown[section].items()}
    return values


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names of the values that differ, sorted."""
    return [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
