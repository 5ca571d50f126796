"""Markers: one on every open shard, however the stream changes meanwhile, and known once all are met."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.kinesis import KinesisShards
from shared.app.markers import Markers, ShardsChangingError, are_acknowledged, put_markers
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


@given(st.data())
def test_shards_that_appear_meanwhile_get_theirs(data):
    changes = data.draw(st.lists(st.sampled_from(["nothing", "split", "merge"]), max_size=8))

    def change(shards):
        match changes.pop() if changes else "nothing":
            case "split":
                shards.split(data.draw(st.sampled_from(sorted(shards.starts))))
            case "merge" if len(shards.starts) > 1:
                first, second = sorted(shards.starts, key=shards.starts.get)[:2]
                shards.merge(first, second)

    shards = FakeShards(3, change)
    marked = put_markers(shards, TOKEN, "customers-v2")
    assert marked == sorted({shard for shard, _ in shards.records})
    assert set(shards.starts) <= set(marked)


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
    markers.acknowledge(TOKEN, "shard-0")
    markers.acknowledge("cd" * 16, "shard-1")
    assert not are_acknowledged(objects, TOKEN, shards)
    markers.acknowledge(TOKEN, "shard-1")
    markers.acknowledge(TOKEN, "shard-1")
    assert are_acknowledged(objects, TOKEN, shards)


def test_markers_reach_every_shard_of_a_stream():
    with moto_clients(REGION) as client:
        kinesis = client("kinesis")
        kinesis.create_stream(StreamName="events", ShardCount=3)
        marked = put_markers(KinesisShards(kinesis, "events"), TOKEN, READER_ARCHIVE)
        assert len(marked) == 3
        for shard in marked:
            iterator = kinesis.get_shard_iterator(
                StreamName="events", ShardId=shard, ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            [record] = kinesis.get_records(ShardIterator=iterator)["Records"]
            assert control_of(record["Data"]) == Marker(TOKEN, READER_ARCHIVE)
