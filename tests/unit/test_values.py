import decimal
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.values import PARSERS, UNUSABLE, canonical_number, number_text
from tests.generators import any_ip, any_json, any_number, any_text, any_value

BLANK = [None, "", " ", "\t\n", "\u2003"]


def exactly(value):
    """1, True and Decimal("1.0") are equal, and not the same."""
    return type(value), value


def check(value_type, given_value, expected):
    assert exactly(PARSERS[value_type](given_value)) == exactly(expected)


@pytest.mark.parametrize("value_type", PARSERS)
@pytest.mark.parametrize("blank", BLANK)
def test_null_and_blanks_are_no_value_of_any_type(value_type, blank):
    assert PARSERS[value_type](blank) is None


@pytest.mark.parametrize("value_type", PARSERS)
@pytest.mark.parametrize("container", [[], [1], {}, {"a": 1}, b"bytes", object()])
def test_containers_are_unusable_as_any_type(value_type, container):
    assert PARSERS[value_type](container) is UNUSABLE


@pytest.mark.parametrize("value_type", PARSERS)
@settings(max_examples=100, deadline=None)
@given(given_value=any_json())
def test_no_value_makes_a_parser_raise_and_parsing_again_changes_nothing(value_type, given_value):
    value = PARSERS[value_type](given_value)
    if value is None or value is UNUSABLE:
        return
    assert (
        type(value)
        in {
            "string": {str},
            "number": {int, Decimal},
            "boolean": {bool},
            "datetime": {int},
            "ip": {str},
        }[value_type]
    )
    if value_type != "datetime":  # ms of early 1970 would read as seconds
        check(value_type, value, value)


@pytest.mark.parametrize("value_type", PARSERS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_canonical_value_is_its_own(value_type, data):
    value = data.draw(any_value(value_type))
    if value_type != "datetime":
        check(value_type, value, value)


@pytest.mark.parametrize(
    ("given_value", "number"),
    [
        (0, 0),
        (-7, -7),
        (Decimal("1.0"), 1),
        (Decimal("1.00"), 1),
        (Decimal("-0"), 0),
        (Decimal("-0.00"), 0),
        (Decimal("0E+999999999"), 0),
        (Decimal("125.50"), Decimal("125.5")),
        (Decimal("1E+2"), 100),
        (0.1, Decimal("0.1")),
        (2.0, 2),
        ("12.50", Decimal("12.5")),
        (" +5. ", 5),
        ("-.5", Decimal("-0.5")),
        ("1e3", 1000),
        ("1E-20", Decimal("1E-20")),
        ("007", 7),
        ("0" * 5000 + "1", 1),
        (10**38 - 1, 10**38 - 1),
        (-(10**38) + 1, -(10**38) + 1),
        (10**74, UNUSABLE),
        (12 * 10**37, 12 * 10**37),
        ((10**38 - 1) * 10**37, (10**38 - 1) * 10**37),
        ("9" * 38 + "e37", (10**38 - 1) * 10**37),
        ("0." + "0" * 19 + "1", Decimal("1E-20")),
    ],
)
def test_a_number_is_canonical(given_value, number):
    check("number", given_value, number)


@pytest.mark.parametrize(
    "given_value",
    [
        True,
        False,
        10**38 + 1,
        10**38,
        10**400,
        pytest.param(10**5000, id="5000 digits"),
        "1" * 39,
        "1" * 400,
        "1e38",
        "1e-21",
        "1e999999999999999999999",
        "1e-999999999999999999999",
        Decimal("1E+999999999"),
        Decimal("1E-999999999"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        float("nan"),
        float("inf"),
        "nan",
        "inf",
        "Infinity",
        "1_000",
        "1,000",
        "1 000",
        "0x10",
        "٣",
        "1.2.3",
        "e5",
        ".",
        "+",
        "12 EUR",
        "1\x00",
        "\ud800",
    ],
)
def test_a_number_is_unusable(given_value):
    check("number", given_value, UNUSABLE)


@settings(max_examples=100, deadline=None)
@given(any_number())
def test_a_number_is_the_same_from_its_text_and_with_more_zeros(number):
    text = number_text(number)
    assert "E" not in text
    check("number", text, number)
    check("number", f"{text}.000" if "." not in text else f"{text}000", number)
    check("number", Decimal(text), number)


@settings(max_examples=50, deadline=None)
@given(any_number())
def test_the_threads_decimal_context_changes_nothing(number):
    text = number_text(number)
    with decimal.localcontext(prec=3, rounding=decimal.ROUND_UP, Emax=5, Emin=-5):
        check("number", text, number)
        assert number_text(number) == text
        check("string", Decimal(text), text)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (-12, "-12"),
        (12 * 10**37, "12" + "0" * 37),
        (Decimal("12.5"), "12.5"),
        (Decimal("1E-20"), "0.00000000000000000001"),
    ],
)
def test_the_text_of_a_number_has_no_exponent(number, text):
    assert number_text(number) == text


