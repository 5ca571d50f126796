"""Filters of a mapping: what a pattern of Lambda's says, and what is refused."""

import json

import pytest

from local.event_sources.filters import UnsupportedFilterError, is_wanted, read_filters

DUE = {"dynamodb": {"NewImage": {"due": {"N": [{"exists": True}]}}}}
GONE = {"dynamodb": {"NewImage": {"due": {"N": [{"exists": False}]}}}}


def criteria(*patterns):
    return {"Filters": [{"Pattern": json.dumps(pattern)} for pattern in patterns]}


def changed(**image):
    return {"eventName": "MODIFY", "dynamodb": {"NewImage": image}}


@pytest.mark.parametrize(
    ("record", "patterns", "expected"),
    [
        (changed(due={"N": "1"}), [DUE], True),
        (changed(other={"N": "1"}), [DUE], False),
        (changed(due={"S": "1"}), [DUE], False),
        ({"eventName": "REMOVE", "dynamodb": {}}, [DUE], False),
        (changed(other={"N": "1"}), [GONE], True),
        (changed(due={"N": "1"}), [GONE], False),
        (changed(), [{"eventName": ["INSERT", "MODIFY"]}], True),
        (changed(), [{"eventName": ["REMOVE"]}], False),
        (changed(), [{"eventName": ["REMOVE"]}, {"eventName": ["MODIFY"]}], True),
        (changed(), [{"eventName": ["MODIFY"], "eventID": [{"exists": True}]}], False),
        (changed(), [{"dynamodb": [{"exists": True}]}], False),
        (changed(), [], True),
    ],
)
def test_a_record_is_delivered_if_all_of_a_pattern_holds(record, patterns, expected):
    assert is_wanted(record, read_filters(criteria(*patterns))) is expected


@pytest.mark.parametrize("pattern", [{"a": [{"prefix": "x"}]}, {"a": "x"}, {"a": [{"exists": "yes"}]}])
def test_what_is_not_done_here_is_refused(pattern):
    with pytest.raises(UnsupportedFilterError):
        read_filters(criteria(pattern))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 100_000, '{"a":' * 100_000])
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(UnsupportedFilterError, match="a pattern is an object"):
        read_filters({"Filters": [{"Pattern": text}]})
