"""Plan: choose T0, wait until the archive before it is complete, and list it as a manifest of parts.

Called again and again: each call does what can be done and says how long to wait for the rest. Every step is
found done when it was done before.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b
from io import BytesIO
from typing import Final

import msgspec

from shared import contract
from shared.app.markers import Shards, are_acknowledged, markers_for, put_markers
from shared.app.rebuild.build import (
    MAP_ITEMS_MAX,
    BuildFailedError,
    BuildName,
    ensure_building,
    ensure_same_release,
)
from shared.app.rebuild.formats import find_json
from shared.app.rebuild.ports import ListedObject, Objects
from shared.app.registry import Progress, Registry
from shared.core.archive import may_hold_before
from shared.core.control import READER_ARCHIVE

PART_BYTES: Final = 64 * 2**20
"""Archive bytes, compressed, that one Scan worker takes; a larger object is a part of its own."""
PART_OBJECTS_MAX: Final = 500
"""Objects of a part: its line is the worker's input, which Step Functions limits."""
WAIT_S_MAX: Final = 300


class Timing(msgspec.Struct, frozen=True):
    """How long Plan and Follow wait, in seconds.

    `lead_s` is from the first call to T0; `marker_delay_s` from T0 until the markers are put, so that no
    record that arrived before T0 comes behind one; `poll_s` between the first looks for what is awaited.
    """

    lead_s: int = 60
    marker_delay_s: int = 120
    poll_s: int = 15

    def wait_s(self, waited_ms: int) -> int:
        """Return how long to wait for what has been awaited for so long: a hundredth more each time.

        Step Functions ends an execution at 25,000 events, of which each look takes nine.
        """
        return min(WAIT_S_MAX, max(self.poll_s, waited_ms // 100_000))


class Planned(msgspec.Struct, frozen=True):
    """How far planning is; not `done`: call again in `wait_s` seconds. `manifest` is what Scan maps over."""

    done: bool
    wait_s: int = 0
    t0: int = 0
    parts: int = 0
    objects: int = 0
    bytes: int = 0
    manifest: str = ""


class Part(msgspec.Struct, frozen=True):
    """A line of Scan's manifest: the objects (key, bytes) that one worker reads. The worker's input."""

    part: int
    objects: list[tuple[str, int]]


class Extent(msgspec.Struct, frozen=True):
    """What there is to scan, as Plan found it."""

    parts: int
    objects: int
    bytes: int


def workers_for(wanted: int, free: int) -> int:
    """Return how many workers may be at work at once, of an account that may run so many functions freely.

    At most half of them: the live path needs some, and so do others.
    """
    return max(1, min(wanted, free // 2))


class Marked(msgspec.Struct, frozen=True):
    """Markers that were put on all shards, so many on each, at a time (ms UTC)."""

    token: str
    shards: list[str]
    at: int = 0
    count: int = 1


def plan(
    registry: Registry,
    progress: Progress,
    objects: Objects,
    shards: Shards,
    name: BuildName,
    now: int,
    timing: Timing,
    release: str = "",
) -> Planned:
    """Plan a build as far as possible at a time (ms UTC), for workers of a release.

    BuildEndedError if it is not building any more.
    """
    row = ensure_building(registry, name)
    if row.t0 == 0:
        row = registry.replace(row, replace(row, t0=now + timing.lead_s * 1000))
    marked_from = row.t0 + timing.marker_delay_s * 1000
    if now < marked_from:
        return Planned(done=False, wait_s=-(-(marked_from - now) // 1000), t0=row.t0)
    if read_up_to(objects, shards, name, READER_ARCHIVE, now) is None:
        return Planned(done=False, wait_s=timing.wait_s(now - row.t0), t0=row.t0)
    if not row.release and release:
        row = registry.replace(row, replace(row, release=release))
    ensure_same_release(row, release)
    extent = find_json(objects, name.extent, Extent) or _list(progress, objects, name, row.t0)
    return Planned(
        done=True,
        t0=row.t0,
        parts=extent.parts,
        objects=extent.objects,
        bytes=extent.bytes,
        manifest=name.scan_manifest,
    )


def read_up_to(
    objects: Objects, shards: Shards, name: BuildName, reader: str, now: int, number: int = 0, lanes: int = 1
) -> int | None:
    """Return when the markers were put (ms UTC) that a reader has come by on every shard; None if it has not.

    The first call puts the markers that the later ones look for; with another `number`, or other `lanes` of
    the reader on each shard, others.
    """
    kind = (f".{number}" if number else "") + (f".{lanes}-lanes" if lanes > 1 else "")
    key = name.markers(reader + kind)
    marked = find_json(objects, key, Marked)
    if marked is None:
        # The same token again if this was done halfway: whichever marker is met, all before it was in time.
        token = blake2b(key.encode(), digest_size=16).hexdigest()
        count = markers_for(lanes)
        marked = Marked(token, put_markers(shards, token, reader, count), now, count)
        objects.put(key, msgspec.json.encode(marked))
    is_by = are_acknowledged(objects, marked.token, marked.shards, marked.count)
    return marked.at if is_by else None


def _list(progress: Progress, objects: Objects, name: BuildName, t0: int) -> Extent:
    """Write the manifest. An archive that is only read never shrinks, so doing it again does no harm."""
    lines = BytesIO()  # some 200 bytes for each object of the archive: all that is held of it
    parts = listed = size = 0
    for part in parts_of(_archived(objects, t0)):
        lines.write(msgspec.json.encode(part) + b"\n")
        parts += 1
        listed += len(part.objects)
        size += sum(each for _, each in part.objects)
    if parts > MAP_ITEMS_MAX:
        raise BuildFailedError(f"the archive has {parts} parts, and a build takes {MAP_ITEMS_MAX} at most")
    objects.put(name.scan_manifest, lines.getvalue())
    extent = Extent(parts, listed, size)
    if objects.put_if_absent(name.extent, msgspec.json.encode(extent)):
        counted = {"plan.parts": extent.parts, "plan.objects": extent.objects}
        progress.add_progress(name.builder, name.version, counted)
    return extent


def _archived(objects: Objects, t0: int) -> Iterator[ListedObject]:
    """Yield the objects that may hold records that arrived before T0."""
    for one in objects.list(contract.PREFIX_EVENTS):
        if not may_hold_before(one.key, t0):
            return
        yield one


def parts_of(archived: Iterable[ListedObject]) -> Iterator[Part]:
    """Cut a listing into parts of about equal bytes; one empty part for an empty archive."""
    number = 0
    some: list[tuple[str, int]] = []
    held_bytes = 0
    for one in archived:
        if some and (held_bytes + one.size > PART_BYTES or len(some) == PART_OBJECTS_MAX):
            yield Part(number, some)
            number, some, held_bytes = number + 1, [], 0
        some.append((one.key, one.size))
        held_bytes += one.size
    if some or not number:
        yield Part(number, some)