def test_a_sum_has_a_canonical_form_whatever_its_size():
    assert exactly(canonical_number(Decimal("5.00"))) == (int, 5)
    assert repr(canonical_number(Decimal("-0.0"))) == "0"
    assert canonical_number(Decimal("1" * 500 + ".50")) == Decimal("1" * 500 + ".5")


@pytest.mark.parametrize(
    ("given_value", "boolean"),
    [
        (True, True),
        (False, False),
        ("true", True),
        (" False ", False),
        ("TRUE", True),
        (1, UNUSABLE),
        (0, UNUSABLE),
        ("yes", UNUSABLE),
        ("1", UNUSABLE),
        (Decimal(1), UNUSABLE),
    ],
)
def test_a_boolean_is_true_or_false_and_nothing_else(given_value, boolean):
    check("boolean", given_value, boolean)


@settings(max_examples=50, deadline=None)
@given(any_text())
def test_a_string_stays_as_it_is_unless_no_store_takes_it(text):
    usable = not any("\ud800" <= letter <= "\udfff" for letter in text)
    check("string", text, text if usable else UNUSABLE)


@pytest.mark.parametrize(
    ("given_value", "text"),
    [
        (" padded ", " padded "),
        ("a\x00b", "a\x00b"),
        (42, "42"),
        (-(2**63), str(-(2**63))),
        (2**128, str(2**128)),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-7"), "0.0000001"),
        (0.5, "0.5"),
        (10**400, "1" + "0" * 400),
        (True, UNUSABLE),
        ("\ud800", UNUSABLE),
        ("ok \udfff", UNUSABLE),
        pytest.param(10**5000, UNUSABLE, id="5000 digits"),
        (Decimal("1E+999999999"), UNUSABLE),
        (Decimal("1E-999999999"), UNUSABLE),
        (Decimal("0E-999999999"), UNUSABLE),
        (Decimal("NaN"), UNUSABLE),
        (float("inf"), UNUSABLE),
    ],
)
def test_a_string_is_text_or_the_text_of_a_number(given_value, text):
    check("string", given_value, text)


@pytest.mark.parametrize(
    ("given_value", "time_ms"),
    [
        ("2026-01-02T03:04:05.678Z", 1_767_323_045_678),
        (1_767_323_045, 1_767_323_045_000),
        ("2026-01-02", 1_767_312_000_000),
        ("tomorrow", UNUSABLE),
        (True, UNUSABLE),
        (-1, UNUSABLE),
        ("0001-01-01", UNUSABLE),
    ],
)
def test_a_datetime_is_milliseconds(given_value, time_ms):
    check("datetime", given_value, time_ms)


@pytest.mark.parametrize(
    ("given_value", "ip"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("::FFFF:c000:201", "::ffff:192.0.2.1"),
        ("0000:0000:0000:0000:0000:ffff:192.168.100.228", "::ffff:192.168.100.228"),
        ("::", "::"),
        ("192.0.2.01", UNUSABLE),
        ("192.0.2", UNUSABLE),
        ("192.0.2.1:80", UNUSABLE),
        ("192.0.2.0/24", UNUSABLE),
        ("fe80::1%eth0", UNUSABLE),
        ("localhost", UNUSABLE),
        ("1" * 1000, UNUSABLE),
        ("\ud800", UNUSABLE),
        (3232235777, UNUSABLE),
        (True, UNUSABLE),
    ],
)
def test_an_ip_address_is_its_canonical_text(given_value, ip):
    check("ip", given_value, ip)


@settings(max_examples=50, deadline=None)
@given(any_ip())
def test_an_ip_address_is_the_same_in_any_case(ip):
    assert PARSERS["ip"](ip.upper()) == PARSERS["ip"](ip)
