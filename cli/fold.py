"""`kith fold`: profiles from local files, on the engine that runs live, without a cloud."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cli.errors import Failure
from cli.fold_files import beside, check_inputs, check_out, write_out
from cli.folders import ReadBuilder, read_builder
from cli.hashing import repeatable
from cli.tables import counted

if TYPE_CHECKING:
    from cli.fold_parts import Folded, Part, Read
    from shared.app.fold import Rejected


def fold(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Files of JSON lines, one event each; gzip is read as well.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    builder: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the builder.", exists=True, file_okay=False)
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the profiles go; - is stdout.")],
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, max=256, help="Processes that share the work.")
    ] = 1,
) -> None:
    """Fold files of events into profiles, without a cloud.

    Profiles come out as one canonical line each, sorted by profile_id. An event arrives at
    its receivedAt, else at its timestamp. Expiry is judged by arrivals, never by today's
    date. The order of files and lines does not matter, and a line that comes again is the same event.
    The builder's transform.py and profile.py are run. Lines that cannot be read or transformed go to
    FILE.rejected, each with its reason; they are no failure. Nor is a profile.py that fails for a profile:
    that comes out without its result.
    """
    chosen = read_builder(builder)
    repeatable(chosen.files)
    files = list(dict.fromkeys(files))
    try:
        check_inputs(files)
        check_out(out, files, [builder / name for name in chosen.files])
        folded = _fold(files, chosen, workers)
        for path in files:
            _write_rejected(path, folded.rejected[path])
        write_out(out, (line for _, line in folded.finished))
    except BrokenPipeError:
        raise  # whoever reads stdout has enough: the end of any command, and nothing to tell
    except OSError as error:
        raise Failure(f"cannot fold: {error}") from None
    _report(folded)


class _Folded(NamedTuple):
    finished: list[tuple[bytes, bytes]]
    """The id and the canonical line of each profile, sorted."""
    rejected: "dict[Path, list[Rejected]]"
    tally: Counter[str]


def _fold(files: Sequence[Path], builder: ReadBuilder, workers: int) -> _Folded:
    import tempfile

    from cli.fold_parts import PART_BYTES_MAX, parts_of

    total = sum(path.stat().st_size for path in files)
    part_bytes = max(1, min(PART_BYTES_MAX, -(-total // workers)))
    parts = [part for path in files for part in parts_of(path, part_bytes)]
    if workers == 1 and total <= PART_BYTES_MAX:
        return _fold_at_once(parts, builder)
    with tempfile.TemporaryDirectory(prefix="kith-fold-") as folder:
        if workers == 1:
            return _fold_alone(parts, builder, Path(folder))
        return _fold_together(parts, builder, Path(folder), workers)


def _fold_at_once(parts: "Sequence[Part]", chosen: ReadBuilder) -> _Folded:
    """Fold what fits in memory: it is read once, and kept."""
    from cli.fold_parts import lines_of
    from shared.app.fold import Scan, fold_people, link, scan
    from shared.core.compile import Builder

    builder = Builder(chosen.definition)
    transformer, function = chosen.code()
    scanned = Scan()
    rejected: dict[Path, list[Rejected]] = {}
    with _no_garbage_collection():
        for part in parts:
            scanned.rejected = rejected[part.path] = []
            scan(builder, lines_of(part), scanned, transformer)
        people = (
            [one for group in person for one in scanned.groups.pop(group)] for person in link(scanned.groups)
        )
        folded = fold_people(builder, people, scanned.tally, function)
        finished = sorted((one.profile_id.encode(), one.line) for one in folded)
    return _Folded(finished, rejected, scanned.tally)


def _fold_alone(parts: "Sequence[Part]", chosen: ReadBuilder, spools: Path) -> _Folded:
    """Fold in this process, part by part."""
    from cli.fold_parts import chosen_worker, deal

    with _no_garbage_collection():
        worker = chosen_worker(chosen, parts, spools)
        reads = [worker.read(number) for number in range(len(parts))]
        return _united(reads, map(worker.fold, deal(reads, 1)))


def _fold_together(parts: "Sequence[Part]", chosen: ReadBuilder, spools: Path, workers: int) -> _Folded:
    """Fold in as many processes as asked for."""
    import sys
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    from cli.fold_parts import SHARES_PER_WORKER, Process, deal

    # A forked process has imported all there is to import; only Linux forks safely.
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    chosen.code()  # here user code that cannot be run is told as it should be
    try:
        with (
            _no_garbage_collection(),
            ProcessPoolExecutor(
                workers, context, initializer=Process.start, initargs=(chosen, parts, spools)
            ) as pool,
        ):
            reads = list(pool.map(Process.read, range(len(parts))))
            shares = deal(reads, max(len(parts), workers * SHARES_PER_WORKER))
            return _united(reads, pool.map(Process.fold, shares))
    except BrokenProcessPool:
        raise Failure(
            "a worker ended: by what the builder's code does, or for want of memory; "
            "--workers 1 takes the least"
        ) from None


def _united(reads: "Sequence[Read]", shares: "Iterable[Folded]") -> _Folded:
    """Put together what parts and shares gave."""
    from cli.fold_parts import number_lines

    tally: Counter[str] = Counter()
    rejected: dict[Path, list[Rejected]] = {}
    lines: Counter[Path] = Counter()
    for read in reads:
        tally.update(read.tally)
        before = lines[read.part.path]
        lines[read.part.path] += read.lines
        rejected.setdefault(read.part.path, []).extend(
            one._replace(line=before + one.line) for one in read.rejected
        )
    finished: list[tuple[bytes, bytes]] = []
    by_place: dict[Path, list[Rejected]] = {}
    for share in shares:
        finished += share.finished()
        tally.update(share.tally)
        for path, some in share.rejected.items():
            by_place.setdefault(path, []).extend(some)
    for path, some in by_place.items():
        rejected[path] = number_lines(path, some)
    return _Folded(sorted(finished), rejected, tally)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep the collector from walking through millions of live objects: folding makes no cycles."""
    import gc

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # nor does what is left need a walk: it lives until the process ends
        if was_enabled:
            gc.enable()


