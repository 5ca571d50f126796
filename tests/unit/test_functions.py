"""What a profile function may return."""

from decimal import Decimal

import pytest

from shared.core.functions import RESULT_BYTES_MAX, FunctionFailure, FunctionResult, result_of


def test_nothing_is_a_result_of_its_own():
    assert result_of(None) is None


def test_a_result_has_traits_and_names_the_row_of_a_destination():
    value = {"traits": {"plan": "pro"}, "profile_id": "p1", "destination_id": "d", "table_name": "people"}
    assert result_of(value) == FunctionResult({"plan": "pro"}, "p1", "d", "people")


def test_keys_may_be_written_as_javascript_writes_them():
    value = {"traits": {}, "profileId": "p1", "destinationId": "d", "tableName": "people"}
    assert result_of(value) == FunctionResult({}, "p1", "d", "people")


def test_a_whole_number_is_an_id_as_well():
    assert result_of({"profile_id": 7}) == FunctionResult({}, "7")


def test_keys_without_a_value_are_as_good_as_absent():
    assert result_of({"traits": None, "profile_id": None, "profileId": "p1"}) == FunctionResult({}, "p1")


def test_traits_are_flattened_as_those_of_an_identify_event_are():
    traits = {"a": {"b": 1, "c": [{"d": 2}]}, "gone": None, "total": Decimal("1.50")}
    assert result_of({"traits": traits}) == FunctionResult(
        {"a.b": 1, "a.c": [{"d": 2}], "gone": None, "total": Decimal("1.5")}
    )


def test_traits_that_cannot_be_kept_are_left_out_and_counted():
    result = result_of({"traits": {"": 1, "huge": 10**50, "fine": 1}})
    assert result == FunctionResult({"fine": 1}, left_out={"name": 1, "number": 1})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([], "a dict or None was expected, not a value of type list"),
        ("drop", "not a value of type str"),
        (False, "not a value of type bool"),
        ({"trait": {}}, "1 of its keys are unknown; allowed: traits, profile_id, profileId"),
        ({"traits": []}, "`traits` must be a dict"),
        ({"profile_id": "a", "profileId": "b"}, "`profileId` is given twice"),
        ({"profile_id": ""}, "`profile_id` must be text of 1 to 256 characters"),
        ({"profile_id": True}, "`profile_id` must be text"),
        ({"profile_id": "x" * 257}, "`profile_id` must be text"),
        ({"table_name": {}}, "`table_name` must be text"),
        ({"destination_id": 1.5}, "`destination_id` must be text"),
        ({"traits": {"text": "x" * RESULT_BYTES_MAX}}, "at most 65536 are kept"),
        ({"traits": {"text": "\ud800"}}, "half a surrogate pair"),
    ],
)
def test_what_cannot_be_kept_is_a_failure_that_says_why(value, why):
    failure = result_of(value)
    assert isinstance(failure, FunctionFailure)
    assert failure.reason == "function_result"
    assert why in failure.detail


def test_a_failure_quotes_nothing_of_what_was_returned():
    for value in ({"ann@example.com": 1}, {"profile_id": ["ann@example.com"]}, ["ann@example.com"]):
        failure = result_of(value)
        assert isinstance(failure, FunctionFailure)
        assert "example" not in failure.detail
