from decimal import Decimal
from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.core.containers import decode_object
from shared.core.event import ID_LENGTH_MAX, Event, Position, arrival_of, event_of
from shared.core.times import TIME_MS_MAX, format_time, parse_time
from tests.event_generators import KNOWN_FIELDS, any_event, any_json, any_odd_event
from tests.generators import any_time
from tests.kinesis import ARRIVAL, SEQUENCE, SHARD, json_of

POSITION = Position(SHARD, SEQUENCE, 3)
POSITION_ID = f"{SHARD}/{SEQUENCE}/3"
MINUTE = 60_000


def event(body: dict[str, Any], arrival: int = ARRIVAL) -> Event:
    return event_of(body, 100, arrival, POSITION)


def time_of(**fields: int) -> int:
    """The event time of an event with these times in ms."""
    return event({name: format_time(time_ms) for name, time_ms in fields.items()}).time


class TestId:
    def test_the_message_id_is_the_id(self):
        assert event({"messageId": "a-1"}).id == "a-1"

    def test_a_message_id_is_taken_as_sent(self):
        assert event({"messageId": " a "}).id == " a "

    def test_an_integer_becomes_text(self):
        assert event({"messageId": 0}).id == "0"
        assert event({"messageId": 10**30}).id == str(10**30)

    def test_a_long_message_id_is_hashed(self):
        longest = "x" * ID_LENGTH_MAX
        assert event({"messageId": longest}).id == longest
        longer = event({"messageId": longest + "x"}).id
        assert longer.startswith("h:")
        assert len(longer) == 34
        assert longer != event({"messageId": longest + "y"}).id
        assert longer == event({"messageId": longest + "x", "event": "other"}).id

    @pytest.mark.parametrize(
        "value", [None, "", " \t\n", True, False, Decimal("1.5"), [], ["a"], {}, {"a": 1}]
    )
    def test_anything_else_is_no_message_id(self, value):
        assert event({"messageId": value}).id == POSITION_ID

    def test_without_message_id_and_time_the_position_is_the_id(self):
        assert event({}).id == POSITION_ID
        assert event({"timestamp": "yesterday"}).id == POSITION_ID

    def test_without_message_id_the_content_is_the_id_if_it_has_a_time(self):
        body = {"timestamp": "2026-01-02T03:04:05Z", "event": "A"}
        there = event_of(body, 1, ARRIVAL, Position("elsewhere", "1", 0))
        assert event(body).id == there.id
        assert len(there.id) == 32

    @given(any_event(), st.randoms(use_true_random=False))
    @settings(max_examples=60, deadline=None)
    def test_the_order_of_keys_does_not_matter(self, body, random):
        def shuffled(value):
            if isinstance(value, list):
                return [shuffled(one) for one in value]
            if not isinstance(value, dict):
                return value
            names = list(value)
            random.shuffle(names)
            return {name: shuffled(value[name]) for name in names}

        assert event(shuffled(body)).id == event(body).id

    @given(any_event(), any_json(), any_json())
    @settings(max_examples=60, deadline=None)
    def test_transport_fields_do_not_matter(self, body, sent, received):
        assert event({**body, "sentAt": sent, "receivedAt": received}).id == event(body).id

    @given(any_event(), any_json())
    @settings(max_examples=60, deadline=None)
    def test_any_other_difference_matters(self, body, value):
        body = {"timestamp": 1_700_000_000_000, **body, "other": "x"}
        body.pop("messageId", None)
        assume(value != "x")
        assert event({**body, "other": value}).id != event(body).id

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("1", "1.0"),
            ("1", "1.00e0"),
            ("100", "1e2"),
            ("0", "-0"),
            ("0", "-0.0"),
            ("0.5", "5E-1"),
            ("1" + "0" * 400, "1E400"),
            ("9223372036854775808", "9223372036854775808.0"),
            ("-9223372036854775808", "-9223372036854775808.0"),
            ("123456789012345678901234567890.10", "123456789012345678901234567890.1"),
        ],
    )
    def test_equal_numbers_are_equal_however_written(self, one, other):
        text = '{"timestamp": 1700000000, "properties": {"n": [%s]}}'
        ids = {event(decode_object((text % number).encode())).id for number in (one, other)}
        assert len(ids) == 1

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("1", '"1"'),
            ("1", "true"),
            ("0", "null"),
            ("[]", "{}"),
            ("1E999999999999999999", "1E999999999999999998"),
            ("123456789012345678901234567890.1", "123456789012345678901234567890.2"),
            ('{"a": 1}', '["a", 1]'),
        ],
    )
    def test_different_values_are_different(self, one, other):
        text = '{"timestamp": 1700000000, "properties": {"n": %s}}'
        ids = {event(decode_object((text % value).encode())).id for value in (one, other)}
        assert len(ids) == 2

    def test_the_content_is_hashed_in_canonical_form_so_that_ids_outlive_releases(self):
        sent = '{"timestamp": "2026-01-02", "sentAt": 1, "traits": {"b": 1.50, "a": [1e400, "\u00e9", null]}}'
        canonical = '{"timestamp":"2026-01-02","traits":{"a":[1E+400,"é",null],"b":1.5}}'
        assert (
            event(decode_object(sent.encode())).id == blake2b(canonical.encode(), digest_size=16).hexdigest()
        )


