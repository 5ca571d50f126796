"""Backfilling: history from a file becomes objects of the archive, as if the stream had carried it then.

    digest of the lines -> known? nothing to do -> lines, by the hour they arrived in -> objects -> manifest

A line is a record of the shard `backfill-{digest}`, and its number the sequence number: the same file gives
the same objects, and so does one that is begun again after a crash. The manifest is written last, and says
that the file is there. Memory is bounded: what does not fill an object yet waits in a spool.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Final, Protocol

import msgspec

from shared import contract
from shared.app.fold import NO_ARRIVAL, TOO_LARGE, Rejected, too_large
from shared.core.archive import archive_line, archive_object, hour_of, object_key
from shared.core.containers import UnreadableError, decode_object
from shared.core.control import is_control
from shared.core.event import arrival_of
from shared.core.records import Record
from shared.core.times import format_time

IN_THE_FUTURE: Final = "in_the_future"
"""Why a line is rejected that says it arrived later than now."""
CONTROL_RECORD: Final = "control_record"
"""Why a line is rejected that would be a control record on the stream, and no event."""
OBJECT_BYTES_MAX: Final = 16 * 2**20
"""Lines of one object, before they are compressed, but for one line that is larger."""
HELD_BYTES_MAX: Final = 64 * 2**20
"""Lines of all hours that are held before they go to the spool."""
TOLD_EVERY: Final = 10_000
"""Lines between two reports of progress."""
PARTITION_KEY: Final = ""
"""No partition key: the lines were never put on a stream."""


class Source(Protocol):
    """A file of JSON lines, which is read twice."""

    @property
    def name(self) -> str:
        """What it is called where it came from."""

    def lines(self) -> Iterator[bytes]:
        """Yield its lines, unpacked, with their ends; of one too long for an event, its beginning."""


class Spool(Protocol):
    """Where lines wait for more of their hour."""

    def append(self, hour: int, data: bytes) -> None:
        """Add to what waits for an hour."""

    def take(self, hour: int) -> bytes:
        """Return what waits for an hour, and hold it no longer."""


class Puts(Protocol):
    """Takes objects to write; all are written once its context ends without an error."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object, at once or soon."""


