"""Folding in parts: files cut at lines, people dealt to whoever is free.

    read (part of a file -> where each person's events are)       each part alone
    link (people of all parts -> people, dealt to shares)         once, over hashes of identifiers only
    fold (share -> finished profiles)                             each share alone

What goes from one to the next are not events but where they are: their lines are read again in the file when
their person is folded. So a part takes little memory, however large, and hardly anything passes between
processes. What cannot be read again (a compressed file, what a transformation has made) is spooled as
contributions. The result does not depend on how files are cut, for all of a person's events come together
again before they are folded.
"""

import gc
import gzip
import mmap
import os
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from heapq import heapreplace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from cli.folders import ReadBuilder
from cli.lines import BOM, is_cut, rest_of_line
from shared.app.fold import Cut, Rejected, Scan, Survey, fold_people, link, read_again, scan, survey
from shared.app.functions.ports import ProfileFunction
from shared.app.reading import Transformer
from shared.core.compile import Builder, Contribution
from shared.core.containers import LINE_BYTES_MAX
from shared.core.identity.grouping import Components
from shared.core.identity.identifiers import Identifier
from shared.core.memory import event_hash
from shared.core.spool import pack, unpack

PART_BYTES_MAX: Final = 512 * 2**20
"""Text that is read at a time; contributions that have to be kept take about twice as much memory."""
SHARES_PER_WORKER: Final = 4
"""So that a worker that was dealt busy people does not keep the others waiting."""

BUFFER_BYTES: Final = 2**18
"""Of a file whose lines are read, so many at a time: few calls, of what a processor keeps at hand."""
COUNTED_BYTES: Final = 2**20
"""Of a file whose lines are counted, so many at a time."""

_GZIP: Final = b"\x1f\x8b"
_OFFSETS: Final = "Q"
"""The array type of places in a file."""


class Part(NamedTuple):
    """The lines of a file that start in these bytes; a compressed file is one part, without an end."""

    path: Path
    start: int
    end: int | None


Blob = tuple[int, int, int, int]
"""Events of one person within a part: (number of the part, first, size, events).

Where lines are read again, the spool of the part holds the places at which they start, of which these are
`size` from `first` on; else frames of contributions, of which this one is so many bytes. A plain tuple, like
all that goes from process to process by the ten thousand: pickling tuples of a class takes several times as
long.
"""
Names = tuple[int, ...]
"""A person's identifiers, hashed. If two had one hash, their people would be taken together, to no effect."""


class Read(NamedTuple):
    """What one part gave.

    Of what was scanned, all that there is to tell: its rejected lines count from the part's own first line.
    Lines that are read again tell it then.
    """

    part: Part
    blobs: list[tuple[Names, Blob]]
    """One per person, as far as the part can tell who that is."""
    rejected: list[Rejected]
    lines: int
    tally: Counter[str]


Share = list[list[Blob]]
"""People to fold: for each, where the events are."""


def parts_of(path: Path, part_bytes: int) -> list[Part]:
    """Cut a file into parts of about equal size, none larger than asked for. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        begins = file.read(len(BOM))
    if begins.startswith(_GZIP):
        return [Part(path, 0, None)]
    count = max(1, -(-size // part_bytes))  # rounded up
    cuts = [size * index // count for index in range(count + 1)]
    if begins == BOM:
        cuts = [
            0,
            *(cut for cut in cuts if len(BOM) < cut < size),
            size,
        ]  # the first line is the first part's
    return [Part(path, start, end) for start, end in pairwise(cuts)]


def lines_of(part: Part) -> Iterator[bytes]:
    """Yield the lines of a part. Raises OSError, for compressed data that is damaged as well."""
    if part.end is None:
        yield from _unpacked_lines(part.path)
        return
    with part.path.open("rb", BUFFER_BYTES) as file:
        yield from _lines_between(file, _first_line(file, part.start), part.end)


def _unpacked_lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) as unpacked:
            _first_line(unpacked, 0)  # type: ignore[arg-type] # a GzipFile reads as any binary file does
            yield from _lines(unpacked)  # type: ignore[arg-type] # as above
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise OSError(f"the compressed data of {path} is damaged, or ends too early") from None


def _first_line(file: BinaryIO, start: int) -> int:
    """Return where the first line from there on starts, and go there."""
    if start == 0:
        if file.read(len(BOM)) == BOM:
            return len(BOM)
        file.seek(0)
        return 0
    # The line that begins before this part belongs to the part before; it may end right here.
    file.seek(start - 1)
    return start - 1 + sum(map(len, rest_of_line(file)))


def _lines_between(file: BinaryIO, at: int, end: int) -> Iterator[bytes]:
    if at >= end:
        return iter(())
    if end >= os.fstat(file.fileno()).st_size:
        return _lines(file)  # hot: all that is left, which need not be measured
    return _lines_until(file, at, end)


def _lines_until(file: BinaryIO, at: int, end: int) -> Iterator[bytes]:
    for line in _lines(file):
        yield line
        at += line.size if isinstance(line, Cut) else len(line)
        if at >= end:
            return


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of one that is too long for an event its beginning, for it may not fit in memory."""
    for line in iter(partial(file.readline, LINE_BYTES_MAX), b""):
        if is_cut(line):
            yield Cut(line, LINE_BYTES_MAX + sum(map(len, rest_of_line(file))))
        else:
            yield line


