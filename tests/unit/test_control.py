"""Control records: told from events at a glance; whatever they say, they are never one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.control import CONTROL_BYTES_MAX, MARKERS_MAX, Marker, control_of, control_record, is_control
from tests.kinesis import json_of

TOKEN = "0123456789abcdef" * 2
PLAIN = {"kind": "marker", "token": TOKEN, "reader": "archive"}


def control(**changes):
    return json_of({"kith_control": PLAIN | changes})


def test_a_marker_is_plain_json_that_says_whose_it_is():
    record = control_record(Marker(TOKEN, "customers-v2"))
    assert json.loads(record) == {"kith_control": PLAIN | {"reader": "customers-v2"}}


@given(
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.text(min_size=1, max_size=256),
    st.integers(0, MARKERS_MAX - 1),
)
def test_a_marker_comes_back_as_it_was_put(token, reader, number):
    marker = Marker(token, reader, number)
    assert is_control(control_record(marker))
    assert control_of(control_record(marker)) == marker


@pytest.mark.parametrize(
    "data",
    [
        control(kind="erasure"),
        control(token="0" * 31),
        control(token="../" + "0" * 29),
        control(token=TOKEN + "\n"),
        control(token=TOKEN.upper()),
        control(reader=""),
        control(reader=7),
        control(number=-1),
        control(number=MARKERS_MAX),
        control(reader="r" * CONTROL_BYTES_MAX),
        json_of({"kith_control": PLAIN, "type": "track"}),
        json_of({"kith_control": None}),
        b'{"kith_control":',
        b'{"kith_control":"\xff"}',
        b'{"kith_control":' + b"[" * 4000,
    ],
)
def test_a_control_record_that_kith_does_not_know_is_neither_marker_nor_event(data):
    assert is_control(data)
    assert control_of(data) is None


@given(st.text(), st.binary().filter(lambda data: not data.startswith(b'{"kith_control":')))
def test_an_event_is_never_taken_for_a_control_record(text, other):
    for data in (json_of({"event": text}), json_of({"event": {"kith_control": PLAIN}}), other):
        assert not is_control(data)
        assert control_of(data) is None
