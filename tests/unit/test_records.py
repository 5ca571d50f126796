import random
import tracemalloc
from base64 import b64decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.containers import (
    DEPTH_MAX,
    EVENT_BYTES_MAX,
    EVENTS_MAX,
    TEXT_BYTES_MAX,
)
from shared.core.event import Event
from shared.core.records import (
    Rejection,
    read_record,
)
from tests.event_generators import any_event, any_odd_event
from tests.kinesis import (
    ARRIVAL,
    SEQUENCE,
    SHARD,
    aggregate_of,
    array_of,
    gzip_of,
    json_of,
    lines_of,
    message_of,
    sealed,
    sizeless_zstd_of,
    zstd_of,
)

GOOD = b'{"event":"A"}'
ALSO_GOOD = b'{"event":"B"}'
PACKINGS = {"plain": bytes, "gzip": gzip_of, "zstd": zstd_of, "sizeless zstd": sizeless_zstd_of}
CONTAINERS = {
    "array": array_of,
    "lines": lines_of,
    "lines with blanks": lambda texts: b"\r\n\n  \r\n".join(texts) + b"\n\n",
    "aggregate": aggregate_of,
    "aggregate of arrays": lambda texts: aggregate_of([array_of(texts[:2]), array_of(texts[2:])]),
    "aggregate of gzip": lambda texts: aggregate_of([gzip_of(text) for text in texts]),
    "aggregate of zstd lines": lambda texts: aggregate_of([zstd_of(lines_of(texts))]),
}

# What is no event, and why.
BAD = {
    "not JSON": (b"hello", "not_json"),
    "half an object": (b'{"a":1', "not_json"),
    "a trailing comma": (b'{"a":1,}', "not_json"),
    "NaN": (b'{"a":NaN}', "not_json"),
    "infinity": (b'{"a":-Infinity}', "not_json"),
    "a lone surrogate and no JSON": (b'{"a":"\\ud800",}', "not_json"),
    "a lone surrogate and a wrong escape": (b'{"a":"\\ud800\\x"}', "not_json"),
    "a lone surrogate and broken UTF-8": (b'{"a":"\\ud800\xff"}', "not_json"),
    "a lone surrogate that is the event": (b'"\\ud800"', "not_json"),
    "a lone surrogate in 64 levels": (b'{"a":' * DEPTH_MAX + b'"\\ud800"' + b"}" * DEPTH_MAX, "too_deep"),
    "broken UTF-8": (b'{"a":"\xff"}', "not_json"),
    "a raw NUL": (b'{"a":"\0"}', "not_json"),
    "single quotes": (b"{'a':1}", "not_json"),
    "5000 digits": (b'{"a":' + b"9" * 5000 + b"}", "number_out_of_range"),
    "a number": (b"5", "not_an_object"),
    "a decimal number": (b"5.5", "not_an_object"),
    "text": (b'"a"', "not_an_object"),
    "null": (b"null", "not_an_object"),
    "a boolean": (b"true", "not_an_object"),
    "65 levels": (b'{"a":' * DEPTH_MAX + b"[]" + b"}" * DEPTH_MAX, "too_deep"),
    "900 levels": (b'{"a":' * 900 + b"1" + b"}" * 900, "too_deep"),
    "100,000 levels": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
    "over 1 MiB": (b'{"a":"' + b"x" * EVENT_BYTES_MAX + b'"}', "too_large"),
}
bad_texts = pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD.keys())


def read(data: bytes, first_index: int = 0) -> list[Event | Rejection]:
    return read_record(data, ARRIVAL, SHARD, SEQUENCE, first_index)


def outline(data: bytes) -> list[str]:
    """The names of events and the reasons of rejections, in their order."""
    return [one.reason if isinstance(one, Rejection) else one.body["event"] for one in read(data)]