def is_read_again(part: Part, transformer: Transformer | None) -> bool:
    """Whether the events of a part are left where they are."""
    return part.end is not None and transformer is None


def read_part(
    builder: Builder, part: Part, spools: Path, number: int, transformer: Transformer | None = None
) -> Read:
    """Look through a part, and write to a spool of its own, in the folder of spools, where events are."""
    with (spools / str(number)).open("wb") as spool:
        if part.end is None or transformer is not None:
            return _scan_part(builder, part, spool, number, transformer)
        surveyed = Survey()
        with part.path.open("rb", BUFFER_BYTES) as file:
            start = _first_line(file, part.start)
            survey(builder, _lines_between(file, start, part.end), start, surveyed)
        blobs: list[tuple[Names, Blob]] = []
        places = array(_OFFSETS)
        for identifiers, starts in surveyed.people():
            blobs.append((_names(identifiers), (number, len(places), len(starts), len(starts))))
            places.extend(starts)
        if surveyed.nobodys:
            blobs.append(((~number,), (number, len(places), len(surveyed.nobodys), len(surveyed.nobodys))))
            places.extend(surveyed.nobodys)
        places.tofile(spool)
    return Read(part, blobs, [], 0, Counter())


def _scan_part(
    builder: Builder, part: Part, spool: BinaryIO, number: int, transformer: Transformer | None
) -> Read:
    scanned = Scan()
    scan(builder, lines_of(part), scanned, transformer)
    blobs: list[tuple[Names, Blob]] = []
    at = 0
    for person in link(scanned.groups):
        contributions = [one for identifiers in person for one in scanned.groups.pop(identifiers)]
        frame = pack(contributions)
        spool.write(frame)
        names = _names(one for identifiers in person for one in identifiers)
        blobs.append((names, (number, at, len(frame), len(contributions))))
        at += len(frame)
    return Read(part, blobs, scanned.rejected, scanned.lines, scanned.tally)


def _names(identifiers: Iterable[Identifier]) -> Names:
    # Not Python's own hash, which a process started afresh computes otherwise.
    return tuple({event_hash(f"{kind}\0{value}") for kind, value in identifiers})


def deal(reads: Sequence[Read], shares: int) -> list[Share]:
    """Link people over all parts, and deal them into shares of about equal size."""
    components = Components()
    numbered = [(components.join(names), blob) for part in reads for names, blob in part.blobs]
    people: dict[int, list[Blob]] = {}
    for one, blob in numbered:
        people.setdefault(components.root(one), []).append(blob)
    dealt: list[tuple[int, int, Share]] = [(0, number, []) for number in range(shares)]
    for mine in people.values():
        events, number, share = dealt[0]
        share.append(mine)
        heapreplace(dealt, (events + sum(blob[3] for blob in mine), number, share))
    return [share for _, _, share in dealt if share]


