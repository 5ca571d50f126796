"""How fast the workers of a rebuild are, and how much memory each takes: every one in a process of its own.

python -m benchmarks.rebuild STATE FOLDER CASE    one worker, on what the workers before it left in a folder
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks.data import BUILDER_YAML, EVENTS_PER_PERSON, START_S, events
from benchmarks.report import Row
from benchmarks.stub import Tables, stubbed_client
from shared import contract
from shared.adapters.clock import SystemClock
from shared.adapters.dynamo import access
from shared.adapters.dynamo.loader import DynamoLoader
from shared.adapters.dynamo.units import Units
from shared.adapters.s3 import Listed
from shared.app.quarantine import Entry
from shared.app.rebuild import link as linking
from shared.app.rebuild.build import REPLAY, Build
from shared.app.rebuild.plan import Extent, parts_of
from shared.app.rebuild.replay import PartitionNumber, replay
from shared.app.rebuild.scan import scan
from shared.app.rebuild.shuffle import PartNumber, shuffle
from shared.app.registry import Status, Version
from shared.core.archive import archive_line, archive_object, object_key
from shared.core.compile import Builder
from shared.core.definition import with_window
from shared.core.grammar import parse_definition
from shared.core.records import Record
from shared.core.writes import Plan

EVENTS: Final = 1_000_000
OBJECT_RECORDS: Final = 20_000
MAY_TAKE_MB: Final = 1769
"""The memory of a worker's function, unless set otherwise."""
LINK_MAY_TAKE_MB: Final = 3008
T0: Final = (START_S + 2 * EVENTS + 1) * 1000
LEAVES: Final = {"scan": ("spool/", "links/"), "link": ("assignments/",), "shuffle": ("shuffled/",)}
_SEQUENCE: Final = 4 * 10**55
_SHARDS: Final = 4


class Folder:
    """Implements `Objects` on files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one."""
        if (self._folder / key).exists():
            return False
        self.put(key, data)
        return True

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object."""
        path = self._folder / key
        return (path.read_bytes(), "") if path.exists() else None

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return some bytes of an object."""
        with (self._folder / key).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """Yield the objects below a prefix, which is a folder."""
        for path in sorted((self._folder / prefix).rglob("*")):
            key = str(path.relative_to(self._folder))
            if path.is_file() and key > after:
                yield Listed(key, path.stat().st_size, 0)

    def delete_all(self, keys: Iterable[str]) -> None:
        """Delete objects."""
        for key in keys:
            (self._folder / key).unlink(missing_ok=True)


class Nowhere:
    """Implements `Loader`, `Progress`, and what workers need of quarantine and registry; keeps nothing."""

    def insert(self, plans: Sequence[Plan]) -> None:
        """Write nothing."""

    def add_progress(self, builder: str, version: int, counted: Any) -> None:
        """Count nothing."""

    def progress(self, _builder: str, _version: int) -> dict[str, int]:
        """Return nothing."""
        return {}

    def version(self, builder: str, version: int) -> Version:
        """Return the row of a version that is being built."""
        return Version(
            builder=builder,
            version=version,
            status=Status.BUILDING,
            definition_key="",
            sha256="",
            t0=T0,
            created_at=0,
            created_by="",
        )

    def put(self, entries: Sequence[Entry]) -> None:
        """Refuse: every event of a benchmark can be read."""
        raise AssertionError(f"{len(entries)} events are set aside")


class Case(NamedTuple):
    """An archive: of so many people, with somebody's cookie on every event or not; and its builder."""

    name: str
    people: int
    shared_cookie: bool = False
    history: bool = False
    """Whether the builder has a profile function, for which the texts of all events are kept."""