def rejected(data: bytes) -> str:
    """Why all of a record is rejected."""
    (only,) = read(data)
    assert isinstance(only, Rejection)
    assert only.whole
    assert only.data == data
    assert (only.arrival, only.position) == (ARRIVAL, (SHARD, SEQUENCE, 0))
    return only.reason


class TestForms:
    def test_one_object_is_one_event(self):
        (event,) = read(b'{"event":"A","messageId":"1"}')
        assert (event.id, event.time, event.arrival, event.size) == ("1", ARRIVAL, ARRIVAL, 29)
        assert event.position == (SHARD, SEQUENCE, 0)

    def test_blanks_around_an_object_do_not_matter(self):
        assert outline(b' \r\n {"event":\n "A"} \n') == ["A"]

    @given(st.lists(any_event(), min_size=1, max_size=5), st.data())
    @settings(max_examples=100, deadline=None)
    def test_a_container_gives_the_same_events_as_its_records_alone(self, bodies, data):
        texts = [json_of(body) for body in bodies]
        pack = data.draw(st.sampled_from(list(PACKINGS.values())))
        contain = data.draw(st.sampled_from(list(CONTAINERS.values())))
        packed = contain(texts)
        record = packed if packed.startswith(b"\xf3") else pack(packed)
        alone = [event for index, text in enumerate(texts) for event in read(text, index)]
        assert read(record) == alone
        assert [event.body for event in alone] == bodies
        assert [event.position.index for event in alone] == list(range(len(bodies)))

    @pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS.keys())
    def test_one_object_may_be_packed(self, pack):
        assert read(pack(GOOD)) == read(GOOD)

    @pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS.keys())
    def test_an_aggregate_may_hold_what_is_packed(self, pack):
        assert outline(aggregate_of([pack(GOOD), pack(array_of([ALSO_GOOD, GOOD]))])) == ["A", "B", "A"]

    @pytest.mark.parametrize("pack", [gzip_of, zstd_of, sizeless_zstd_of])
    def test_several_members_are_one_text(self, pack):
        assert outline(pack(GOOD + b"\n") + pack(b"") + pack(ALSO_GOOD)) == ["A", "B"]

    def test_many_members_take_no_long_time(self):
        assert len(read(b"".join(gzip_of(GOOD + b"\n") for _ in range(5_000)))) == 5_000

    def test_an_aggregate_made_by_the_library_of_AWS_is_read(self):  # noqa: N802 - its name
        record = b64decode(
            "84mawgoCcDEKAnAyEgMxMjMaEQgAGg17ImV2ZW50IjoiQSJ9GiEIARAAGht7ImV2ZW50IjoiQiJ9CnsiZXZlbnQi"
            "OiJDIn0aEwgAGg9beyJldmVudCI6IkQifV2dQH9EXMsUi6hSlcEMU9Gt"
        )
        assert outline(record) == ["A", "B", "C", "D"]

    def test_unknown_fields_of_an_aggregate_are_passed_over(self):
        unknown = b"\x48\x96\x01" + b"\x51" + b"8" * 8 + b"\x5d" + b"4" * 4 + b"\x62\x01x"
        assert outline(sealed(unknown + message_of([GOOD]) + unknown)) == ["A"]

    @pytest.mark.parametrize("record", [b"[]", gzip_of(b" [ ] "), aggregate_of([])])
    def test_a_container_of_nothing_holds_no_events(self, record):
        assert read(record) == []

    def test_of_duplicate_keys_the_last_wins(self):
        assert outline(b'{"event":"A","event":"B"}') == ["B"]

    def test_an_escaped_nul_is_text(self):
        assert outline(b'{"event":"\\u0000"}') == ["\0"]

    def test_numbers_of_400_digits_are_exact(self):
        digits = "1234567890" * 40
        (event,) = read(f'{{"n":{digits},"d":0.{digits}1}}'.encode())
        assert str(event.body["n"]) == digits
        assert str(event.body["d"]) == f"0.{digits}1"

    def test_an_exponent_that_no_number_can_have_is_one_that_none_can_use(self):
        (event,) = read(b'{"n":-1.5e99999999999999999999,"d":1E-99999999999999999999}')
        assert str(event.body["n"]) == "-1.5E+100000000000000000"
        assert str(event.body["d"]) == "1E-100000000000000000"

    def test_64_levels_are_an_event(self):
        text = b'{"a":' * (DEPTH_MAX - 1) + b"{}" + b"}" * (DEPTH_MAX - 1)
        assert isinstance(read(text)[0], Event)

    def test_many_shallow_objects_are_an_event(self):
        assert outline(b'{"event":"A","list":[' + b",".join([b"{}"] * 500) + b"]}") == ["A"]

    def test_brackets_in_texts_are_no_levels(self):
        assert outline(b'{"event":"A","text":"' + b"[{" * 500 + b'"}') == ["A"]

    def test_an_event_of_1_mib_is_an_event(self):
        text = b'{"event":"A","x":"' + b"x" * (EVENT_BYTES_MAX - 20) + b'"}'
        assert len(text) == EVENT_BYTES_MAX
        assert outline(text) == ["A"]


