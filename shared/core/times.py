"""Moments as milliseconds since 1970 in UTC, and back.

Kith knows the years 1970 to 9999. A moment outside of them is no moment: clocks of clients that
claim one are wrong.
"""

import calendar
import re
from datetime import MAXYEAR, UTC, date, datetime
from decimal import ROUND_FLOOR, Context, Decimal
from functools import lru_cache
from typing import Any, Final

TIME_MS_MAX: Final = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z"""
EPOCH_MS_MIN: Final = 10**11
"""Epoch numbers from here on are milliseconds, below it seconds: 1973 as the one, 5138 as the other."""

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - naive stands for UTC throughout this module
_EPOCH_AWARE: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_OF_DAY: Final = tuple(f"T{minute // 60:02}:{minute % 60:02}:" for minute in range(24 * 60))
"""How the minutes of a day are written."""
_DAYS_REMEMBERED: Final = 4096
_BASIC_DATE_LENGTH: Final = len("20260102")
_TEXT_LENGTH_MAX: Final = 40
"""Characters of an epoch number, and of any text that is remembered."""
_TEXTS_REMEMBERED: Final = 1024
remembered: Final[dict[str, int]] = {}
"""Texts read lately: an event tells the same time more than once, and several attributes read it. All are
forgotten at once; `lru_cache` takes longer to forget one than it takes to read one again."""
_HOURS_REMEMBERED: Final = 4096
_COMMON: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")
"""How nearly all events write their times: down to the hour, the second and the millisecond."""
_hours: Final[dict[str, int]] = {}
_seconds: Final[dict[str, int]] = {}
_fractions: Final[dict[str, int]] = {}
"""What the three pieces of common texts come to in ms. Times differ from event to event, but their pieces
come again and again: adding them up takes half as long as reading the text."""
# No traps: whatever does not fit becomes NaN, infinity or zero and is judged afterwards.
_TRUNCATING: Final = Context(prec=40, rounding=ROUND_FLOOR, traps=[])


def parse_time(value: Any) -> int | None:
    """Return a moment in ms UTC, cut to whole milliseconds; None if `value` is none that Kith knows.

    Takes ISO 8601 text (a date alone is its midnight, no offset means UTC), and epoch seconds, or
    milliseconds from 1e11, as a number or as text. Eight digits alone are a date (`20260102`).
    Never raises.
    """
    if type(value) is str:
        known = remembered.get(value)
        return _parse_text(value) if known is None else known
    return _parse_epoch(value)


def format_time(time_ms: int) -> str:
    """Return the moment as text, always with milliseconds: `2026-01-02T03:04:05.678Z`."""
    day, of_day = divmod(time_ms, _DAY_MS)
    minute, of_minute = divmod(of_day, _MINUTE_MS)
    second, ms = divmod(of_minute, 1000)
    return f"{_day_text(day)}{_OF_DAY[minute]}{second:02}.{ms:03}Z"


def add_months(time_ms: int, months: int) -> int:
    """Return the same time of day, `months` calendar months later.

    A day that the month does not have becomes the month's last day (31 January plus one month is
    28 or 29 February). Past the year 9999, the last moment of it.
    """
    day, of_day = divmod(time_ms, _DAY_MS)
    later = _add_months_to_day(day, months)
    return TIME_MS_MAX if later is None else later * _DAY_MS + of_day


@lru_cache(_DAYS_REMEMBERED)
def _day_text(day: int) -> str:
    """Return the date of a day that is counted from 1970."""
    return date.fromordinal(_EPOCH_DAY + day).isoformat()


@lru_cache(_DAYS_REMEMBERED)
def _add_months_to_day(day: int, months: int) -> int | None:
    """Return a later day, counted from 1970 as well; None past the year 9999."""
    start = date.fromordinal(_EPOCH_DAY + day)
    year, month0 = divmod(start.year * 12 + start.month - 1 + months, 12)
    if year > MAXYEAR:
        return None
    last = calendar.monthrange(year, month0 + 1)[1]
    return date(year, month0 + 1, min(start.day, last)).toordinal() - _EPOCH_DAY


def _parse_text(text: str) -> int | None:
    # Hot: every event has a time of its own. A text of other pieces than these three is not common.
    hour, second, fraction = _hours.get(text[:13]), _seconds.get(text[13:19]), _fractions.get(text[19:])
    if hour is None or second is None or fraction is None:
        return _parse_anew(text)
    time_ms = hour + second + fraction
    if len(remembered) >= _TEXTS_REMEMBERED:
        remembered.clear()
    remembered[text] = time_ms
    return time_ms


def _parse_anew(text: str) -> int | None:
    if text.isdecimal() and len(text) != _BASIC_DATE_LENGTH:
        return _parse_epoch_text(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _parse_unusual_text(text)
    elapsed = moment - (_EPOCH if moment.tzinfo is None else _EPOCH_AWARE)
    time_ms = elapsed.days * _DAY_MS + elapsed.seconds * 1000 + elapsed.microseconds // 1000
    if not 0 <= time_ms <= TIME_MS_MAX:
        return None
    if len(text) <= _TEXT_LENGTH_MAX:
        if len(remembered) >= _TEXTS_REMEMBERED:
            remembered.clear()
        remembered[text] = time_ms
        if _COMMON.fullmatch(text):
            if len(_hours) >= _HOURS_REMEMBERED:
                _hours.clear()
            of_hour = time_ms % _HOUR_MS
            _hours[text[:13]] = time_ms - of_hour
            _seconds[text[13:19]] = of_hour - of_hour % 1000
            _fractions[text[19:]] = of_hour % 1000
    return time_ms


def _parse_unusual_text(text: str) -> int | None:
    """Read what `datetime.fromisoformat` refused: blanks around, a lower-case z, epoch numbers."""
    tidy = text.strip().upper()
    if tidy != text:
        return parse_time(tidy)
    return _parse_epoch_text(text)


def _parse_epoch_text(text: str) -> int | None:
    # Decimal's own grammar would also take underscores, NaN and infinity.
    digits = text.replace(".", "", 1)
    if len(text) > _TEXT_LENGTH_MAX or not (digits.isascii() and digits.isdecimal()):
        return None
    return _parse_epoch(Decimal(text))


def _parse_epoch(value: Any) -> int | None:
    if type(value) is int:
        time_ms = value if value >= EPOCH_MS_MIN else value * 1000
    elif type(value) is Decimal:
        if not value.is_finite() or value < 0:
            return None
        in_ms = value if value >= EPOCH_MS_MIN else value.scaleb(3, _TRUNCATING)
        if in_ms > TIME_MS_MAX:  # before int(): 1E+999999999 would fill the memory
            return None
        time_ms = int(in_ms)
    elif type(value) is float:
        return _parse_epoch(Decimal(repr(value)))
    else:
        return None
    return time_ms if 0 <= time_ms <= TIME_MS_MAX else None
