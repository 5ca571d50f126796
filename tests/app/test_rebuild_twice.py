"""Two workers at one part of a build, of which the first was given up: they never leave a mixture."""

import pytest
from msgspec import structs

from shared.adapters.quarantine import S3Quarantine
from shared.app.rebuild.scan import scan
from shared.core.chain import Failure, failed
from shared.core.records import Record
from tests.app.rebuilding import LATER, NEW, a_record, a_world, as_part, shown_by_id
from tests.fakes.crashes import Crash
from tests.people import T0


class Fickle:
    """A chain that makes something else of the same events each time, and fails with others of them."""

    def __init__(self, scan: int) -> None:
        self.scan = scan

    def run(self, events):
        return [
            failed(one, Failure("transform_failed", "it was not in the mood"))
            if int(one.id[-1]) % 3 == self.scan
            else [structs.replace(one, body={**one.body, "userId": f"scan-{self.scan}-{one.id[-1]}"})]
            for one in events
        ]


@pytest.mark.parametrize(
    ("before", "winner"),
    [("aside/", 2), ("spool/", 2), ("links/", 2), ("results/scan/", 2), ("quarantine/", 1)],
)
def test_two_workers_at_one_part_whose_chain_is_not_repeatable_leave_what_one_of_them_made(
    before, winner, monkeypatch
):
    """The first was given up and works on: between any two of its writes the second does all of its own."""
    monkeypatch.setattr("shared.app.rebuild.scan.HELD_BYTES_MAX", 100)
    world = a_world([a_record(number, anonymousId=f"c{number % 4}") for number in range(9)])
    world.mortals = 0
    world.plan(LATER)

    scans = 0

    def scanned(objects):
        nonlocal scans
        scans += 1
        part = as_part(world.numbers(world.name.scan_manifest)[0])
        return scan(world.build, part, objects, S3Quarantine(objects), world.progress, Fickle(scans))

    class Overtaken:
        def __getattr__(self, name):
            return getattr(world.objects, name)

        def put(self, key, data):
            self._overtake(key)
            world.objects.put(key, data)

        def put_if_absent(self, key, data):
            self._overtake(key)
            return world.objects.put_if_absent(key, data)

        def _overtake(self, key):
            if before in key and scans == 1:
                scanned(world.objects)

    scanned(Overtaken())
    assert scans == 2
    world.rebuild()
    disliked = {number for number in range(9) if number % 3 == winner}
    assert world.verified.folded == 6
    people = {one for shown in shown_by_id(world, NEW).values() for one in shown["identifiers"]["user_id"]}
    assert people == {f"scan-{winner}-{number}" for number in {*range(9)} - disliked}
    aside = {int(one.entry.sequence) - 1000 for one in world.quarantine.list("people")}
    assert aside == disliked


def test_what_a_worker_that_died_had_for_quarantine_is_put_there_by_the_next():
    world = a_world([a_record(1, userId="u"), Record(b"{broken", T0, "shard-0", "1002")])
    world.mortals = 0
    world.plan(LATER)
    part = as_part(world.numbers(world.name.scan_manifest)[0])

    class Gone:
        def put(self, entries):
            assert len(entries) == 1
            raise Crash

    with pytest.raises(Crash):
        scan(world.build, part, world.objects, Gone(), world.progress)
    assert list(world.quarantine.list()) == []
    scan(world.build, part, world.objects, world.quarantine, world.progress)
    assert [one.entry.sequence for one in world.quarantine.list()] == ["1002"]


def test_a_part_that_has_been_read_is_left_alone():
    world = a_world([a_record(number, userId=f"u{number}") for number in range(3)])
    world.mortals = 0
    world.plan(LATER)
    part = as_part(world.numbers(world.name.scan_manifest)[0])
    first = scan(world.build, part, world.objects, world.quarantine, world.progress)
    world.objects.delete_all([key for key in world.objects.held if key.startswith("events/")])
    assert scan(world.build, part, world.objects, world.quarantine, world.progress) == first
    assert (first.records, first.components) == (3, 3)