class TestRejections:
    @bad_texts
    def test_what_is_no_event_is_rejected_whole(self, text, reason):
        assert rejected(text) == reason

    @bad_texts
    @pytest.mark.parametrize("pack", [gzip_of, zstd_of])
    def test_and_as_it_was_sent_if_it_was_packed(self, text, reason, pack):
        assert rejected(pack(text)) == reason

    @pytest.mark.parametrize("pack", PACKINGS.values(), ids=PACKINGS.keys())
    @pytest.mark.parametrize("text", [b"", b" ", b"\n\r\n\t"])
    def test_nothing_is_rejected(self, pack, text):
        assert rejected(pack(text)) == "empty"

    @pytest.mark.parametrize(
        ("container", "name"),
        # Nobody can tell where an unbalanced element of an array ends; that has its own test.
        [(c, n) for c in CONTAINERS for n in BAD if not (n == "half an object" and "array" in c)],
    )
    def test_it_harms_no_neighbour_in_a_container(self, container, name):
        text, reason = BAD[name]
        results = read(CONTAINERS[container]([GOOD, text, ALSO_GOOD]))
        assert [one.position.index for one in results] == [0, 1, 2]
        first, bad, last = results
        assert [first, last] == [*read(GOOD), *read(ALSO_GOOD, 2)]
        assert (bad.reason, bad.whole) == (reason, False)
        assert bad.arrival == ARRIVAL
        assert bad.data in {text, gzip_of(text)}

    def test_an_array_in_an_array_is_no_event(self):
        assert outline(b'[{"event":"A"},[{"event":"B"}],[]]') == ["A", "not_an_object", "not_an_object"]

    def test_an_array_of_no_events_is_rejected_one_by_one(self):
        results = read(b"[1, null]")
        assert [(one.reason, one.data, one.whole) for one in results] == [
            ("not_an_object", b"1", False),
            ("not_an_object", b"null", False),
        ]

    def test_an_array_whose_end_is_missing_is_rejected_whole(self):
        assert rejected(b'[{"event":"A"},{"event":"B"}') == "not_json"

    @pytest.mark.parametrize(
        "text",
        [
            b'[{"event":"A"},{"b":1,{"event":"B"}]',
            b'[{"event":"A"},{"b":"},{"event":"B"}]',
            b'[{"event":"A"}]]',
            b'[{"event":"A"}] 5 {',
        ],
    )
    def test_an_unbalanced_array_is_rejected_whole(self, text):
        assert rejected(text) == "not_json"

    @pytest.mark.parametrize("filling", [b"x", b"[", b'""', b'"', b'\\"', b"{}", b"{},"])
    def test_a_long_array_without_an_end_takes_no_long_time(self, filling):
        text = b"[" + filling * 300_000
        assert rejected(text) in {"not_json", "too_deep", "too_large", "too_many_events"}

    def test_a_comma_too_many_costs_no_event(self):
        assert outline(b'[{"event":"A"},{"event":"B"},]') == ["A", "B"]

    def test_quotes_and_commas_in_texts_do_not_cut_an_array(self):
        tricky = json_of({"event": 'x"},{"y\\'})
        assert outline(array_of([tricky, b'{"a":NaN}', GOOD])) == ['x"},{"y\\', "not_json", "A"]

    def test_a_damaged_object_of_many_lines_is_one_rejection(self):
        assert rejected(b'{\n"a": 1,\n"b": [\n2,\n3\n]\n') == "not_json"

    def test_lines_are_told_from_an_object_by_one_that_is_readable(self):
        assert outline(b'{"a":NaN}\n{"event":"A"}') == ["not_json", "A"]

    def test_a_rejection_says_nothing_of_what_was_sent(self):
        secret = b"jane@example.com"
        texts = [text for text, _ in BAD.values()] + [b'{"a" "%s"}', b'{"%s": 1, "%s"', b'"%s"', b"%s"]
        for text in texts:
            for one in read(text.replace(b"%s", secret)):
                assert secret.decode() not in one.detail

    def test_indexes_go_on_where_a_part_stood(self):
        assert [one.position.index for one in read(GOOD, 7)] == [7]
        assert [one.position.index for one in read(b"x", 7)] == [7]


