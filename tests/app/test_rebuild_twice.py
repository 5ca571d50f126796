"""Two workers at one part of a build, of which the first was given up: they never leave a mixture."""

import pytest
from msgspec import structs

from shared.app.rebuild.scan import scan
from tests.app.rebuilding import LATER, NEW, a_record, a_world, as_part, shown_by_id


class Fickle:
    """A chain that makes something else of the same events each time."""

    def __init__(self, scan: int) -> None:
        self.scan = scan

    def run(self, events):
        return [
            [structs.replace(one, body={**one.body, "userId": f"scan-{self.scan}-{one.id[-1]}"})]
            for one in events
        ]


@pytest.mark.parametrize("before", ["spool/", "links/", "results/scan/"])
def test_two_workers_at_one_part_whose_chain_is_not_repeatable_leave_what_one_of_them_made(before):
    """The first was given up and works on: between any two of its writes the second does all of its own."""
    world = a_world([a_record(number, anonymousId=f"c{number % 4}") for number in range(9)])
    world.mortals = 0
    world.plan(LATER)

    scans = 0

    def scanned(objects):
        nonlocal scans
        scans += 1
        part = as_part(world.numbers(world.name.scan_manifest)[0])
        return scan(world.build, part, objects, world.quarantine, world.progress, Fickle(scans))

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
    assert world.verified.folded == 9
    people = {one for shown in shown_by_id(world, NEW).values() for one in shown["identifiers"]["user_id"]}
    assert people == {f"scan-2-{number}" for number in range(9)}


def test_a_part_that_has_been_read_is_left_alone():
    world = a_world([a_record(number, userId=f"u{number}") for number in range(3)])
    world.mortals = 0
    world.plan(LATER)
    part = as_part(world.numbers(world.name.scan_manifest)[0])
    first = scan(world.build, part, world.objects, world.quarantine, world.progress)
    world.objects.delete_all([key for key in world.objects.held if key.startswith("events/")])
    assert scan(world.build, part, world.objects, world.quarantine, world.progress) == first
    assert (first.records, first.components) == (3, 3)