class TestTime:
    def test_the_timestamp_is_the_time(self):
        assert time_of(timestamp=ARRIVAL - 5) == ARRIVAL - 5

    def test_a_timestamp_in_the_future_is_the_arrival(self):
        assert time_of(timestamp=ARRIVAL + 1) == ARRIVAL

    @pytest.mark.parametrize(
        "timestamp",
        [
            "0001-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "soon",
            "",
            None,
            True,
            [],
            {},
            -1,
            10**400,
            [ARRIVAL],
        ],
    )
    def test_without_a_readable_timestamp_the_time_is_the_arrival(self, timestamp):
        assert event({"timestamp": timestamp}).time == ARRIVAL

    def test_the_year_9999_is_later_than_the_arrival(self):
        assert event({"timestamp": "9999-12-31T23:59:59.999Z"}).time == ARRIVAL
        assert event({"timestamp": "10000-01-01T00:00:00Z"}).time == ARRIVAL

    def test_a_client_whose_clock_is_ahead_is_corrected_by_the_arrival(self):
        assert time_of(timestamp=ARRIVAL + MINUTE, sentAt=ARRIVAL + MINUTE + 200) == ARRIVAL - 200

    def test_a_client_whose_clock_is_behind_is_corrected_by_the_arrival(self):
        assert time_of(timestamp=ARRIVAL - MINUTE - 200, sentAt=ARRIVAL - MINUTE) == ARRIVAL - 200

    def test_when_the_server_received_it_counts_before_the_arrival(self):
        corrected = time_of(timestamp=ARRIVAL - 900, sentAt=ARRIVAL - 400, receivedAt=ARRIVAL - 300)
        assert corrected == ARRIVAL - 800

    def test_an_unreadable_receipt_counts_as_none(self):
        body = {"timestamp": format_time(ARRIVAL - 900), "sentAt": format_time(ARRIVAL - 400)}
        assert event({**body, "receivedAt": "now"}).time == ARRIVAL - 500

    def test_an_unreadable_sending_corrects_nothing(self):
        assert event({"timestamp": format_time(ARRIVAL - 900), "sentAt": ["x"]}).time == ARRIVAL - 900

    @pytest.mark.parametrize("original", ["2026-01-02T00:00:00Z", "whatever", 5, {}])
    def test_what_has_been_corrected_is_not_corrected_again(self, original):
        body = {
            "timestamp": format_time(ARRIVAL - 900),
            "sentAt": format_time(ARRIVAL - 400),
            "originalTimestamp": original,
        }
        assert event(body).time == ARRIVAL - 900

    @pytest.mark.parametrize("original", [None, "", "  "])
    def test_an_empty_original_timestamp_is_none(self, original):
        body = {
            "timestamp": format_time(ARRIVAL - 900),
            "sentAt": format_time(ARRIVAL - 400),
            "originalTimestamp": original,
        }
        assert event(body).time == ARRIVAL - 500

    def test_sent_before_it_happened_is_not_later_than_the_arrival(self):
        assert time_of(timestamp=ARRIVAL, sentAt=ARRIVAL - MINUTE) == ARRIVAL

    def test_a_time_that_is_corrected_to_before_1970_is_the_arrival(self):
        assert time_of(timestamp=5, sentAt=ARRIVAL + MINUTE) == ARRIVAL

    @given(any_time(), any_time(), any_time(), any_time())
    @settings(max_examples=60, deadline=None)
    def test_only_the_waiting_counts_once_it_is_corrected(self, timestamp, sent, received, shift):
        assume(max(timestamp, sent) + shift <= TIME_MS_MAX)
        assert time_of(timestamp=timestamp, sentAt=sent, receivedAt=received) == time_of(
            timestamp=timestamp + shift, sentAt=sent + shift, receivedAt=received
        )


class TestAnyBody:
    @given(any_odd_event(), any_time())
    @settings(max_examples=100, deadline=None)
    def test_every_object_is_an_event_with_an_id_and_a_time(self, body, arrival):
        found = event_of(body, 7, arrival, POSITION)
        assert found.body == body
        assert found.id
        assert len(found.id) <= ID_LENGTH_MAX
        assert 0 <= found.time <= arrival
        assert (found.size, found.arrival, found.position) == (7, arrival, POSITION)

    @pytest.mark.parametrize("field", KNOWN_FIELDS)
    @pytest.mark.parametrize(
        "value", [None, True, 0, -1, 10**400, Decimal("1E+999999"), "", "\0", [], [[]], {}, {"a": {}}]
    )
    def test_no_field_of_a_wrong_type_matters_to_its_neighbours(self, field, value):
        body = {"messageId": "a", "timestamp": format_time(ARRIVAL - 1), field: value}
        found = event(body)
        assert found.id == "a" or field == "messageId"
        assert found.time == ARRIVAL - 1 or field in {"timestamp", "sentAt"}

    def test_nothing_at_all_is_an_event(self):
        assert (event({}).id, event({}).time) == (POSITION_ID, ARRIVAL)


class TestArrival:
    def test_a_local_event_arrived_when_it_was_received(self):
        assert arrival_of({"receivedAt": 1_700_000_000, "timestamp": 1_600_000_000}) == 1_700_000_000_000

    def test_else_at_its_timestamp(self):
        assert arrival_of({"receivedAt": "?", "timestamp": 1_600_000_000}) == 1_600_000_000_000

    def test_else_it_is_unknown(self):
        assert arrival_of({"timestamp": []}) is None
        assert arrival_of({}) is None

    def test_1970_is_an_arrival(self):
        assert arrival_of({"receivedAt": 0, "timestamp": 5}) == 0

    @given(any_event())
    @settings(max_examples=60, deadline=None)
    def test_it_survives_json(self, body):
        assert arrival_of(decode_object(json_of(body))) == arrival_of(body)
        assert parse_time(body.get("timestamp")) is not None or "timestamp" not in body