class TestLimits:
    @pytest.mark.parametrize("container", CONTAINERS)
    def test_10_000_events_are_read(self, container):
        assert len(read(CONTAINERS[container]([b'{"a":1}'] * EVENTS_MAX))) == EVENTS_MAX

    @pytest.mark.parametrize("container", CONTAINERS)
    def test_one_more_rejects_the_record(self, container):
        assert rejected(CONTAINERS[container]([b'{"a":1}'] * (EVENTS_MAX + 1))) == "too_many_events"

    def test_unreadable_ones_count_too(self):
        assert rejected(lines_of([GOOD] + [b"x"] * EVENTS_MAX)) == "too_many_events"
        assert rejected(aggregate_of([b""] * (EVENTS_MAX + 1))) == "too_many_events"

    @pytest.mark.parametrize("pack", [bytes, gzip_of])
    def test_an_array_of_a_million_is_rejected(self, pack):
        assert rejected(pack(array_of([b"{}"] * 1_000_000))) == "too_many_events"

    @pytest.mark.parametrize(
        "text", [b"[" + b"1," * 8_000_000 + b"1]", b"\n" * 16_000_000 + b"x", b"[" * 16_000_000]
    )
    def test_more_values_than_the_memory_could_hold_are_rejected(self, text):
        assert rejected(zstd_of(text)) == "too_large"

    @pytest.mark.parametrize("pack", [gzip_of, zstd_of, sizeless_zstd_of])
    def test_a_bomb_is_rejected(self, pack):
        assert rejected(pack(b" " * (TEXT_BYTES_MAX + 1))) == "too_large"

    def test_a_bomb_of_a_gigabyte_is_not_unpacked(self):
        bomb = sizeless_zstd_of(bytes(2**30))
        tracemalloc.start()
        try:
            assert rejected(bomb) == "too_large"
            assert tracemalloc.get_traced_memory()[1] < 4 * TEXT_BYTES_MAX
        finally:
            tracemalloc.stop()

    def test_a_bomb_harms_no_neighbour_in_an_aggregate(self):
        bomb = zstd_of(b" " * (TEXT_BYTES_MAX + 1))
        assert outline(aggregate_of([GOOD, bomb, ALSO_GOOD])) == ["A", "too_large", "B"]

    def test_the_parts_of_an_aggregate_share_one_limit(self):
        part = zstd_of(lines_of([json_of({"a": "x" * 2**19})] * 20))
        assert len(read(aggregate_of([part] * 3))) == 60
        assert rejected(aggregate_of([part] * 4)) == "too_large"

    def test_a_frame_that_claims_more_than_it_holds_takes_no_memory(self):
        # A frame header with a window of a terabyte, and one with a content of 2**60 bytes.
        assert rejected(b"\x28\xb5\x2f\xfd\x00\xf0\x01\x00\x00") == "corrupt"
        assert rejected(b"\x28\xb5\x2f\xfd\xe0" + b"\0" * 7 + b"\x10" + b"\x01\x00\x00") == "corrupt"