CASES: Final = (
    Case("many people", EVENTS // EVENTS_PER_PERSON),
    Case("one component", EVENTS // EVENTS_PER_PERSON, shared_cookie=True),
    Case("many people with histories", EVENTS // EVENTS_PER_PERSON, history=True),
    Case("one person with a history", 1, history=True),
)
STATES: Final = ("scan", "link", "shuffle", "replay", "load")


class Took(NamedTuple):
    """What a worker did: events, CPU seconds without its start, its memory at most, and bytes it left.

    And the write units that it took.
    """

    events: int
    cpu_s: float
    peak_mb: float
    left_bytes: int
    write_units: float


def measure() -> list[Row]:
    """Rebuild from archives of a million events, each in one partition."""
    rows: list[Row] = []
    for number, case in enumerate(CASES):
        with TemporaryDirectory(prefix="kith-bench-") as name:
            folder = Path(name)
            archived = write_archive(folder, case)
            took = {state: _worker(state, folder, number) for state in STATES}
        rows += [
            Row(
                f"{state}, {case.name}: events/s on one core",
                f"{one.events / one.cpu_s:,.0f}",
                f"at most {one.peak_mb:,.0f} MB, {_of_memory(state, one)}; "
                + (f"leaves {one.left_bytes / one.events:.0f} bytes an event" if state in LEAVES else "")
                + (f"{one.write_units / case.people:,.1f} write units a person" if state == "load" else ""),
            )
            for state, one in took.items()
        ]
        rows.append(Row(f"archive, {case.name}: bytes an event, compressed", f"{archived / EVENTS:.0f}"))
    return rows


def _of_memory(state: str, took: Took) -> str:
    may_take_mb = LINK_MAY_TAKE_MB if state == "link" else MAY_TAKE_MB
    return f"{took.peak_mb / may_take_mb:.2f} of {may_take_mb:,}"


def write_archive(folder: Path, case: Case) -> int:
    """Write the archive of a case; return its bytes."""
    objects = Folder(folder)
    numbered = enumerate(events(EVENTS, case.people))
    written = 0
    while some := list(islice(numbered, OBJECT_RECORDS)):
        for shard in range(_SHARDS):
            records = [
                Record(
                    _shared(line) if case.shared_cookie else line.strip(),
                    (START_S + 2 * number) * 1000,
                    f"shardId-{shard:012}",
                    str(_SEQUENCE + number),
                )
                for number, line in some
                if number % _SHARDS == shard
            ]
            data = archive_object(archive_line(one, f"key-{one.sequence[-6:]}") for one in records)
            first, last = records[0], records[-1]
            objects.put(object_key(first.arrival, first.shard, first.sequence, last.sequence), data)
            written += len(data)
    return written


def _shared(line: bytes) -> bytes:
    return line.strip().replace(b'"type":', b'"previousId": "all", "type":', 1)


def _worker(state: str, folder: Path, case: int) -> Took:
    command = [sys.executable, "-m", "benchmarks.rebuild", state, str(folder), str(case)]
    done = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command
    return Took(*json.loads(done.stdout))


def work(state: str, folder: Path, case: Case) -> Took:
    """Do all of a state's work in this process; its memory is that of the largest part of it."""
    linking.PARTITION_BYTES = 2**40  # type: ignore[misc]  # one partition, whatever its size
    objects = Folder(folder)
    nowhere: Any = Nowhere()
    yaml = BUILDER_YAML.replace("anonymousId}", "[anonymousId, previousId]}")
    definition = parse_definition(yaml)
    build = Build(Builder(with_window(definition) if case.history else definition), 1, T0)
    name = build.name
    stub = Tables()
    units = Units()
    loader = nowhere
    parts = list(parts_of(objects.list(contract.PREFIX_EVENTS)))
    if state == "load":
        loader = DynamoLoader(
            stubbed_client(stub), build.builder, 1, access.Tables("p", "i"), T0, SystemClock()
        )
        units = loader.units
        objects.delete_all([name.checkpoint(0), name.result(REPLAY, 0)])
    started = time.process_time()
    if state == "scan":
        extent = Extent(len(parts), len(parts), 0)
        objects.put(name.extent, msgspec.json.encode(extent))
        for part in parts:
            scan(build, part, objects, nowhere, nowhere)
    elif state == "link":
        linking.link(nowhere, name, objects, nowhere)
    elif state == "shuffle":
        for part in parts:
            shuffle(name, PartNumber(part.part), objects, nowhere)
    else:
        replay(nowhere, build, PartitionNumber(0), objects, loader, None, nowhere, lambda: True)
    cpu_s = time.process_time() - started - stub.own_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    left = sum(one.size for kind in LEAVES.get(state, ()) for one in objects.list(name.prefix + kind))
    return Took(EVENTS, cpu_s, peak_mb, left, units.writes)


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], Path(sys.argv[2]), CASES[int(sys.argv[3])])))
