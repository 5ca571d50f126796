"""Markers: one on every open shard, however the stream changes meanwhile, and known once all are met."""

from hashlib import blake2b
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.kinesis import KinesisShards, MarkersRefusedError
from shared.app.markers import Markers, ShardsChangingError, are_acknowledged, markers_for, put_markers
from shared.core.control import READER_ARCHIVE, Marker, control_of
from tests.fakes.objects import FakeObjects
from tests.fakes.shards import FakeShards
from tests.moto_cloud import moto_clients

TOKEN = "ab" * 16
REGION = "eu-central-1"


def test_every_shard_gets_one_marker():
    shards = FakeShards(3)
    assert put_markers(shards, TOKEN, READER_ARCHIVE) == ["shard-0", "shard-1", "shard-2"]
    assert sorted(shard for shard, _ in shards.records) == ["shard-0", "shard-1", "shard-2"]
    assert {control_of(data) for _, data in shards.records} == {Marker(TOKEN, READER_ARCHIVE)}


LANES_OF_A_KEY = {
    "crc": lambda key: crc32(key.encode()),
    "hash": lambda key: int.from_bytes(blake2b(key.encode()).digest()),
    "a range of hashes": lambda key: blake2b(key.encode()).digest()[0] * 10 // 256,
    "sum": lambda key: sum(key.encode()),
}
"""How Lambda might choose the lane of a record; it does not tell, but by the partition key alone."""


@pytest.mark.parametrize("lane_of", LANES_OF_A_KEY.values(), ids=LANES_OF_A_KEY)
@pytest.mark.parametrize("lanes", [2, 3, 10])
def test_each_lane_of_a_shard_meets_a_marker_however_lanes_are_chosen(lanes, lane_of):
    with moto_clients(REGION) as client:
        kinesis = client("kinesis")
        kinesis.create_stream(StreamName="events", ShardCount=2)
        shards = KinesisShards(kinesis, "events")
        for shard in put_markers(shards, TOKEN, "customers-v2", markers_for(lanes)):
            met = {lane_of(one["PartitionKey"]) % lanes for one in records_of(kinesis, shard)}
            assert met == set(range(lanes))


@pytest.mark.parametrize("stuck", range(4))
def test_what_one_of_several_lanes_has_not_dealt_with_is_not_acknowledged(stuck):
    objects, shards, count = FakeObjects(), FakeShards(2), markers_for(4)
    marked = put_markers(shards, TOKEN, "customers-v2", count)
    late = []
    for shard, data in shards.records:
        marker = control_of(data)
        if shard == "shard-1" and crc32(str(marker.number).encode()) % 4 == stuck:
            late.append(marker)
        else:
            Markers(objects).acknowledge(marker, shard)
    for marker in late:
        assert not are_acknowledged(objects, TOKEN, marked, count)
        Markers(objects).acknowledge(marker, "shard-1")
    assert are_acknowledged(objects, TOKEN, marked, count)


@given(st.data(), st.sampled_from([1, 3]))
def test_shards_that_appear_meanwhile_get_theirs(data, count):
    changes = data.draw(st.lists(st.sampled_from(["nothing", "split", "merge"]), max_size=8))

    def change(shards):
        match changes.pop() if changes else "nothing":
            case "split":
                shards.split(data.draw(st.sampled_from(sorted(shards.starts))))
            case "merge" if len(shards.starts) > 1:
                first, second = sorted(shards.starts, key=shards.starts.get)[:2]
                shards.merge(first, second)

    shards = FakeShards(3, change)
    marked = put_markers(shards, TOKEN, "customers-v2", count)
    met = {(shard, control_of(record).number) for shard, record in shards.records}
    assert marked == [shard for shard in sorted({one for one, _ in met}) if len(numbers(met, shard)) == count]
    assert set(shards.starts) <= set(marked)


def numbers(met, shard):
    return [number for one, number in met if one == shard]


def test_a_stream_that_never_comes_to_rest_is_told():
    class Restless(FakeShards):
        def open_shards(self):
            self.split(min(self.starts))
            return super().open_shards()

    shards = Restless(1)
    with pytest.raises(ShardsChangingError):
        put_markers(shards, TOKEN, READER_ARCHIVE)


def test_all_is_dealt_with_once_every_marker_is_met():
    objects = FakeObjects()
    markers = Markers(objects)
    shards = ["shard-0", "shard-1"]
    assert not are_acknowledged(objects, TOKEN, shards)
    markers.acknowledge(Marker(TOKEN, "r"), "shard-0")
    markers.acknowledge(Marker("cd" * 16, "r"), "shard-1")
    assert not are_acknowledged(objects, TOKEN, shards)
    markers.acknowledge(Marker(TOKEN, "r"), "shard-1")
    markers.acknowledge(Marker(TOKEN, "r"), "shard-1")
    assert are_acknowledged(objects, TOKEN, shards)


def test_markers_reach_every_shard_of_a_stream():
    with moto_clients(REGION) as client:
        kinesis = client("kinesis")
        kinesis.create_stream(StreamName="events", ShardCount=3)
        marked = put_markers(KinesisShards(kinesis, "events"), TOKEN, READER_ARCHIVE)
        assert len(marked) == 3
        for shard in marked:
            [record] = records_of(kinesis, shard)
            assert control_of(record["Data"]) == Marker(TOKEN, READER_ARCHIVE)


def records_of(kinesis, shard):
    iterator = kinesis.get_shard_iterator(
        StreamName="events", ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    return kinesis.get_records(ShardIterator=iterator)["Records"]


class Busy:
    """A shard that takes some of each request only."""

    def __init__(self, taken):
        self.taken = taken
        self.keys = []

    def put_records(self, **request):
        took, refused = request["Records"][: self.taken], request["Records"][self.taken :]
        self.keys += [one["PartitionKey"] for one in took]
        error = {"ErrorCode": "ProvisionedThroughputExceededException"}
        return {"Records": [{"ShardId": "shard-0"}] * len(took) + [error] * len(refused)}


def test_markers_that_a_busy_shard_refuses_are_put_again():
    waits = []
    busy = Busy(20)
    assert KinesisShards(busy, "events", waits.append).put([b"x"] * 48, "0") == ["shard-0"] * 48
    assert len(set(busy.keys)) == len(busy.keys) == 48
    assert waits == [1, 1]
    with pytest.raises(MarkersRefusedError, match="ProvisionedThroughputExceeded"):
        KinesisShards(Busy(0), "events", waits.append).put([b"x"], "0")
