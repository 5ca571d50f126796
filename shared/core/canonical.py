"""Canonical form: the one text that a profile has, however it came to be.

Keys sorted, UTF-8, no blanks, numbers without exponent or trailing zeros, times in milliseconds UTC with Z.
"""

from decimal import Decimal
from typing import Any, Final

import msgspec

from shared.core.values import number_text

encode: Final = msgspec.json.Encoder(order="sorted").encode
"""Writes the canonical JSON of what `plain` returns."""
_INT64: Final = 2**63


def plain(value: Any) -> Any:
    """Replace the numbers in a JSON value that the encoder would not write plainly by their text."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else msgspec.Raw(str(value).encode())
    if kind is Decimal:
        return msgspec.Raw(number_text(value).encode())
    if kind is dict:
        return {name: one if type(one) is str else plain(one) for name, one in value.items()}
    if kind is list or kind is tuple:
        # Hot: most lists hold nothing but text.
        return value if all(type(one) is str for one in value) else [plain(one) for one in value]
    raise TypeError(f"{kind.__name__} has no canonical form")


def canonical_json(value: Any) -> bytes:
    """Return the canonical JSON of a JSON value whose numbers are int or canonical Decimal."""
    return encode(plain(value))