class Archive(Protocol):
    """The archive bucket."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and its tag; None if there is no such object."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""


class Written(msgspec.Struct, frozen=True):
    """An object of the archive, and how many records it holds."""

    key: str
    records: int


class Manifest(msgspec.Struct, frozen=True):
    """What a file gave to the archive; `bytes` are those of the records, arrivals and `added_at` UTC.

    `rejected` counts the lines that are no record, by reason. A dry run has no `added_at`.
    """

    source: str
    sha256: str
    added_at: str | None
    records: int
    bytes: int
    rejected: dict[str, int]
    first_arrival: str | None
    last_arrival: str | None
    objects: list[Written]


class Added(msgspec.Struct, frozen=True):
    """What became of a file; `before` says that it had been added already, and nothing was done."""

    manifest: Manifest
    before: bool


class Progress(msgspec.Struct):
    """How far a file is: its bytes are read twice."""

    lines: int = 0
    bytes: int = 0


class Backfill:
    """Adds files to the archive; `now_ms` is ms UTC, the moment that no arrival may be later than."""

    def __init__(
        self,
        archive: Archive,
        puts: Callable[[], AbstractContextManager[Puts]],
        now_ms: int,
        *,
        dry_run: bool = False,
        object_bytes_max: int = OBJECT_BYTES_MAX,
        held_bytes_max: int = HELD_BYTES_MAX,
    ) -> None:
        self._archive = archive
        self._puts = puts
        self._now_ms = now_ms
        self._dry_run = dry_run
        self._object_bytes_max = object_bytes_max
        self._held_bytes_max = held_bytes_max

    def add(
        self,
        source: Source,
        spool: Spool,
        reject: Callable[[Rejected], None],
        tell: Callable[[Progress], None] = lambda _: None,
    ) -> Added:
        """Add a file, unless it was added before.

        `reject` takes each line that is no event with an arrival, `tell` hears how far it is.
        """
        progress = Progress()
        digest = sha256()
        for line in _told(source.lines(), progress, tell):
            digest.update(line.strip() + b"\n")  # the same lines, however they end, are the same file
        name = digest.hexdigest()
        key = f"{contract.PREFIX_BACKFILL}{name}.json"
        before = self._manifest(key)
        if before is not None:
            return Added(before, before=True)
        progress.lines = 0
        lines = _told(source.lines(), progress, tell)
        with self._puts() as puts:
            packing = _Packing(
                f"backfill-{name[:16]}",
                _Nothing() if self._dry_run else puts,
                _Nothing() if self._dry_run else spool,
                self._object_bytes_max,
                self._held_bytes_max,
            )
            rejected = self._pack(lines, packing, reject)
        manifest = Manifest(
            source=source.name,
            sha256=name,
            added_at=None if self._dry_run else format_time(self._now_ms),
            records=packing.records,
            bytes=packing.bytes,
            rejected=dict(sorted(rejected.items())),
            first_arrival=None if packing.first is None else format_time(packing.first),
            last_arrival=None if packing.last is None else format_time(packing.last),
            objects=sorted(packing.written, key=lambda one: one.key),
        )
        if not self._dry_run:
            self._archive.put(key, msgspec.json.encode(manifest))
        return Added(manifest, before=False)

    def _manifest(self, key: str) -> Manifest | None:
        """Return the manifest of a file that was added before.

        One that cannot be read is none: to add the same file once more writes the same objects.
        """
        found = self._archive.get(key)
        try:
            return None if found is None else msgspec.json.decode(found[0], type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def _pack(
        self, lines: Iterable[bytes], packing: "_Packing", reject: Callable[[Rejected], None]
    ) -> Counter[str]:
        """Pack the lines that are events with an arrival; return how many are not, by reason."""
        rejected: Counter[str] = Counter()
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text:
                continue
            arrival, reason = self._arrival(text)
            if arrival is None:
                rejected[reason] += 1
                is_too_large = reason == TOO_LARGE
                reject(too_large(number, line) if is_too_large else Rejected(number, reason, text))
            else:
                packing.add(number, arrival, text)
        packing.end()
        return rejected

    def _arrival(self, text: bytes) -> tuple[int | None, str]:
        """Return when the event of a line arrived, ms UTC; or None, and why there is none that counts."""
        if is_control(text):
            return None, CONTROL_RECORD
        try:
            arrival = arrival_of(decode_object(text))
        except UnreadableError as error:
            return None, error.reason
        if arrival is None:
            return None, NO_ARRIVAL
        return (arrival, "") if arrival <= self._now_ms else (None, IN_THE_FUTURE)


class _Hour(msgspec.Struct):
    """Lines of an hour that make no object yet; `first` and `last` are their sequence numbers."""

    arrival: int
    first: str
    last: str = ""
    lines: list[bytes] = []
    records: int = 0
    bytes: int = 0
    spooled: bool = False


class _Packing:
    """Packs records into objects by hour.

    Where one object ends and the next begins depends on the file alone, not on what had to be spooled.
    """

    def __init__(
        self, shard: str, puts: Puts, spool: Spool, object_bytes_max: int, held_bytes_max: int
    ) -> None:
        self._shard = shard
        self._puts = puts
        self._spool = spool
        self._object_bytes_max = object_bytes_max
        self._held_bytes_max = held_bytes_max
        self._hours: dict[int, _Hour] = {}
        self._held_bytes = 0
        self.written: list[Written] = []
        self.records = 0
        self.bytes = 0
        self.first: int | None = None
        self.last: int | None = None

    def add(self, number: int, arrival: int, text: bytes) -> None:
        """Add the record of a line of the file; lines come in their order."""
        sequence = f"{number:012}"
        line = archive_line(Record(text, arrival, self._shard, sequence), PARTITION_KEY)
        hour = self._hours.get(hour_of(arrival))
        if hour is not None and hour.bytes + len(line) > self._object_bytes_max:
            self._write(hour_of(arrival))
            hour = None
        if hour is None:
            hour = self._hours[hour_of(arrival)] = _Hour(arrival, sequence)
        hour.last = sequence
        hour.lines.append(line)
        hour.records += 1
        hour.bytes += len(line) + 1
        self._held_bytes += len(line) + 1
        self.records += 1
        self.bytes += len(text)
        self.first = arrival if self.first is None else min(arrival, self.first)
        self.last = arrival if self.last is None else max(arrival, self.last)
        if self._held_bytes > self._held_bytes_max:
            self._spool_all()

    def end(self) -> None:
        """Write what is left."""
        for number in sorted(self._hours):
            self._write(number)

    def _spool_all(self) -> None:
        for number, hour in self._hours.items():
            if hour.lines:
                self._spool.append(number, b"\n".join(hour.lines) + b"\n")
                hour.spooled = True
                hour.lines = []
        self._held_bytes = 0

    def _write(self, number: int) -> None:
        hour = self._hours.pop(number)
        self._held_bytes -= sum(len(line) + 1 for line in hour.lines)
        lines = hour.lines
        if hour.spooled:
            lines = [self._spool.take(number).removesuffix(b"\n"), *lines]
        key = object_key(hour.arrival, self._shard, hour.first, hour.last)
        self._puts.put(key, archive_object(lines))
        self.written.append(Written(key, hour.records))


class _Nothing:
    """Takes everything and keeps nothing: a dry run."""

    def put(self, _key: str, _data: bytes) -> None:
        pass

    def append(self, _hour: int, _data: bytes) -> None:
        pass

    def take(self, _hour: int) -> bytes:
        return b""


def _told(lines: Iterable[bytes], progress: Progress, tell: Callable[[Progress], None]) -> Iterator[bytes]:
    for line in lines:
        progress.lines += 1
        progress.bytes += len(line)
        if progress.lines % TOLD_EVERY == 0:
            tell(progress)
        yield line
    tell(progress)
