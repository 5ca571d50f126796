"""The archive's form: whatever bytes the stream carried come back, and damage is told."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import contract
from shared.core import archive
from shared.core.archive import (
    DamagedArchiveError,
    archive_line,
    archive_object,
    may_hold_before,
    object_key,
    partition_prefix,
    read_object,
    record_of_line,
)
from shared.core.records import Record
from shared.core.times import TIME_MS_MAX
from tests.generators import any_time
from tests.kinesis import ARRIVAL, SEQUENCE, SHARD

HOUR_MS = 3_600_000
RECORD = Record(b'{"userId": "ann"}', ARRIVAL, SHARD, SEQUENCE)


def any_data():
    """Any bytes that a record may carry: often text, and text that JSON must escape."""
    return st.binary() | st.text().map(str.encode) | st.text('"\\\n\r\0\x7f\u2028{}').map(str.encode)


def any_record():
    # A whole record, as the stream has it: what is replayed is not archived again.
    return st.builds(
        lambda data, arrival, number: Record(data, arrival, SHARD, str(number)),
        any_data(),
        any_time(),
        st.integers(0, 10**55),
    )


@given(any_record(), st.text(max_size=256))
def test_any_record_comes_back_from_its_line(record, partition_key):
    line = archive_line(record, partition_key)
    assert b"\n" not in line
    assert b"\r" not in line
    assert record_of_line(line) == record


@given(st.lists(any_record(), min_size=1, max_size=20))
def test_any_records_come_back_from_an_object_in_their_order(records):
    data = archive_object(archive_line(record, "k") for record in records)
    assert list(read_object(data)) == records
    assert data == archive_object(archive_line(record, "k") for record in records)


def test_a_line_says_what_the_stream_said():
    assert json.loads(archive_line(RECORD, "ann")) == {
        "shard": SHARD,
        "sequence": SEQUENCE,
        "arrival": ARRIVAL,
        "partition_key": "ann",
        "data": '{"userId": "ann"}',
    }


def test_bytes_that_are_no_text_are_in_base64():
    line = json.loads(archive_line(RECORD._replace(data=b"\x1f\x8b\xff"), "k"))
    assert (line["data_base64"], "data" in line) == ("H4v/", False)


def test_a_partition_key_that_is_no_text_keeps_nobody_waiting():
    line = archive_line(RECORD, "a\ud800")
    assert record_of_line(line) == RECORD
    assert json.loads(line)["partition_key"] == "a?"


def test_an_object_is_named_by_the_hour_its_records_arrived_in():
    assert object_key(ARRIVAL, SHARD, "17", "23") == (
        "events/dt=2026-01-02/hour=03/shardId-000000000000-17-23.jsonl.gz"
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nope",
        b"[]",
        b"{}",
        b'{"shard":"s","sequence":"1","arrival":1,"partition_key":"k"}',
        b'{"shard":"s","sequence":"1","arrival":"1","partition_key":"k","data":""}',
        b'{"shard":"s","sequence":1,"arrival":1,"partition_key":"k","data":""}',
        b'{"shard":"s","sequence":"1","arrival":1,"partition_key":"k","data_base64":"%"}',
        b'{"shard":"s","sequence":"1","arrival":1,"partition_key":"k","data_base64":"abc"}',
        b'{"shard":"s","sequence":"1","arrival":1,"partition_key":"k","data":"\xff"}',
        b'{"shard":"s","sequence":"1","arrival":1,"partition_key":"k","data":"\\ud800"}',
        b'{"a":' * 5000,
        b'{"shard":"s","sequence":"1","arrival":-1,"partition_key":"k","data":""}',
        b'{"shard":"s","sequence":"1","arrival":253402300800000,"partition_key":"k","data":""}',
        b'{"shard":"s","sequence":"' + b"1" * 257 + b'","arrival":1,"partition_key":"k","data":""}',
        b'{"shard":"' + b"s" * 257 + b'","sequence":"1","arrival":1,"partition_key":"k","data":""}',
    ],
    ids=lambda line: line[:80],
)
def test_a_line_that_is_none_of_the_archives_is_damage_and_told_by_its_number(line):
    with pytest.raises(DamagedArchiveError):
        record_of_line(line)
    data = gzip.compress(archive_line(RECORD, "k") + b"\n" + line + b"\n")
    with pytest.raises(DamagedArchiveError, match="line 2"):
        list(read_object(data))


@given(st.integers(1, 60))
def test_an_object_cut_short_is_damage(missing):
    data = archive_object([archive_line(RECORD, "k")])
    with pytest.raises(DamagedArchiveError):
        list(read_object(data[:-missing]))


@pytest.mark.parametrize(
    "data",
    [b"", b"not gzip", b"\x1f\x8b" + b"\0" * 30, gzip.compress(b"")],
    ids=["empty", "no gzip", "zeros", "nothing"],
)
def test_an_object_that_is_not_compressed_or_empty_is_damage(data):
    with pytest.raises(DamagedArchiveError):
        list(read_object(data))


def test_an_object_that_would_fill_the_memory_is_damage(monkeypatch):
    monkeypatch.setattr(archive, "TEXT_BYTES_MAX", 1000)
    with pytest.raises(DamagedArchiveError, match="more than 1000 bytes"):
        list(read_object(gzip.compress(b" " * 100_000)))


def test_damage_never_quotes_what_a_line_says():
    line = b'{"shard":"ann@example.com","sequence":"ann@example.com"}'
    with pytest.raises(DamagedArchiveError) as caught:
        list(read_object(archive_object([line])))
    assert "ann" not in str(caught.value)


@given(any_time(), any_time())
def test_objects_that_may_hold_what_came_before_a_moment_come_first_in_a_listing(arrival, before):
    key = object_key(arrival, SHARD, "1", "2")
    assert may_hold_before(key, before) == (arrival // HOUR_MS <= before // HOUR_MS)


@given(st.integers(0, TIME_MS_MAX), st.integers(0, TIME_MS_MAX))
def test_partitions_sort_by_time(one, other):
    assert (partition_prefix(one) <= partition_prefix(other)) == (one // HOUR_MS <= other // HOUR_MS)
    assert partition_prefix(one).startswith(contract.PREFIX_EVENTS)
