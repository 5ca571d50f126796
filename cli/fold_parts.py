"""Folding in parts: files cut at lines, contributions spooled, people dealt to whoever is free.

    read (part of a file -> spool of contributions, by identifiers)   each part alone
    link (identifiers of all parts -> people, dealt to shares)        once, over identifiers only
    fold (share -> finished profiles)                                 each share alone

Parts bound the memory; with several processes they are also what runs side by side. The result does not
depend on how files are cut, for every person's contributions come together again before they are folded.
"""

import gc
import gzip
import mmap
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from heapq import heapreplace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from cli.folders import ReadBuilder
from shared.app.fold import Rejected, Scan, fold, link, scan
from shared.app.reading import Transformer
from shared.core.compile import Builder, Contribution
from shared.core.event import Position
from shared.core.identity.identifiers import Identifier

PART_BYTES_MAX: Final = 512 * 2**20
"""Text that is read at a time; its contributions take about twice as much memory."""
SHARES_PER_WORKER: Final = 4
"""So that a worker that was dealt busy people does not keep the others waiting."""

_GZIP: Final = b"\x1f\x8b"


class Part(NamedTuple):
    """The lines of a file that start in these bytes; a compressed file is one part, without an end."""

    path: Path
    start: int
    end: int | None


Blob = tuple[int, int, int]
"""Contributions of one tuple of identifiers: (number of the spool, first byte, bytes).

A plain tuple, like all that goes from process to process by the ten thousand: pickling tuples of a class of
their own takes several times as long.
"""


class Read(NamedTuple):
    """What one part gave; its rejected lines count from the part's own first line."""

    part: Part
    blobs: list[tuple[tuple[tuple[str, str], ...], Blob]]
    """By identifiers."""
    rejected: list[Rejected]
    lines: int
    tally: Counter[str]


Share = list[list[Blob]]
"""People to fold: for each, where the contributions are."""


def parts_of(path: Path, part_bytes: int) -> list[Part]:
    """Cut a file into parts of about equal size, none larger than asked for. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(2) == _GZIP:
            return [Part(path, 0, None)]
    count = max(1, -(-size // part_bytes))  # rounded up
    cuts = [size * index // count for index in range(count + 1)]
    return [Part(path, start, end) for start, end in pairwise(cuts)]


def lines_of(part: Part) -> Iterator[bytes]:
    """Yield the lines of a part. Raises OSError, or EOFError for compressed data that ends too early."""
    if part.end is None:
        with gzip.open(part.path) as unpacked:
            yield from unpacked
        return
    with part.path.open("rb") as file:
        yield from _lines_between(file, part.start, part.end)


def _lines_between(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    at = start
    if start:
        # The line that begins before this part belongs to the part before; it may end right here.
        file.seek(start - 1)
        at += len(file.readline()) - 1
    while at < end:
        line = file.readline()
        if not line:
            return
        at += len(line)
        yield line


def read_part(
    builder: Builder, part: Part, spools: Path, number: int, transformer: Transformer | None = None
) -> Read:
    """Scan a part and write its contributions to a spool of its own, in the folder of spools."""
    scanned = Scan()
    scan(builder, lines_of(part), scanned, transformer)
    blobs: list[tuple[tuple[tuple[str, str], ...], Blob]] = []
    with (spools / str(number)).open("wb") as file:
        at = 0
        for identifiers, contributions in scanned.groups.items():
            named = tuple([(kind, value) for kind, value in identifiers])
            data = _packed(named, contributions)
            file.write(data)
            blobs.append((named, (number, at, len(data))))
            at += len(data)
    return Read(part, blobs, scanned.rejected, scanned.lines, scanned.tally)


def _packed(identifiers: tuple[tuple[str, str], ...], contributions: Sequence[Contribution]) -> bytes:
    rows = [
        (one.key, one.hash, one.arrival, one.values, one.traits, one.weight, tuple(one.position))
        for one in contributions
    ]
    return pickle.dumps((identifiers, rows), pickle.HIGHEST_PROTOCOL)


def _unpacked(data: bytes) -> list[Contribution]:
    named, rows = pickle.loads(data)  # noqa: S301 - written a moment ago, in our own folder
    identifiers = tuple([Identifier(*one) for one in named])
    return [
        Contribution(key, hashed, arrival, identifiers, values, traits, weight, Position(*position))
        for key, hashed, arrival, values, traits, weight, position in rows
    ]


def deal(reads: Sequence[Read], shares: int) -> list[Share]:
    """Link identifiers to people over all parts, and deal the people into shares of about equal size."""
    blobs: dict[tuple[tuple[str, str], ...], list[Blob]] = {}
    for read in reads:
        for identifiers, blob in read.blobs:
            blobs.setdefault(identifiers, []).append(blob)
    dealt: list[tuple[int, int, Share]] = [(0, number, []) for number in range(shares)]
    for person in link(blobs):
        mine = [blob for identifiers in person for blob in blobs[identifiers]]
        size, number, share = dealt[0]
        share.append(mine)
        heapreplace(dealt, (size + sum(blob[2] for blob in mine), number, share))
    return [share for _, _, share in dealt if share]


def fold_share(builder: Builder, spools: Path, share: Share) -> tuple[list[tuple[str, bytes]], Counter[str]]:
    """Fold the people of a share; of each, what `Finished` says."""
    finished: list[tuple[str, bytes]] = []
    tally: Counter[str] = Counter()
    with ExitStack() as stack:
        opened: dict[int, mmap.mmap] = {}
        for blobs in share:
            contributions: list[Contribution] = []
            for number, start, size in blobs:
                if number not in opened:
                    file = stack.enter_context((spools / str(number)).open("rb"))
                    opened[number] = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                contributions += _unpacked(opened[number][start : start + size])
            finished += [(one.profile_id, one.line) for one in fold(builder, contributions, tally)]
    return finished, tally


class Worker:
    """A process that folds: it compiles the builder once, and collects no garbage, for it makes no cycles."""

    builder: Builder
    transformer: Transformer | None
    spools: Path

    @classmethod
    def start(cls, chosen: ReadBuilder, spools: Path) -> None:
        """Prepare this process."""
        gc.disable()
        cls.builder = Builder(chosen.definition)
        cls.transformer = chosen.transformer()
        cls.spools = spools

    @classmethod
    def read(cls, part: Part, number: int) -> Read:
        """Run `read_part` with this process's builder."""
        return read_part(cls.builder, part, cls.spools, number, cls.transformer)

    @classmethod
    def fold(cls, share: Share) -> tuple[list[tuple[str, bytes]], Counter[str]]:
        """Run `fold_share` with this process's builder."""
        return fold_share(cls.builder, cls.spools, share)
