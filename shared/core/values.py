"""The values that attributes hold, read from the JSON values that events carry.

One parser per value type. A parser returns

    a Value    canonical: two JSON values that mean the same give equal values of the same type
    None       no value: absent, null, or a blank string
    UNUSABLE   anything else; the attribute is left out of this event, and that is counted

and never raises, whatever it is given.
"""

import re
from collections.abc import Callable
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation
from enum import Enum
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from shared.core.aggregations.base import Value
from shared.core.definition import ValueType
from shared.core.times import parse_time

DIGITS_MAX: Final = 38
"""Significant digits of a number: what DynamoDB can hold."""
EXPONENT_MIN: Final = -20
EXPONENT_MAX: Final = 37
"""Bounds of a normalised number's exponent; with them every sum is exact and of bounded size."""
NUMBER_TEXT_LENGTH_MAX: Final = 1000
EXPONENT_TEXT_MAX: Final = 100
"""Zeros that the text of a number may have in the place of an exponent: what is written short stays short."""
"""Characters of a JSON number where a string is wanted."""
IP_LENGTH_MAX: Final = 45
"""Characters of the longest way to write an IP address."""

EXACT: Final = Context(prec=2000, traps=[Inexact, InvalidOperation])
"""Arithmetic that never rounds: it raises instead, and no sum of values within the bounds comes near.

Everything decimal goes through a context of this module: operators take the thread's, which rounds
at 28 digits unless somebody changed it.
"""

_NUMBER: Final = Context(prec=DIGITS_MAX, traps=[Inexact, InvalidOperation])
_UNTRAPPED: Final = Context(traps=[])
_SMALL: Final = 10**DIGITS_MAX
_BITS_MAX: Final = (10 ** (DIGITS_MAX + EXPONENT_MAX)).bit_length()
_NUMBER_TEXT: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

remembered_ips: Final[dict[str, str]] = {}
"""Texts of addresses read lately, and what they are; all are forgotten at once, as in `times.py`."""
_IPS_REMEMBERED: Final = 4096

Number = int | Decimal


class Unusable(Enum):
    """The type of `UNUSABLE`."""

    UNUSABLE = "unusable"


UNUSABLE: Final = Unusable.UNUSABLE
"""What a parser returns for a value that is there but cannot be used."""

Parsed = Value | None | Unusable
Parser = Callable[[Any], Parsed]


def canonical_number(number: Number) -> Number:
    """Return the one form of a finite number: an int when integral (-0 is 0), else a normalised Decimal."""
    if type(number) is int:
        return number
    normalised = EXACT.normalize(number)
    return int(normalised) if _exponent(normalised) >= 0 else normalised


def number_text(number: Number) -> str:
    """Return a canonical number in plain digits: no exponent, no trailing zeros."""
    return str(number) if type(number) is int else format(number, "f")


def parse_string(value: Any) -> Parsed:
    """Take strings as they are, and numbers by their JSON text with any exponent written out."""
    if type(value) is str:
        if not value or value.isspace():
            return None
        return value if value.isascii() or _is_encodable(value) else UNUSABLE
    if value is None:
        return None
    if type(value) is int:
        # Python refuses to write integers of thousands of digits; 10 bits are more than 3 digits.
        return str(value) if value.bit_length() <= NUMBER_TEXT_LENGTH_MAX * 3 else UNUSABLE
    if type(value) is float:
        value = Decimal(repr(value))
    return _decimal_text(value) if type(value) is Decimal else UNUSABLE


def parse_number(value: Any) -> Parsed:
    """Take JSON numbers and decimal strings, never booleans.

    Beyond 38 significant digits, or an exponent outside -20..37 once normalised, a number is unusable.
    """
    if type(value) is int:
        return value if -_SMALL < value < _SMALL else _bounded_int(value)
    if type(value) is Decimal:
        return _bounded_decimal(value)
    if type(value) is str:
        text = value.strip()
        if not text:
            return None
        return _bounded_decimal(Decimal(text, _UNTRAPPED)) if _NUMBER_TEXT.fullmatch(text) else UNUSABLE
    if type(value) is float:
        return _bounded_decimal(Decimal(repr(value)))
    return None if value is None else UNUSABLE


def parse_boolean(value: Any) -> Parsed:
    """Take JSON booleans, and the strings `true` and `false` in any case; never 0 and 1."""
    if value is True or value is False or value is None:
        return value
    if type(value) is not str:
        return UNUSABLE
    text = value.strip().lower()
    if not text:
        return None
    return True if text == "true" else False if text == "false" else UNUSABLE


def parse_datetime(value: Any) -> Parsed:
    """Take whatever `parse_time` reads; the value is ms UTC."""
    time_ms = parse_time(value)
    if time_ms is not None:
        return time_ms
    return None if value is None or (type(value) is str and not value.strip()) else UNUSABLE


def parse_ip(value: Any) -> Parsed:
    """Take the text of IPv4 and IPv6 addresses without a zone; the value is the canonical text."""
    if type(value) is not str:
        return None if value is None else UNUSABLE
    known = remembered_ips.get(value)
    if known is not None:
        return known
    text = value.strip()
    if not text:
        return None
    canonical = _canonical_ip(text) if len(text) <= IP_LENGTH_MAX else UNUSABLE
    if canonical is not UNUSABLE and len(value) <= IP_LENGTH_MAX:
        if len(remembered_ips) >= _IPS_REMEMBERED:
            remembered_ips.clear()
        remembered_ips[value] = canonical
    return canonical


PARSERS: Final[dict[ValueType, Parser]] = {
    "string": parse_string,
    "number": parse_number,
    "boolean": parse_boolean,
    "datetime": parse_datetime,
    "ip": parse_ip,
}


_SHORT: Final = 20
"""A number with a decimal point that is written in so many characters is within all bounds."""


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - callers pass finite numbers; others have a letter here
    return exponent


def _bounded_int(number: int) -> Number | Unusable:
    # The check on bits comes first: turning an integer of a million digits into decimals takes minutes.
    return _bounded_decimal(Decimal(number)) if number.bit_length() <= _BITS_MAX else UNUSABLE


def _bounded_decimal(number: Decimal) -> Number | Unusable:
    # Hot: most are amounts, short and with a last decimal that is not 0. They are canonical as they are.
    text = str(number)
    if len(text) <= _SHORT and text[-1] != "0" and "." in text and "E" not in text:
        return number
    if not number.is_finite():
        return UNUSABLE
    if not number:
        return 0
    try:
        normalised = _NUMBER.normalize(number)
    except DecimalException:  # over 38 digits, or an exponent beyond all reason
        return UNUSABLE
    exponent = _exponent(normalised)
    if not EXPONENT_MIN <= exponent <= EXPONENT_MAX:
        return UNUSABLE
    return int(normalised) if exponent >= 0 else normalised


def _decimal_text(number: Decimal) -> str | Unusable:
    if not number.is_finite():
        return UNUSABLE
    # Judged before writing: 1E+999999999 has a billion digits.
    if abs(number.adjusted()) > EXPONENT_TEXT_MAX or abs(_exponent(number)) > NUMBER_TEXT_LENGTH_MAX:
        return UNUSABLE
    return format(number, "f")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: no store and no reader takes it
        return False
    return True


def _canonical_ip(text: str) -> str | Unusable:
    if "%" in text:  # a zone means something on one machine only
        return UNUSABLE
    try:
        address = ip_address(text)
    except ValueError:
        return UNUSABLE
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        # As RFC 5952 has it; Python itself changed its mind in 3.13.
        return f"::ffff:{address.ipv4_mapped}"
    return str(address)
