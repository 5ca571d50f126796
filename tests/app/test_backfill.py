"""Backfilling: a file is in the archive once and whole, however often it is added, wherever it breaks off."""

import json
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import contract
from shared.app.backfill import Backfill, Manifest, Written
from shared.core.archive import partition_prefix, read_object
from shared.core.times import format_time
from tests.fakes.objects import FakeObjects
from tests.kinesis import ARRIVAL, json_of

NOW = ARRIVAL
HOUR_MS = 3_600_000


class FakeSource:
    name = "history.jsonl"

    def __init__(self, *lines, end=b"\n"):
        self._lines = [line + end for line in lines]

    def lines(self):
        yield from self._lines


class FakeSpool:
    def __init__(self):
        self.held = {}
        self.appended = 0

    def append(self, hour, data):
        self.appended += 1
        self.held[hour] = self.held.get(hour, b"") + data

    def take(self, hour):
        return self.held.pop(hour)


class Crash(Exception):  # noqa: N818 - a crash, not an error of ours
    pass


class World:
    def __init__(self):
        self.objects = FakeObjects()
        self.spool = FakeSpool()
        self.rejected = []
        self.puts_left = None

    @contextmanager
    def puts(self):
        yield self

    def put(self, key, data):
        if self.puts_left is not None:
            if not self.puts_left:
                raise Crash
            self.puts_left -= 1
        self.objects.put(key, data)

    def add(self, source, **options):
        self.rejected.clear()
        return Backfill(self.objects, self.puts, NOW, **options).add(source, self.spool, self.rejected.append)

    def events(self):
        """Everything in the archive, by key."""
        return {
            key: list(read_object(data))
            for key, (data, _) in sorted(self.objects.held.items())
            if key.startswith(contract.PREFIX_EVENTS)
        }

    def records(self):
        return [record for records in self.events().values() for record in records]


def event(arrival=ARRIVAL - 1, **changes):
    return json_of({"type": "track", "userId": "ann", "receivedAt": format_time(arrival)} | changes)


def any_history():
    """Lines that arrived in any of a few hours, out of order, some of them unusable."""
    good = st.builds(
        lambda hours, text: event(ARRIVAL - hours * HOUR_MS, text=text),
        st.integers(0, 3),
        st.text(max_size=20),
    )
    bad = st.sampled_from([b"", b"nope", b"[]", b"{}", event(NOW + 1), b"\xff", b'{"timestamp": "soon"}'])
    return st.lists(good | bad, max_size=30)


def good_lines(lines):
    """The lines that are events which have arrived, by their number."""
    return {
        number: line
        for number, line in enumerate(lines, 1)
        if line.startswith(b'{"type"') and json.loads(line)["receivedAt"] <= format_time(NOW)
    }


@given(any_history(), st.integers(1, 2000), st.integers(1, 2000))
def test_every_event_is_added_once_in_the_hour_it_arrived_whatever_fits_in_memory(
    lines, object_bytes_max, held_bytes_max
):
    world = World()
    limits = {"object_bytes_max": object_bytes_max, "held_bytes_max": held_bytes_max}
    added = world.add(FakeSource(*lines), **limits)
    assert {int(one.sequence): one.data for one in world.records()} == good_lines(lines)
    for key, records in world.events().items():
        assert all(key.startswith(partition_prefix(record.arrival)) for record in records)
        assert [record.sequence for record in records] == sorted(record.sequence for record in records)
    assert {key: len(records) for key, records in world.events().items()} == {
        one.key: one.records for one in added.manifest.objects
    }
    assert added.manifest.records + sum(added.manifest.rejected.values()) == sum(map(bool, lines))
    assert len(world.rejected) == sum(added.manifest.rejected.values())
    assert not world.spool.held
    roomy = World()
    roomy.add(FakeSource(*lines), object_bytes_max=object_bytes_max)
    assert roomy.events() == world.events()


@given(any_history(), st.integers(0, 10))
def test_a_run_that_broke_off_may_be_repeated(lines, puts):
    world, whole = World(), World()
    whole.add(FakeSource(*lines), object_bytes_max=300)
    world.puts_left = puts
    try:
        world.add(FakeSource(*lines), object_bytes_max=300)
    except Crash:
        assert not [key for key in world.objects.held if key.startswith(contract.PREFIX_BACKFILL)]
    world.puts_left, world.spool = None, FakeSpool()
    world.add(FakeSource(*lines), object_bytes_max=300)
    assert world.events() == whole.events()


