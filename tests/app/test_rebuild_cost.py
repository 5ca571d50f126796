"""What a build reads and writes when nobody dies: no object of the archive twice, and no profile."""

from collections import Counter

from tests.app.rebuilding import LATER, NEW, a_record, a_world, shown_by_id
from tests.people import HOUR, T0


def test_each_object_of_the_archive_is_read_once_and_each_finished_profile_written_once(monkeypatch):
    monkeypatch.setattr("shared.app.rebuild.plan.PART_OBJECTS_MAX", 3)
    monkeypatch.setattr("shared.app.rebuild.link.PARTITION_BYTES", 100)
    hours = [a_record(number, T0 + number * HOUR, userId=f"u{number % 12}") for number in range(30)]
    world = a_world(hours)
    world.mortals = 0
    read = Counter()
    get = world.objects.get

    def counted(key):
        read[key] += 1
        return get(key)

    monkeypatch.setattr(world.objects, "get", counted)
    world.plan(LATER)
    world.rebuild()
    counts = world.progress.progress("people", NEW)
    assert min(counts["plan.parts"], counts["link.partitions"]) > 2, "several workers"
    archived = {key for key in world.objects.held if key.startswith("events/")}
    assert {key: read[key] for key in archived} == dict.fromkeys(archived, 1)
    assert Counter(world.loader.inserted) == dict.fromkeys(shown_by_id(world, NEW), 1)
    assert world.verified.profiles == 12


def test_an_archive_of_thousands_of_objects_is_built_whole():
    minutes = [a_record(number, T0 + number * 60_000, userId=f"u{number % 500}") for number in range(8000)]
    world = a_world(minutes)
    world.mortals = 0
    world.plan(LATER)
    world.rebuild()
    counts = world.progress.progress("people", NEW)
    assert counts["scan.objects"] == counts["plan.objects"] > 2500
    assert counts["plan.parts"] > 4, "as many objects as a part may have, at the product's own limit"
    assert (world.verified.folded, world.verified.profiles) == (8000, 500)
