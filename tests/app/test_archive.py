"""Archiving: whatever the stream carried is in the archive, however it was delivered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import contract
from shared.app.archive import Archiver
from shared.app.markers import Markers, are_acknowledged
from shared.core.archive import read_object
from shared.core.control import READER_ARCHIVE, Marker, control_record
from shared.core.records import Record
from tests.fakes.objects import FakeObjects
from tests.kinesis import ARRIVAL, SHARD, envelope

HOUR_MS = 3_600_000
TOKEN = "ab" * 16
MARKER = control_record(Marker(TOKEN, READER_ARCHIVE))


class World:
    def __init__(self):
        self.objects = FakeObjects()
        self.archiver = Archiver(self.objects, Markers(self.objects))

    def run(self, records):
        return self.archiver.run(
            [
                envelope(record.data, arrival=record.arrival, shard=record.shard, sequence=record.sequence)
                for record in records
            ]
        )

    def held(self):
        """All that the archive holds, as often as it does."""
        return [
            record
            for key, (data, _) in self.objects.held.items()
            if key.startswith(contract.PREFIX_EVENTS)
            for record in read_object(data)
        ]

    def names(self):
        return sorted(key for key in self.objects.held if key.startswith(contract.PREFIX_EVENTS))


def stream_of(*datas, arrival=ARRIVAL, step_ms=1):
    return [
        Record(data, arrival + number * step_ms, SHARD, f"{number:056}")
        for number, data in enumerate(datas, 1)
    ]


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=12), st.integers(0, HOUR_MS), st.data())
def test_every_record_is_archived_unchanged_however_batches_are_cut_and_come_again(datas, step_ms, data):
    records = stream_of(*datas, step_ms=step_ms)
    world, done = World(), 0
    while done < len(records):
        again = data.draw(st.integers(0, done))
        done = data.draw(st.integers(done + 1, len(records)))
        world.run(records[again:done])
    held = world.held()
    assert {(one.shard, one.sequence): one for one in held} == {
        (one.shard, one.sequence): one for one in records
    }
    assert set(held) == set(records)


def test_the_same_batch_is_the_same_object_to_the_byte():
    world = World()
    records = stream_of(b"a", b"b", b"\xff")
    for _ in range(2):
        world.run(records)
        assert list(world.objects.held) == [
            f"events/dt=2026-01-02/hour=03/{SHARD}-{1:056}-{3:056}.jsonl.gz",
        ]
        assert world.held() == records
    data, _ = world.objects.held[world.names()[0]]
    world.run(records)
    assert world.objects.held[world.names()[0]][0] == data


def test_a_batch_that_spans_hours_gives_an_object_for_each():
    world = World()
    archived = world.run(stream_of(*(b"%d" % number for number in range(6)), step_ms=HOUR_MS // 2))
    assert [key.split("/")[2] for key in world.names()] == ["hour=03", "hour=04", "hour=05", "hour=06"]
    assert (archived.records, archived.objects) == (6, 4)
    assert archived.oldest == ARRIVAL + HOUR_MS // 2
    assert archived.size == sum(len(data) for data, _ in world.objects.held.values())


def test_control_records_are_archived_as_any_record():
    world = World()
    records = stream_of(MARKER, b'{"kith_control":{"kind":"erasure"}}')
    world.run(records)
    assert world.held() == records


def test_markers_of_the_archive_alone_are_acknowledged():
    world = World()
    world.run(stream_of(control_record(Marker(TOKEN, "customers-v1"))))
    assert not are_acknowledged(world.objects, TOKEN, [SHARD])
    world.run(stream_of(b"event", MARKER))
    assert are_acknowledged(world.objects, TOKEN, [SHARD])


def test_a_marker_is_acknowledged_only_once_all_before_it_is_written(monkeypatch):
    world = World()
    records = stream_of(b"a", b"b", MARKER, step_ms=HOUR_MS)
    put = world.objects.put

    def fail(key, data):
        if len(world.names()) == 1:
            raise ConnectionError
        put(key, data)

    with monkeypatch.context() as patch:
        patch.setattr(world.objects, "put", fail)
        with pytest.raises(ConnectionError):
            world.run(records)
    assert not are_acknowledged(world.objects, TOKEN, [SHARD])
    world.run(records)
    assert are_acknowledged(world.objects, TOKEN, [SHARD])
    assert world.held() == records


def test_a_batch_without_records_is_nothing():
    world = World()
    assert world.run([]).records == 0
    assert not world.objects.held
