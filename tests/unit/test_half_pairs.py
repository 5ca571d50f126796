"""Half a surrogate pair is no text: the value that holds one is unusable, its event is not."""

from decimal import Decimal

import pytest

from shared.core.records import read_record
from tests.kinesis import ARRIVAL, SEQUENCE, SHARD, aggregate_of, array_of, lines_of

GOOD = b'{"event":"A"}'
ALSO_GOOD = b'{"event":"B"}'
HALF = {
    "a value": (rb'{"event":"A","a":"x\ud800"}', {"event": "A", "a": {}}),
    "a low one first": (rb'{"event":"A","a":"\uDC00\uD800"}', {"event": "A", "a": {}}),
    "cut short": (rb'{"event":"A","a":"\ud8","b":"\ud800"}', None),
    "one of a list": (
        rb'{"event":"A","a":["x","\udfff",2.5]}',
        {"event": "A", "a": ["x", {}, Decimal("2.5")]},
    ),
    "a name": (rb'{"event":"A","\ud800" : 1}', {"event": "A", "": 1}),
    "beside whole pairs": (rb'{"event":"\ud83d\ude00","a":"\ud83d"}', {"event": "\U0001f600", "a": {}}),
    "behind a backslash": (rb'{"event":"\\ud800","a":"\ud800"}', {"event": "\\ud800", "a": {}}),
    "with a quote": (rb'{"event":"A","a":"\"\ud800:","b":"\""}', {"event": "A", "a": {}, "b": '"'}),
}


@pytest.mark.parametrize(("text", "body"), HALF.values(), ids=HALF.keys())
def test_half_a_surrogate_pair_makes_a_value_unusable_and_no_more(text, body):
    [event] = read_record(text, ARRIVAL, SHARD, SEQUENCE)
    if body is None:
        assert event.reason == "not_json"
    else:
        assert event.body == body
    for container in (array_of, lines_of, aggregate_of):
        among = read_record(container([GOOD, text, ALSO_GOOD]), ARRIVAL, SHARD, SEQUENCE)
        assert [one.body["event"] for one in (among[0], among[2])] == ["A", "B"]
        assert getattr(among[1], "body", None) == body