class TestDamage:
    @pytest.mark.parametrize("pack", [gzip_of, zstd_of, sizeless_zstd_of])
    def test_packed_data_cut_anywhere_is_truncated(self, pack):
        record = pack(json_of({"a": list(range(200))}))
        for length in range(4, len(record)):
            assert rejected(record[:length]) == "truncated"

    def test_a_wrong_checksum_is_corrupt(self):
        record = bytearray(gzip_of(GOOD))
        record[-6] ^= 1
        assert rejected(bytes(record)) == "corrupt"

    @pytest.mark.parametrize("pack", [gzip_of, zstd_of])
    def test_rubbish_behind_packed_data_is_corrupt(self, pack):
        assert rejected(pack(GOOD) + b"rubbish") == "corrupt"

    @pytest.mark.parametrize(
        "record",
        [
            b"\xf3\x89\x9a\xc2",
            b"\xf3\x89\x9a\xc2" + bytes(16),
            aggregate_of([GOOD])[:-1],
            sealed(b"\x1a\x05\x1a\x7f"),
            sealed(b"\x1a\x02\x08\x00"),
            sealed(b"\x1a"),
            sealed(b"\x80" * 20),
            sealed(b"\x09\x00"),
            sealed(b"\x0d\x00"),
            sealed(b"\x0b"),
        ],
    )
    def test_a_damaged_aggregate_is_corrupt(self, record):
        assert rejected(record) == "corrupt"

    @given(
        st.binary(max_size=200),
        st.sampled_from([b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"{", b"[", b"\n{"]),
    )
    @settings(max_examples=100, deadline=None)
    def test_no_bytes_at_all_raise_or_vanish(self, data, start):
        results = read(start + data)
        assert results or (start + data).strip().startswith(b"[")
        assert [one.position.index for one in results] == list(range(len(results)))

    @given(st.binary(max_size=200))
    @settings(max_examples=100, deadline=None)
    def test_no_aggregate_raises(self, data):
        read(sealed(data))

    def test_no_single_damaged_byte_raises(self):
        numbers = random.Random(1)
        for record in (contain([GOOD, ALSO_GOOD]) for contain in CONTAINERS.values()):
            for pack in PACKINGS.values():
                whole = bytearray(pack(record))
                for _ in range(40):
                    damaged = bytearray(whole)
                    damaged[numbers.randrange(len(damaged))] = numbers.randrange(256)
                    assert all(isinstance(one, Event | Rejection) for one in read(bytes(damaged)))

    @given(st.lists(any_odd_event(), min_size=2, max_size=4))
    @settings(max_examples=60, deadline=None)
    def test_odd_objects_are_events(self, bodies):
        results = read(lines_of([json_of(body) for body in bodies]))
        assert [event.body for event in results] == bodies


class TestPositions:
    @given(st.lists(st.sampled_from([GOOD, b"{}", b"x", b"", b"5", b'[{"a":1},{"b":NaN},7]']), max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_every_event_of_a_record_has_its_own_at_every_delivery(self, parts):
        record = aggregate_of(parts)
        results = read(record)
        assert [one.position.index for one in results] == list(range(len(results)))
        assert read(record) == results
        events = [one for one in results if isinstance(one, Event)]
        assert len({event.id for event in events}) == len(events)
