"""Envelopes: what Lambda delivers, and what a rejection is read again by."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.records import Record, Rejection, envelope_of, kinesis_record, read_record, reject
from tests.event_generators import any_event, any_odd_event, any_text
from tests.generators import any_time
from tests.kinesis import (
    ARRIVAL,
    SEQUENCE,
    SHARD,
    aggregate_of,
    array_of,
    envelope,
    gzip_of,
    json_of,
    lines_of,
)

GOOD = b'{"event":"A"}'
CONTAINERS = {
    "array": array_of,
    "lines": lines_of,
    "aggregate": aggregate_of,
    "aggregate of gzip": lambda texts: aggregate_of([gzip_of(text) for text in texts]),
}


def read(data):
    return read_record(data, ARRIVAL, SHARD, SEQUENCE)


def test_a_record_is_taken_out_of_what_lambda_delivers():
    assert kinesis_record(envelope(GOOD)) == Record(GOOD, ARRIVAL, SHARD, SEQUENCE, 0)


@given(any_time())
@settings(max_examples=100, deadline=None)
def test_arrivals_are_exact(arrival):
    assert kinesis_record(envelope(GOOD, arrival=arrival)).arrival == arrival


@given(st.binary(max_size=50), any_time(), st.integers(0, 10**55), st.integers(0, 10_000), st.booleans())
@settings(max_examples=100, deadline=None)
def test_an_envelope_gives_back_what_was_rejected(data, arrival, sequence, index, whole):
    rejection = Rejection("not_json", "", data, whole, arrival, (SHARD, str(sequence), index))
    assert kinesis_record(envelope_of(rejection)) == (
        data,
        arrival,
        SHARD,
        str(sequence),
        index,
        bool(index) or not whole,
    )


def test_an_envelope_is_json():
    (rejection,) = read(b"\xff\x00")
    assert json_of(envelope_of(rejection)).isascii()


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_what_is_rejected_again_is_the_same_rejection(container):
    for rejection in read(container([b"x", b"[5]", b"{"])):
        (again,) = read_record(*kinesis_record(envelope_of(rejection)))
        assert (again.reason, again.data) == (rejection.reason, rejection.data)
        assert (again.arrival, again.position) == (rejection.arrival, rejection.position)


@pytest.mark.parametrize(
    "looks_like_several", [b"[]", b"[{}]", b'[{"userId": "u"}, {"userId": "v"}]', b"{}{}", b"{}\n{}"]
)
def test_what_stands_for_one_event_never_becomes_several_when_it_is_read_alone(looks_like_several):
    record = array_of([looks_like_several, GOOD])
    bad = [one for one in read(record) if isinstance(one, Rejection)]
    assert [one.position.index for one in bad] == [0]
    again = read_record(*kinesis_record(envelope_of(bad[0])))
    assert again == bad


def test_a_part_says_where_it_stood_and_a_whole_record_says_nothing():
    part, _ = read(lines_of([b"x", GOOD]))
    (whole,) = read(b"x")
    assert envelope_of(part)["kith"] == {"index": 0}
    assert "kith" not in envelope_of(whole)


@given(st.lists(any_odd_event() | any_event(), min_size=1, max_size=3), any_text())
@settings(max_examples=60, deadline=None)
def test_an_event_that_failed_further_on_is_the_same_event_when_it_is_read_again(bodies, detail):
    for event in read(array_of([json_of(body) for body in bodies])):
        rejection = reject(event, detail)
        assert (rejection.reason, rejection.detail, rejection.whole) == ("not_processed", detail, False)
        (again,) = read_record(*kinesis_record(envelope_of(rejection)))
        assert (again.body, again.id, again.time) == (event.body, event.id, event.time)
        assert (again.arrival, again.position) == (event.arrival, event.position)
