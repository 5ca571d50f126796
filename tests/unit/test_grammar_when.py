"""What the text of a `when` holds for: exactly the JSON values that it states."""

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.app.frozen import freeze, thaw
from shared.core.compile import Builder
from shared.core.definition import definition_json, definition_of_json
from shared.core.event import Position
from shared.core.grammar import DefinitionError, parse_definition

HEAD = "name: shop\nidentifiers: {user_id: {from: userId}}\n"
HERE = Position("shard-0", "1", 0)


def counts(when, x):
    """Return which of the attributes count an event; `when` and `x` are texts."""
    attributes = "".join(f"  a{number}: {{aggregation: count, when: {{x: {one}}}}}\n" for number, one in when)
    definition = parse_definition(f"{HEAD}attributes:\n{attributes}")
    text = f'{{"messageId": "m", "userId": "u", "x": {x}}}'.encode()
    contribution = Builder(definition_of_json(definition_json(definition))).read(text, 0, HERE, Counter())
    return [number for number, _ in when if contribution.values[number] is not None]


def holds(when, x):
    return counts([(0, when)], x) == [0]


@pytest.mark.parametrize(
    "number", ["0.12345678901234567890", "1e3", "0.1", "-0.0", "1234567890123456789012345678901234567890"]
)
def test_a_number_of_a_when_holds_for_exactly_that_json_number(number):
    assert holds(number, number)
    assert not holds(number, f'"{number}"')
    assert not holds(number, number.replace("1", "2", 1).replace("-0.0", "-0.1"))


def test_a_number_is_never_taken_for_the_nearest_that_a_float_holds():
    assert not holds("0.12345678901234567890", "0.12345678901234568")
    assert not holds("0.1", "0.1000000000000000055511151231257827")


@pytest.mark.parametrize("number", ["1e301", "-1e-301", "1e99999999999999999999", "0e-99999999999999999999"])
def test_a_number_of_a_when_has_no_exponent_out_of_range(number):
    with pytest.raises(DefinitionError, match=r"when\.x: a number out of range; quote it if it is text"):
        holds(number, number)


def test_two_ways_to_write_a_number_are_one_number():
    assert holds("1.0", "1")
    assert holds("1", "1.00")
    assert holds("1e3", "1000")


def test_attributes_are_told_apart_by_the_kinds_of_their_values():
    kinds = list(enumerate(["1", "true", "'1'", "1.0"]))
    assert counts(kinds, "1") == [0, 3]
    assert counts(kinds, "true") == [1]
    assert counts(kinds, '"1"') == [2]


@settings(max_examples=100, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12))
def test_every_number_keeps_its_digits_in_a_frozen_definition(number):
    text = format(number, "f")[:40].rstrip(".")
    definition = parse_definition(f"{HEAD}anonymous: {{when: {{x: {text}}}}}")
    data, sha256 = freeze(definition, {})
    assert definition_json(thaw(data, sha256).definition) == definition_json(definition)
    (condition,) = definition_of_json(definition_json(definition)).anonymous
    (value,) = condition.values
    assert str(getattr(value, "decimal", value)) == str(Decimal(text) if "." in text else int(text))
