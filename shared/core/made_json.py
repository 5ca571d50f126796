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
json_raw: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode
"""Returns what is JSON unless a Decimal in it is no number; raises what an encoder does."""
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode
_find_decimals: Final = re.compile(rb"\.[0-9]{%d}" % (1 - EXPONENT_MIN)).search
_find_lower_exponent: Final = re.compile(rb"e-[0-9]+(?:[,}\]]|$)").search
_find_upper_exponent: Final = re.compile(rb"E-[0-9]+(?:[,}\]]|$)").search
"""What a number of too many decimals has in it, or behind it; other text may, too. Two for exponents, as what
begins with plain text is found ten times as fast."""
_TOKEN: Final = re.compile(
    rb'"[^"\\]*(?:\\.[^"\\]*)*"|(?P<none>-?(?:s?NaN[0-9]*|Infinity))|(?P<number>-?[0-9][0-9.eE+-]*)'
)
_KEPT: Final = Decimal(1).scaleb(EXPONENT_MIN)
_DIGITS_MAX: Final = 1000
_ROUNDING: Final = Context(prec=_DIGITS_MAX, rounding=ROUND_HALF_EVEN, traps=[])


def json_kept(value: Any) -> bytes:
    """Return the JSON of a value, with its numbers as they are; raises what an encoder does."""
    return whole(json_raw(value))


def json_rounded(value: Any) -> bytes:
    """Return the JSON of a value, with its numbers rounded; raises what an encoder does."""
    return rounded(json_raw(value))


def whole(text: bytes) -> bytes:
    """Return what `json_raw` made as JSON, with null for what is no number; raises what a decoder does."""
    try:
        _check(text)  # hot: to read it all takes less than to look for what Decimals call themselves
    except msgspec.DecodeError:
        text = _TOKEN.sub(_null, text)
        _check(text)
    return text


def rounded(text: bytes, given: bytes = b"") -> bytes:
    """Return what `json_raw` made as JSON, with its numbers rounded.

    Numbers that were in the JSON that user code was given stay as they are.
    """
    text = whole(text)
    if not _may_be_long(text):
        return text
    known = _long_numbers(given) if _may_be_long(given) else frozenset()

    def kept(token: re.Match[bytes]) -> bytes:
        number = _long_number(token)
        if number is None or number in known:
            return token[0]
        return str(canonical_number(_ROUNDING.quantize(number, _KEPT))).encode()

    return _TOKEN.sub(kept, text)


def _may_be_long(text: bytes) -> bool:
    # Hot: nearly all text is told by what it has not.
    return bool(_find_decimals(text) or _find_lower_exponent(text) or _find_upper_exponent(text))


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