def test_the_same_file_again_adds_nothing():
    world = World()
    first = world.add(FakeSource(event(), b"nope"))
    held = dict(world.objects.held)
    again = world.add(FakeSource(event(), b"nope", end=b"\r\n"))
    assert (first.before, again.before) == (False, True)
    assert again.manifest == first.manifest
    assert world.objects.held == held
    assert not world.rejected


def test_the_manifest_says_what_was_added():
    world = World()
    added = world.add(FakeSource(event(), event(ARRIVAL - HOUR_MS), b"", b"nope", b"{}", event(NOW + 1)))
    [key] = [key for key in world.objects.held if key.startswith(contract.PREFIX_BACKFILL)]
    manifest = msgspec.json.decode(world.objects.held[key][0], type=Manifest)
    assert manifest == added.manifest
    assert key == f"backfill/{manifest.sha256}.json"
    shard = f"backfill-{manifest.sha256[:16]}"
    assert msgspec.structs.replace(manifest, sha256="") == Manifest(
        source="history.jsonl",
        sha256="",
        added_at=format_time(NOW),
        records=2,
        bytes=2 * len(event()),
        rejected={"in_the_future": 1, "no_arrival": 1, "not_json": 1},
        first_arrival=format_time(ARRIVAL - HOUR_MS),
        last_arrival=format_time(ARRIVAL - 1),
        objects=[
            Written(f"events/dt=2026-01-02/hour=02/{shard}-000000000002-000000000002.jsonl.gz", 1),
            Written(f"events/dt=2026-01-02/hour=03/{shard}-000000000001-000000000001.jsonl.gz", 1),
        ],
    )


@pytest.mark.parametrize(
    ("times", "arrival"),
    [
        ({"receivedAt": "2025-01-01T00:00:00Z", "timestamp": "2024-01-01"}, "2025-01-01T00:00:00.000Z"),
        ({"timestamp": "2024-01-01"}, "2024-01-01T00:00:00.000Z"),
        ({"receivedAt": "never", "timestamp": 1_700_000_000}, "2023-11-14T22:13:20.000Z"),
        ({"receivedAt": format_time(NOW)}, format_time(NOW)),
    ],
)
def test_an_event_arrives_when_it_was_received_or_at_its_timestamp(times, arrival):
    world = World()
    world.add(FakeSource(json_of(times)))
    assert [format_time(record.arrival) for record in world.records()] == [arrival]


def test_lines_that_are_no_events_are_told_by_their_number():
    world = World()
    control = b'{"kith_control":{},"timestamp":"2024-01-01"}'
    world.add(FakeSource(b" ", event(), b"nope ", event(NOW + 1), b"x" * 1_100_000, control))
    assert [(one.line, one.reason) for one in world.rejected] == [
        (3, "not_json"),
        (4, "in_the_future"),
        (5, "too_large"),
        (6, "control_record"),
    ]
    assert world.rejected[0].data == b"nope"
    assert len(world.rejected[2].data) <= 1024, "and of a line of any size only the beginning"


def test_a_dry_run_says_the_same_and_adds_nothing():
    lines = [event(ARRIVAL - number * HOUR_MS) for number in range(5)] * 3
    world, real = World(), World()
    limits = {"object_bytes_max": 400, "held_bytes_max": 600}
    would = world.add(FakeSource(*lines), dry_run=True, **limits).manifest
    did = real.add(FakeSource(*lines), **limits).manifest
    assert not world.objects.held
    assert not world.spool.appended
    assert would == msgspec.structs.replace(did, added_at=None)


def test_objects_and_memory_are_bounded():
    world = World()
    lines = [event(ARRIVAL - 1, number=number) for number in range(100)]
    added = world.add(FakeSource(*lines), object_bytes_max=2000, held_bytes_max=1000)
    assert world.spool.appended > 10
    assert len(added.manifest.objects) > 5
    assert all(sum(len(one.data) for one in records) <= 2000 for records in world.events().values())
