"""Values that DynamoDB does not take as they are, and stand as JSON text in its place."""

from decimal import Decimal
from typing import Any, Final

import msgspec

from shared.core.values import canonical_number

_JSON: Final = msgspec.json.Decoder(float_hook=lambda text: canonical_number(Decimal(text)))
"""Reads numbers exactly."""


def has_empty_name(value: Any) -> bool:
    """Whether an object in there has an empty name, which DynamoDB does not take."""
    if type(value) is list:
        return any(map(has_empty_name, value))
    return type(value) is dict and ("" in value or any(map(has_empty_name, value.values())))


def json_of(text: str) -> Any:
    """Return the value of a JSON text, numbers in canonical form."""
    return _JSON.decode(text)
