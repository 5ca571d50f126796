from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.times import TIME_MS_MAX, add_months, format_time, parse_time
from tests.generators import any_json, any_time

MOMENT = 1_767_323_045_678
"""2026-01-02T03:04:05.678Z"""
THAT_SECOND = 1_767_323_045_000
THAT_DAY = 1_767_312_000_000


def ms(text):
    return parse_time(text)


@pytest.mark.parametrize(
    ("given_value", "time_ms"),
    [
        ("2026-01-02T03:04:05.678Z", MOMENT),
        ("2026-01-02T03:04:05.678", MOMENT),
        ("2026-01-02 03:04:05.678", MOMENT),
        ("2026-01-02T05:34:05.678+02:30", MOMENT),
        ("2026-01-02T05:34:05.678+0230", MOMENT),
        ("2026-01-01T23:04:05,678-04", MOMENT),
        (" 2026-01-02t03:04:05.678z\n", MOMENT),
        ("20260102T030405.678Z", MOMENT),
        ("2026-01-02T03:04:05.678999Z", MOMENT),
        ("2026-01-02T03:04:05.678999999Z", MOMENT),
        ("2026-01-02T03:04:05Z", THAT_SECOND),
        ("2026-01-02", THAT_DAY),
        ("20260102", THAT_DAY),
        (MOMENT // 1000, THAT_SECOND),
        (MOMENT, MOMENT),
        (Decimal("1767323045.6789"), MOMENT),
        (Decimal("1767323045678.9"), MOMENT),
        (Decimal("1.767323045678E+9"), MOMENT),
        (1767323045.678, MOMENT),
        ("1767323045", THAT_SECOND),
        ("1767323045.678", MOMENT),
        ("1767323045678", MOMENT),
        (" 1767323045 ", THAT_SECOND),
        (0, 0),
        (10**11 - 1, (10**11 - 1) * 1000),
        (10**11, 10**11),
        ("1970-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59.999999Z", TIME_MS_MAX),
        (TIME_MS_MAX, TIME_MS_MAX),
    ],
)
def test_a_moment_is_read_from(given_value, time_ms):
    assert parse_time(given_value) == time_ms


@pytest.mark.parametrize(
    "given_value",
    [
        None,
        True,
        False,
        "",
        " ",
        "yesterday",
        "2026-02-30",
        "2026-01-02T25:00:00Z",
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00+00:01",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "10000-01-01T00:00:00Z",
        -1,
        -(10**12),
        TIME_MS_MAX + 1,
        10**400,
        -(10**400),
        Decimal("1E+999999999"),
        Decimal("-1E-999999999"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        float("nan"),
        float("inf"),
        "1" * 400,
        "1e10",
        "-5",
        "1_767_323_045",
        "nan",
        ".",
        "٢٠٢٦",
        "\ud800",
        "2026\x00",
        [],
        {},
        b"2026-01-02",
        datetime(2026, 1, 2, tzinfo=UTC),
    ],
)
def test_no_moment_is_read_from(given_value):
    assert parse_time(given_value) is None


@settings(max_examples=100, deadline=None)
@given(any_json())
def test_reading_a_time_never_raises_and_stays_within_the_years_1970_to_9999(given_value):
    time_ms = parse_time(given_value)
    assert time_ms is None or (type(time_ms) is int and 0 <= time_ms <= TIME_MS_MAX)


@settings(max_examples=100, deadline=None)
@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001 - naive is UTC here
def test_a_time_without_offset_is_utc(moment):
    aware = moment.replace(tzinfo=UTC)
    exact = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_time(moment.isoformat()) == parse_time(aware.isoformat()) == exact


@settings(max_examples=100, deadline=None)
@given(any_time())
def test_what_is_formatted_reads_back(time_ms):
    assert parse_time(format_time(time_ms)) == time_ms


def test_times_are_shown_with_milliseconds_and_z():
    assert format_time(MOMENT) == "2026-01-02T03:04:05.678Z"
    assert format_time(0) == "1970-01-01T00:00:00.000Z"
    assert format_time(TIME_MS_MAX) == "9999-12-31T23:59:59.999Z"


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ("2026-01-02T03:04:05.678Z", 13, "2027-02-02T03:04:05.678Z"),
        ("2026-01-31T23:59:59.999Z", 1, "2026-02-28T23:59:59.999Z"),
        ("2028-01-31T00:00:00Z", 1, "2028-02-29T00:00:00Z"),
        ("2026-12-15T00:00:00Z", 1, "2027-01-15T00:00:00Z"),
        ("2026-12-15T00:00:00Z", 12, "2027-12-15T00:00:00Z"),
        ("2027-01-31T00:00:00Z", 13, "2028-02-29T00:00:00Z"),
        ("2026-03-31T00:00:00Z", -1, "2026-02-28T00:00:00Z"),
        ("2026-03-31T00:00:00Z", 0, "2026-03-31T00:00:00Z"),
        ("9999-12-01T00:00:00Z", 1, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_calendar_months_end_on_the_months_last_day_at_the_latest(start, months, end):
    assert format_time(add_months(ms(start), months)) == format_time(ms(end))


@settings(max_examples=100, deadline=None)
@given(any_time(), any_time(), st.integers(0, 24))
def test_later_stays_later_when_months_are_added(one, other, months):
    earlier, later = sorted([one, other])
    assert add_months(earlier, months) <= add_months(later, months) or (
        # Clamping may fold the last days of a month together, which leaves their times of day.
        add_months(earlier, months) // 86_400_000 == add_months(later, months) // 86_400_000
    )
    assert add_months(later, months) >= later


@given(
    st.integers(1969, 1971) | st.integers(9998, 9999) | st.just(2026),
    *(st.integers(0, most) for most in (13, 32, 24, 60, 60, 999)),
)
def test_a_common_text_is_read_by_its_pieces_as_it_is_read_whole(year, month, day, hour, minute, second, ms):
    text = f"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
    expected = None
    try:
        moment = datetime(year, month, day, hour, minute, second, ms * 1000, UTC)
    except ValueError:
        pass  # no such day, hour or second
    else:
        if year >= 1970:
            expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_time(text) == expected
    assert parse_time(text.replace(".", ",")) == expected
    assert parse_time(text) == expected
