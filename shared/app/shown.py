"""Profiles as they are shown: what their canonical form says, taken apart again, with numbers exact."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from shared.core.identity.identifiers import Identifier

SECTIONS: Final = ("identifiers", "traits", "attributes")

_DECODE: Final = msgspec.json.Decoder(float_hook=Decimal).decode

Shown = Mapping[str, Any]
"""A profile as its canonical form has it; numbers are int or Decimal."""


def shown_of(canonical: bytes) -> Shown:
    """Return what a canonical form says."""
    shown: Shown = _DECODE(canonical)
    return shown


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
