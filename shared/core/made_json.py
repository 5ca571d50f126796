"""JSON of what user code made: always whole, and with numbers that can be kept.

Decimals that are no numbers become null, as floats do. Numbers are rounded to as many decimals as values
have, for a quotient has more (28 digits, of a Decimal) and would else be unusable. Half goes to even.
"""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import msgspec

from shared.core.values import EXPONENT_MIN, canonical_number

# Sets have no order of their own, and that of their hashes differs from process to process.
_encode: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode
_DECIMALS: Final = re.compile(rb"\.[0-9]{%d}" % (1 - EXPONENT_MIN))
_EXPONENT: Final = re.compile(rb"(?:^|[:,\[])-?[0-9.]+[eE]-")
"""What a number of too many decimals has in it, or before it; other text may, too."""
_TOKEN: Final = re.compile(
    rb'"[^"\\]*(?:\\.[^"\\]*)*"|(?P<none>-?(?:s?NaN[0-9]*|Infinity))|(?P<number>-?[0-9][0-9.eE+-]*)'
)
_KEPT: Final = Decimal(1).scaleb(EXPONENT_MIN)
_DIGITS_MAX: Final = 1000
_ROUNDING: Final = Context(prec=_DIGITS_MAX, rounding=ROUND_HALF_EVEN, traps=[])


def json_kept(value: Any) -> bytes:
    """Return the JSON of a value, with its numbers as they are; raises what an encoder does."""
    text = _encode(value)
    try:
        _check(text)
    except msgspec.DecodeError:
        text = _TOKEN.sub(_null, text)  # Decimals are written as they call themselves, also NaN
        _check(text)
    return text


def json_rounded(value: Any, given: bytes = b"") -> bytes:
    """Return the JSON of a value, with its numbers rounded; raises what an encoder does.

    Numbers that were in the JSON that user code was given stay as they are.
    """
    text = json_kept(value)
    if not _may_be_long(text):
        return text
    known = _long_numbers(given) if _may_be_long(given) else frozenset()

    def rounded(token: re.Match[bytes]) -> bytes:
        number = _long_number(token)
        if number is None or number in known:
            return token[0]
        return str(canonical_number(_ROUNDING.quantize(number, _KEPT))).encode()

    return _TOKEN.sub(rounded, text)


def _may_be_long(text: bytes) -> bool:
    # Hot: nearly all text is told by what it has not.
    return bool(_DECIMALS.search(text)) or ((b"E-" in text or b"e-" in text) and bool(_EXPONENT.search(text)))


def _long_numbers(text: bytes) -> frozenset[Decimal]:
    numbers = map(_long_number, _TOKEN.finditer(text))
    return frozenset(one for one in numbers if one is not None)


def _long_number(token: re.Match[bytes]) -> Decimal | None:
    """Return a number of too many decimals; None for all else, also for what is beyond all reason."""
    text = token["number"]
    if text is None or len(text) > _DIGITS_MAX or not _may_be_long(text):
        return None
    number = Decimal(text.decode(), _ROUNDING)
    exponent = number.as_tuple().exponent
    return number if isinstance(exponent, int) and exponent < EXPONENT_MIN else None


def _null(token: re.Match[bytes]) -> bytes:
    return b"null" if token["none"] else token[0]
