"""Sending: every event gets onto the stream once it takes any, in few calls, at the pace asked for."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.app.send import (
    ATTEMPTS_MAX,
    BATCH_BYTES_MAX,
    BATCH_RECORDS_MAX,
    KEY_LENGTH_MAX,
    RECORD_BYTES_MAX,
    Line,
    PartitionKeys,
    StoppedError,
    send,
)
from tests.people import a_definition


class FakeClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def now_s(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class FakeStream:
    """Takes records but for the refusals it was given: per call, how many of the last records."""

    def __init__(self, *refusals):
        self.refusals = list(refusals)
        self.calls = []
        self.taken = []

    def put(self, records):
        self.calls.append(list(records))
        refused = self.refusals.pop(0) if self.refusals else 0
        cut = len(records) - min(refused, len(records))
        self.taken += records[:cut]
        return [(one, "ProvisionedThroughputExceededException") for one in records[cut:]]


def lines(*texts):
    return [Line(number, text) for number, text in enumerate(texts, 1)]


def events(count):
    return lines(*(json.dumps({"anonymousId": f"a{number}"}).encode() for number in range(count)))


def keys(*definitions):
    return PartitionKeys(lambda: definitions)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1200), st.lists(st.integers(0, 600), max_size=8))
def test_every_event_arrives_once_however_often_the_stream_refuses_some(count, refusals):
    stream = FakeStream(*refusals)
    sent = send(events(count), stream, keys(), FakeClock())
    assert sorted(one.data for one in stream.taken) == sorted(line.text for line in events(count))
    assert sent.records == count
    assert all(len(call) <= BATCH_RECORDS_MAX for call in stream.calls)


def test_a_batch_stays_below_what_one_call_may_carry():
    text = json.dumps({"anonymousId": "a", "x": "y" * 900_000}).encode()
    stream = FakeStream()
    send(lines(*[text] * 12), stream, keys(), FakeClock())
    assert [len(call) for call in stream.calls] == [5, 5, 2]
    assert all(sum(one.size for one in call) <= BATCH_BYTES_MAX for call in stream.calls)


def test_waiting_doubles_while_nothing_gets_through_and_then_sending_stops():
    clock = FakeClock()
    with pytest.raises(StoppedError) as stopped:
        send(events(3), FakeStream(*[3] * 100), keys(), clock)
    assert stopped.value.code == "ProvisionedThroughputExceededException"
    assert stopped.value.unsent == 3
    assert len(clock.slept) == ATTEMPTS_MAX - 1
    assert clock.slept[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(clock.slept) == 5.0


def test_a_stream_that_takes_a_little_each_time_is_not_given_up():
    stream = FakeStream(*range(40, 0, -1))
    sent = send(events(41), stream, keys(), FakeClock())
    assert sent.records == 41
    assert sent.retried == sum(range(1, 41))


def test_lines_that_are_no_event_are_skipped_with_line_and_reason():
    large = json.dumps({"anonymousId": "a", "x": "y" * (RECORD_BYTES_MAX - 27)}).encode()
    stream = FakeStream()
    sent = send(
        lines(b'{"anonymousId":"a"}\n', b"\n", b"{nope\n", b"[1]\n", large, b" {}\r\n"),
        stream,
        keys(),
        FakeClock(),
    )
    assert [one.data for one in stream.taken] == [b'{"anonymousId":"a"}', b"{}"]
    assert [(one.number, one.reason.partition(":")[0]) for one in sent.skipped] == [
        (3, "not_json"),
        (4, "not_an_object"),
        (5, "too_large"),
    ]


def test_a_rate_without_bounds_waits_for_nothing():
    stream, clock = FakeStream(), FakeClock()
    assert send(events(1000), stream, keys(), clock, rate=float("inf")).records == 1000
    assert [len(call) for call in stream.calls] == [BATCH_RECORDS_MAX, BATCH_RECORDS_MAX]
    assert clock.slept == []


@pytest.mark.parametrize("rate", [7, 100, 5000])
def test_a_rate_is_never_exceeded(rate):
    clock = FakeClock()
    stream = FakeStream()
    times = []
    stream.put = lambda records: times.extend([clock.now] * len(records)) or []
    send(events(1000), stream, keys(), clock, rate=rate)
    at_once = max(1, rate * 0.1)
    for number, at in enumerate(times):
        assert number <= (at - 100.0) * rate + at_once
    assert clock.now - 100.0 == pytest.approx((1000 - at_once) / rate)


def test_an_event_goes_by_its_anonymous_id():
    assert keys().of({"anonymousId": " a1 ", "userId": "u1"}, b"") == "a1"
    assert keys().of({"anonymousId": 12}, b"") == "12"


def test_without_one_it_goes_by_the_identifier_with_the_highest_priority():
    body = {"userId": "u1", "traits": {"email": " A@Example.com"}}
    assert keys(a_definition()).of(body, b"") == "u1"
    del body["userId"]
    assert keys(a_definition()).of(body, b"") == "a@example.com"


def test_definitions_are_asked_for_once_and_only_when_an_event_needs_them():
    asked = []
    partition = PartitionKeys(lambda: asked.append(1) or [a_definition()])
    partition.of({"anonymousId": "a"}, b"")
    assert not asked
    partition.of({"userId": "u"}, b"")
    partition.of({"userId": "u"}, b"")
    assert asked == [1]


@pytest.mark.parametrize("value", [None, "", "  ", True, [], {}, 1.5])
def test_an_event_that_nobody_sent_goes_by_its_content(value):
    found = keys().of({"anonymousId": value}, b"text")
    assert found == keys().of({}, b"text")
    assert found != keys().of({}, b"other")


@pytest.mark.parametrize("value", ["x" * 300, "\ud800", "é" * KEY_LENGTH_MAX])
def test_a_key_is_always_one_that_kinesis_takes(value):
    key = keys().of({"anonymousId": value}, b"")
    assert 1 <= len(key) <= KEY_LENGTH_MAX
    key.encode()
