"""`kith backfill`: put history from files into the archive."""

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import Failure
from cli.options import AsJson, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from cli.backfill_files import FileSource
    from cli.target import Target
    from shared.app.backfill import Added, Backfill, Progress


def backfill(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="Files of JSON lines, one event each; gzip is read as well. s3://BUCKET/KEY is one of S3, "
            "s3://BUCKET/PREFIX/ all below a prefix.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be added, and add nothing.")
    ] = False,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Put history from files into the archive, for the next publish to build from.

    An event arrives at its receivedAt, else at its timestamp. The same file again adds nothing;
    a run that broke off may be repeated. Lines that cannot be read, have no arrival or one in the
    future go to FILE.rejected (of S3: in this folder), each with its reason; they are no failure.
    While a version is being built nothing is added, for it might find a part of a file.
    """
    import tempfile

    from cli.backfill_files import S3_SCHEME, FileSource, download, s3_names
    from cli.target import resolve
    from shared.adapters.background import BackgroundPuts
    from shared.app.backfill import Backfill

    target = resolve(stage)
    if not dry_run:
        _ensure_nothing_is_built(target)
    s3 = target.client("s3")
    objects = target.bucket()
    use_case = Backfill(objects, lambda: BackgroundPuts(objects), _now_ms(), dry_run=dry_run)
    added_any = False
    for name in files:
        for one in s3_names(s3, name) if name.startswith(S3_SCHEME) else [name]:
            with tempfile.TemporaryDirectory(prefix="kith-backfill-") as folder:
                if one.startswith(S3_SCHEME):
                    path, beside = Path(folder) / "source", Path.cwd() / _flat(one)
                    download(s3, one, path)
                else:
                    path = beside = Path(one)
                added = _add(use_case, FileSource(path, one), beside, Path(folder))
            _report(added, as_json=as_json, dry_run=dry_run)
            added_any |= not (added.before or dry_run)
    if added_any and not as_json:
        typer.echo(
            "The next version is built from it: `kith publish` makes one of a draft, `kith rollback` of the\n"
            "active version where nothing else is to change. Those that exist stay as they are."
        )


def _ensure_nothing_is_built(target: "Target") -> None:
    """Failure while a version is being built: it might find a part of what is added, and miss the rest."""
    from cli.publishing import registry_of
    from shared.app.registry import Status

    registry = registry_of(target)
    for builder in registry.builders():
        for one in registry.versions(builder):
            if one.status is Status.BUILDING:
                raise Failure(
                    f"version {one.version} of {builder} is being built, and might find a part of what is "
                    f"added: wait for it (`kith builds {builder} --watch`), or `kith cancel {builder}`"
                )


def _add(use_case: "Backfill", source: "FileSource", beside: Path, folder: Path) -> "Added":
    """Add one file, its lines waiting in a folder, its rejected lines in a file beside it."""
    import zlib

    from cli.backfill_files import FolderSpool
    from cli.rejected import rejected_file
    from cli.tables import counted

    spool = folder / "spool"
    spool.mkdir()
    try:
        with rejected_file(beside.parent / f"{beside.name}.rejected") as rejected, _progress() as tell:
            added = use_case.add(source, FolderSpool(spool), rejected.add, tell)
            rejected.is_kept = not added.before
    except (OSError, EOFError, zlib.error) as error:
        raise Failure(f"cannot backfill {source.name}: {error}") from None
    if rejected.count:
        lines = counted(rejected.count, "line")
        typer.echo(f"{source.name}: {lines} rejected, see {rejected.path}", err=True)
    return added


def _report(added: "Added", *, as_json: bool, dry_run: bool) -> None:
    from cli.tables import counted

    held = added.manifest
    if as_json:
        typer.echo(_json(added, dry_run=dry_run))
    elif added.before:
        typer.echo(f"{held.source}: nothing to add: it was added at {held.added_at}")
    elif not held.records:
        typer.echo(f"{held.source}: nothing to add")
    else:
        events, objects = counted(held.records, "event"), counted(len(held.objects), "object")
        typer.echo(
            f"{held.source}: {'would add' if dry_run else 'added'} {events} that arrived"
            f" {held.first_arrival} to {held.last_arrival}, in {objects}"
        )


def _json(added: "Added", *, dry_run: bool) -> str:
    import msgspec

    from shared.core.canonical import canonical_json

    facts: dict[str, Any] = msgspec.to_builtins(added.manifest)
    status = "added_before" if added.before else "would_add" if dry_run else "added"
    return canonical_json({**facts, "status": status}).decode()


@contextmanager
def _progress() -> "Iterator[Callable[[Progress], None]]":
    """Show lines and rate on a terminal, and nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn

    text = TextColumn("{task.fields[lines]:,} lines  {task.fields[rate]:,.1f} MB/s")
    started_s = time.monotonic()
    with Bar(SpinnerColumn(), text, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", lines=0, rate=0.0)

        def tell(progress: "Progress") -> None:
            rate = progress.bytes / 1e6 / max(time.monotonic() - started_s, 0.001)
            bar.update(task, lines=progress.lines, rate=rate)

        yield tell


def _flat(url: str) -> str:
    """Return the key of an s3:// URL as the name of a file."""
    return url.split("/", 3)[3].replace("/", "_")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
