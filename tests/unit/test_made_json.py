"""JSON of what user code made: whole whatever it holds, and with numbers that can be kept."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from shared.core.containers import decode_any
from shared.core.functions import FunctionResult, result_of
from shared.core.made_json import json_kept, json_raw, json_rounded, rounded
from shared.core.values import UNUSABLE, parse_number

PLAIN = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        (Decimal(1) / Decimal(3), "0.33333333333333333333"),
        (Decimal(2) / Decimal(-3), "-0.66666666666666666667"),
        (Decimal("0.000000000000000000005"), "0"),
        (Decimal("0.000000000000000000015"), "0.00000000000000000002"),
        (Decimal("1E-999999999"), "0"),
        (1 / 300000, "0.00000333333333333333"),
        (5e-324, "0"),
        (Decimal("12.50"), "12.50"),
        (Decimal("1E+999999999"), "1E+999999999"),
        (10**50, str(10**50)),
        (0.1, "0.1"),
    ],
)
def test_numbers_of_too_many_decimals_are_rounded_half_to_even_and_others_stay(number, kept):
    for value in ({"a": number}, {"a": [number, 1]}, {"a": [1, number]}):
        decoded = decode_any(json_rounded(value))["a"]
        found = decoded if not isinstance(decoded, list) else next(one for one in decoded if one != 1)
        assert found == Decimal(kept)


@given(st.decimals(min_value=-(10**17), max_value=10**17), st.decimals(min_value=1, max_value=10**9))
def test_no_quotient_is_unusable(a, b):
    quotient = Context(prec=28).divide(a, b)
    kept = decode_any(json_rounded([quotient]))[0]
    assert parse_number(kept) is not UNUSABLE
    assert kept == quotient.quantize(Decimal("1E-20"), ROUND_HALF_EVEN, Context(prec=99))


@pytest.mark.parametrize("number", ["NaN", "sNaN", "-NaN12", "Infinity", "-Infinity"])
@pytest.mark.parametrize("json", [json_kept, json_rounded])
def test_decimals_that_are_no_numbers_become_null(json, number):
    value = {"NaN": [Decimal(number), 1, '"NaN, \\'], "b": Decimal(number)}
    assert decode_any(json(value)) == {"NaN": [None, 1, '"NaN, \\'], "b": None}


def test_numbers_that_were_given_stay():
    given_text = b'{"a":6.5e-52,"b":[0.1234567890123456789012345]}'
    value = {**decode_any(given_text), "c": Decimal(1) / 3}
    found = decode_any(rounded(json_raw(value), given_text))
    assert found == value | {"c": Decimal("0.33333333333333333333")}


@given(st.text(), st.text())
def test_text_stays_as_it_is_beside_what_is_changed(key, text):
    value = {key: text, "number": Decimal(1) / 3, "none": Decimal("NaN"), "more": [f":1e-9{text}"]}
    expected = value | {"number": Decimal("0.33333333333333333333"), "none": None}
    assert decode_any(json_rounded(value)) == expected


@given(st.recursive(st.text() | st.integers() | st.none() | st.booleans(), st.lists))
def test_what_needs_no_change_is_written_as_ever(value):
    assert json_rounded(value) == json_kept(value) == PLAIN(value)


def test_keys_must_be_text():
    with pytest.raises(TypeError, match="str keys"):
        json_rounded({Decimal("NaN"): 1})


def test_a_quotient_is_kept_as_a_trait():
    result = result_of(decode_any(json_rounded({"traits": {"average": sum([Decimal("12.50"), 7]) / 3}})))
    assert result == FunctionResult({"average": Decimal("6.5")})
    result = result_of(decode_any(json_rounded({"traits": {"average": Decimal(20) / 3}})))
    assert result == FunctionResult({"average": Decimal("6.66666666666666666667")})