class _Sources:
    """Gives the contributions of blobs, from files and spools that stay open as long as the stack."""

    def __init__(
        self, builder: Builder, parts: Sequence[Part], again: Sequence[bool], spools: Path, stack: ExitStack
    ) -> None:
        self._builder = builder
        self._parts = parts
        self._again = again
        self._spools = spools
        self._stack = stack
        self._opened: dict[Path, mmap.mmap] = {}
        self._places: dict[int, array[int]] = {}
        self.tally: Counter[str] = Counter()
        self.rejected: dict[Path, list[Rejected]] = {}
        """By file; instead of the number of its line, each has the place where that starts."""

    def contributions(self, blob: Blob) -> Iterable[Contribution]:
        """Read what a blob stands for."""
        number, first, size, _ = blob
        if self._again[number]:
            return self._read_again(number, first, size)
        return unpack(self._open(self._spools / str(number))[first : first + size])

    def _read_again(self, number: int, first: int, count: int) -> Iterator[Contribution]:
        places = self._places.get(number)
        if places is None:
            places = self._places[number] = array(_OFFSETS)
            places.frombytes((self._spools / str(number)).read_bytes())
        path = self._parts[number].path
        text, rejected = self._open(path), self.rejected.setdefault(path, [])
        return read_again(self._builder, text, places[first : first + count], rejected, self.tally)

    def _open(self, path: Path) -> mmap.mmap:
        opened = self._opened.get(path)
        if opened is None:
            file = self._stack.enter_context(path.open("rb"))
            opened = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._opened[path] = self._stack.enter_context(opened)
        return opened


def number_lines(path: Path, rejected: Iterable[Rejected]) -> list[Rejected]:
    """Put the numbers of lines in place of where in the file these start; in their order."""
    numbered: list[Rejected] = []
    with path.open("rb") as file:
        number = 1
        for one in sorted(rejected):
            while file.tell() < one.line:
                number += file.read(min(COUNTED_BYTES, one.line - file.tell())).count(b"\n")
            numbered.append(one._replace(line=number))
    return numbered


class Folded(NamedTuple):
    """What a share gave: ids and lines of profiles, each joined by newlines, which neither contains.

    Two objects instead of two per profile are sent from one process to another. `rejected` is as in
    `number_lines`.
    """

    ids: bytes
    lines: bytes
    tally: Counter[str]
    rejected: dict[Path, list[Rejected]]

    def finished(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the id and the line of each profile."""
        return zip(self.ids.splitlines(), self.lines.split(b"\n"), strict=bool(self.ids))


class Worker:
    """Reads parts and folds shares of them."""

    def __init__(
        self,
        builder: Builder,
        transformer: Transformer | None,
        parts: Sequence[Part],
        spools: Path,
        function: ProfileFunction | None = None,
    ) -> None:
        self._builder = builder
        self._transformer = transformer
        self._function = function
        self._parts = parts
        self._spools = spools

    def read(self, number: int) -> Read:
        """Read a part."""
        return read_part(self._builder, self._parts[number], self._spools, number, self._transformer)

    def fold(self, share: Share) -> Folded:
        """Fold the people of a share."""
        again = [is_read_again(part, self._transformer) for part in self._parts]
        ids: list[str] = []
        lines: list[bytes] = []
        with ExitStack() as stack:
            sources = _Sources(self._builder, self._parts, again, self._spools, stack)
            people = ([one for blob in blobs for one in sources.contributions(blob)] for blobs in share)
            for profile_id, line in fold_people(self._builder, people, sources.tally, self._function):
                ids.append(profile_id)
                lines.append(line)
        return Folded("\n".join(ids).encode(), b"\n".join(lines), sources.tally, sources.rejected)


def chosen_worker(chosen: ReadBuilder, parts: Sequence[Part], spools: Path) -> Worker:
    """Return a worker that runs what the folder of a builder says."""
    builder = Builder(chosen.definition)
    transformer, function = chosen.code()
    return Worker(builder, transformer, parts, spools, function)


class Process:
    """The one worker of a process of its own, that collects no garbage, for it makes no cycles."""

    worker: Worker

    @classmethod
    def start(cls, chosen: ReadBuilder, parts: Sequence[Part], spools: Path) -> None:
        """Prepare this process."""
        gc.disable()
        cls.worker = chosen_worker(chosen, parts, spools)

    @classmethod
    def read(cls, number: int) -> Read:
        """Have the worker read a part."""
        return cls.worker.read(number)

    @classmethod
    def fold(cls, share: Share) -> Folded:
        """Have the worker fold a share."""
        return cls.worker.fold(share)
