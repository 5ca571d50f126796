"""Scan: one part of the archive, from records to contributions, grouped by who may be one person.

    objects -> records before T0 -> events -> contributions -> components over their identifiers

Leaves a spool (the contributions, component by component), links (each component's identifiers, hashed) and
what was counted. What is no event goes to the quarantine of the new version.

A chain may make something else of the same events each time, and a worker that was given up may still be at
work: spool, links and what is to be set aside are named by their content, and the result, of which the first
one stays, says which. Only what it names goes to quarantine, whichever worker puts it there.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

import msgspec

from shared.app.quarantine import ARCHIVED, Entry, QuarantineStore, entries_of, size_of
from shared.app.reading import Postponed, Reader, Transformer, count_quarantined
from shared.app.rebuild.build import SCAN, Build, BuildFailedError
from shared.app.rebuild.formats import (
    SpoolWriter,
    fetch,
    fetch_json,
    find_json,
    identifier_hash,
    read_entries,
    write_entries,
    write_links,
)
from shared.app.rebuild.plan import Part
from shared.app.rebuild.ports import Objects
from shared.app.rebuild.results import Result, leave
from shared.app.registry import Progress
from shared.core.archive import DamagedArchiveError, read_object
from shared.core.compile import Contribution
from shared.core.control import is_control
from shared.core.identity.grouping import Components
from shared.core.records import Record, Rejection
from shared.core.spool import FrameWriter, Identifiers

SEGMENT_BYTES: Final = 2**27
"""Of rows, beyond which they are compressed: more than a part has, unless the texts of events are kept."""
HELD_BYTES_MAX: Final = 2**24
"""What waits to be set aside together."""
DIGEST_BYTES: Final = 8
ROUNDS_MAX: Final = 3
"""How often an event is transformed whose transformation asks to try again, before it is set aside."""


class Scanned(msgspec.Struct, frozen=True):
    """What a worker read: the numbers of records, events and contributions, and of its components."""

    part: int
    records: int
    events: int
    contributions: int
    components: int


def scan(
    build: Build,
    part: Part,
    objects: Objects,
    quarantine: QuarantineStore,
    progress: Progress,
    transformer: Transformer | None = None,
) -> Scanned:
    """Read a part of the archive; `transformer` runs the chain of the version, if it has one.

    BuildFailedError that names the object if one is gone or damaged. Of a part that has been read, only what
    it has for quarantine is put there, in case whoever read it has not come to that.
    """
    name = build.name
    result_key = name.result(SCAN, part.part)
    result = find_json(objects, result_key, Result)
    if result is None:
        _read(build, part, objects, progress, transformer)
        result = fetch_json(objects, result_key, Result)
    for digest in result.aside:
        key = name.aside(part.part, digest)
        quarantine.put(read_entries(fetch(objects, key), key))
    counted = ("records", "events_in", "contributions", "components")
    return Scanned(part.part, *(result.tally.get(one, 0) for one in counted))


def _read(
    build: Build, part: Part, objects: Objects, progress: Progress, transformer: Transformer | None
) -> None:
    """Read a part, and leave all of it; the result last."""
    scanning = _Scanning(build, part.part, objects, transformer)
    for key, _ in part.objects:
        scanning.read(_records(objects, key))
    tally = scanning.finish()
    spool = scanning.spool
    spooled = spool.finish()
    digest = _digest(spooled)
    objects.put(build.name.spool(part.part, digest), spooled)
    objects.put(build.name.links(part.part, digest), write_links(spool.weights, spool.hashes))
    tally["components"] = len(spool.weights)
    counted = {
        "parts": 1,
        "objects": len(part.objects),
        "events": tally["events_in"],
        "quarantined": tally["events_quarantined"],
    }
    result = Result(dict(tally), digest=digest, aside=scanning.aside)
    leave(objects, progress, build.name, SCAN, part.part, result, counted)


class _Spool:
    """Rows by identifiers; those that have come to `SEGMENT_BYTES` become frames, one for each component.

    Of each frame its weight is kept, and the hashes of its identifiers: where a component is in several
    segments, they link it, as they do where it is in several parts.
    """

    def __init__(self) -> None:
        self.weights: list[int] = []
        self.hashes: list[list[int]] = []
        self._frames = SpoolWriter()
        self._rows = FrameWriter()
        self._groups: dict[Identifiers, list[bytes]] = {}
        self._held_bytes = 0

    def add(self, contributions: Iterable[Contribution]) -> None:
        """Take what an event contributes."""
        groups = self._groups
        for one in contributions:
            rows = groups.get(one.identifiers)
            if rows is None:
                rows = groups[one.identifiers] = []
            row = self._rows.row(one)
            rows.append(row)
            self._held_bytes += len(row)
        if self._held_bytes > SEGMENT_BYTES:
            self._end_segment()

    def finish(self) -> bytes:
        """Return the spool."""
        self._end_segment()
        return self._frames.finish()

    def _end_segment(self) -> None:
        groups, self._groups, self._held_bytes = self._groups, {}, 0
        for some in _components(groups):
            frame = self._rows.frame((one, groups.pop(one)) for one in some)
            self.weights.append(len(frame))
            self.hashes.append(sorted({identifier_hash(one) for each in some for one in each}))
            self._frames.add(frame)


class _Scanning:
    """Reads records into a spool; what is no event is left in objects, which `aside` names."""

    def __init__(self, build: Build, part: int, objects: Objects, transformer: Transformer | None) -> None:
        self.spool = _Spool()
        self.aside: list[str] = []
        self._build = build
        self._part = part
        self._objects = objects
        self._reader = Reader(build.builder, transformer)
        self._tally: Counter[str] = Counter()
        self._waiting: list[Entry] = []
        self._held_bytes = 0
        self._postponed: list[Postponed] = []

    def read(self, records: Iterable[Record]) -> None:
        """Read the records of an object, each on its own."""
        self._read(self._own(records), self._tally)

    def finish(self) -> Counter[str]:
        """Read once more what was postponed, set aside the rest, and return what was counted."""
        self._reach()
        for _ in range(ROUNDS_MAX - 1):
            postponed, self._postponed = self._postponed, []
            self._read_again(postponed)
            self._reach()
        for one in self._postponed:
            self._set_aside([one.rejection])
            count_quarantined(one.rejection, self._tally)
        del self._tally["events_postponed"]
        self._leave_aside()
        return self._tally

    def _reach(self) -> None:
        """Read again what the transformation was never given, for as long as that makes it fewer."""
        while unreached := [one for one in self._postponed if one.unreached]:
            self._postponed = [one for one in self._postponed if not one.unreached]
            self._read_again(unreached)
            if sum(one.unreached for one in self._postponed) >= len(unreached):
                return

    def _read_again(self, postponed: Iterable[Postponed]) -> None:
        tally: Counter[str] = Counter()
        self._read(([_record(one.rejection)] for one in postponed), tally)
        del tally["events_in"]  # counted when they were read for the first time
        self._tally.update(tally)

    def _read(self, deliveries: Iterable[list[Record]], tally: Counter[str]) -> None:
        for read in self._reader.read(deliveries, tally):
            self.spool.add(read.contributions)
            tally["contributions"] += len(read.contributions)
            self._postponed += read.postponed
            if read.rejections:
                self._set_aside(read.rejections)

    def _own(self, records: Iterable[Record]) -> Iterator[list[Record]]:
        """Yield the records that the build has to count."""
        tally, t0 = self._tally, self._build.t0
        for record in records:
            if is_control(record.data):
                tally["records_control"] += 1
            elif record.arrival >= t0:
                tally["records_after_t0"] += 1
            else:
                tally["records"] += 1
                yield [record]

    def _set_aside(self, rejections: list[Rejection]) -> None:
        for one in rejections:
            if one.reason == "transform_load":  # like all that follow: an empty version would take over
                raise BuildFailedError(f"transform.py cannot be loaded: {one.detail}")
        name = self._build.name
        entries = entries_of(name.builder, name.version, ARCHIVED, rejections)
        self._waiting += entries
        self._held_bytes += sum(size_of(entry.envelope) for entry in entries)
        if self._held_bytes > HELD_BYTES_MAX:
            self._leave_aside()

    def _leave_aside(self) -> None:
        if self._waiting:
            data = write_entries(self._waiting)
            digest = _digest(data)
            self._objects.put(self._build.name.aside(self._part, digest), data)
            self.aside.append(digest)
            self._waiting, self._held_bytes = [], 0


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def _records(objects: Objects, key: str) -> Iterator[Record]:
    """Yield the records of an archived object; BuildFailedError that names it if it is gone or damaged."""
    try:
        yield from read_object(fetch(objects, key))
    except DamagedArchiveError as error:
        raise BuildFailedError(f"{key} is damaged: {error}") from error


def _record(rejection: Rejection) -> Record:
    """Return the record of an event that is to be read again."""
    shard, sequence, index = rejection.position
    return Record(rejection.data, rejection.arrival, shard, sequence, index, is_part=True)


def _components(groups: Iterable[Identifiers]) -> list[list[Identifiers]]:
    """Return which groups may be one person, in order of their first."""
    groups = list(groups)
    joined = Components()
    for identifiers in groups:
        joined.join(identifiers)
    components: dict[object, list[Identifiers]] = {}
    for identifiers in groups:
        components.setdefault(joined.find(identifiers[0]), []).append(identifiers)
    return list(components.values())