def _write_rejected(path: Path, rejected: "Sequence[Rejected]") -> None:
    """Write the lines of a file that were rejected beside it, in place of those of an earlier run."""
    target = beside(path)
    if not rejected:
        target.unlink(missing_ok=True)
        return
    from cli.rejected import rejected_line

    with target.open("wb") as file:
        # By line: what cannot be read and what cannot be transformed come to light in turns.
        file.writelines(rejected_line(one) for one in sorted(rejected))
    typer.echo(f"{path}: {counted(len(rejected), 'line')} rejected, see {target}", err=True)


def _report(folded: _Folded) -> None:
    """Say on stderr what became of the events: stdout may be the profiles."""
    tally = folded.tally
    parts = [counted(tally["events_in"], "event"), counted(len(folded.finished), "profile")]
    parts += [f"{tally['events_fanned_out']} more by fan-out"] if tally["events_fanned_out"] else []
    parts += [counted(tally["events_duplicate"], "duplicate")] if tally["events_duplicate"] else []
    parts += [
        f"{count} dropped ({name.partition('.')[2]})"
        for name, count in sorted(tally.items())
        if name.startswith("events_dropped.")
    ]
    failed = tally["functions_failed"]
    parts += [f"{counted(failed, 'profile')} without a result of profile.py"] if failed else []
    left_out = tally["functions_left_out"]
    parts += [f"{counted(left_out, 'trait')} of profile.py left out"] if left_out else []
    rejected = sum(map(len, folded.rejected.values()))
    parts += [f"{counted(rejected, 'line')} rejected"] if rejected else []
    typer.echo(", ".join(parts), err=True)
    unused = {
        name.removeprefix("left_out.").removeprefix("set_aside.").replace(".", " "): count
        for name, count in sorted(tally.items())
        if name.startswith(("left_out.", "set_aside."))
    }
    if unused:
        told = ", ".join(f"{name} ({count})" for name, count in unused.items())
        typer.echo(f"values that could not be used: {told}", err=True)
