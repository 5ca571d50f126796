"""`kith send`: put the events of a file on the stream."""

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from cli.errors import Failure
from cli.options import Stage
from shared import contract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.target import Target
    from shared.app.send import Line, Sent
    from shared.core.definition import Definition

SKIPPED_SHOWN: Final = 10


def send(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="File of JSON lines, one event each; - reads stdin.")
    ],
    rate: Annotated[
        float | None,
        typer.Option(metavar="N", min=0.001, help="Events per second, at most.", show_default=False),
    ] = None,
    builder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Builder whose identifier with the highest priority is the partition key of an event "
            "without anonymousId. Default: the first by name that finds any.",
            show_default=False,
        ),
    ] = None,
    stage: Stage = None,
) -> None:
    """Send events: put each line of FILE on the stream.

    Lines that are no JSON object are skipped and reported; the exit code is then 1.
    """
    from cli.tables import counted
    from cli.target import resolve
    from shared.adapters.kinesis import KinesisStream
    from shared.app.send import PartitionKeys, StoppedError
    from shared.app.send import send as send_lines

    with _opened(file) as (source, total):
        target = resolve(stage)
        stream = KinesisStream(target.client("kinesis"), target.output(contract.OUTPUT_STREAM))
        keys = PartitionKeys(lambda: _definitions(target, builder))
        started_s = time.monotonic()
        with _progress(total) as tell:
            try:
                sent = send_lines(_lines(source), stream, keys, _Clock(), rate, tell)
            except StoppedError as error:
                raise Failure(
                    f"the stream takes no more ({error.code}): {error.unsent} events of the last batch and "
                    "all that follow are not sent. Send the file again, slower, with --rate: what has "
                    "arrived already counts once if its events have a messageId"
                ) from None
    took_s = time.monotonic() - started_s
    sent_per_s = sent.records / max(took_s, 0.001)
    typer.echo(f"sent {counted(sent.records, 'event')} in {took_s:.1f} s ({sent_per_s:.0f}/s)")
    _report_skipped(sent)


class _Clock:
    def now_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@contextmanager
def _opened(file: str) -> "Iterator[tuple[BinaryIO, int | None]]":
    """Open the input; its size in bytes is None where nobody knows."""
    if file == "-":
        yield sys.stdin.buffer, None
        return
    path = Path(file)
    try:
        source = path.open("rb")
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}") from None
    with source:
        yield source, path.stat().st_size if path.is_file() else None


def _lines(source: BinaryIO) -> "Iterator[Line]":
    from cli.lines import lines_of
    from shared.app.send import Line

    return (Line(number, text) for number, text in enumerate(lines_of(source), 1))


def _definitions(target: "Target", builder: str | None) -> "list[Definition]":
    from cli.builders import active_versions, choose, definition_of

    if builder is not None:
        return [definition_of(target, *choose(target, builder, None))]
    return [definition_of(target, *one) for one in sorted(active_versions(target).items())]


@contextmanager
def _progress(total: int | None) -> "Iterator[Callable[[Sent], None]]":
    """Draw a bar with the rate on a terminal, and nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("sending"),
        BarColumn(),
        TextColumn("{task.fields[sent]:,} events  {task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    started_s = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("sending", total=total, sent=0, rate=0.0)

        def tell(sent: "Sent") -> None:
            rate = sent.records / max(time.monotonic() - started_s, 0.001)
            progress.update(task, completed=sent.bytes, sent=sent.records, rate=rate)

        yield tell


def _report_skipped(sent: "Sent") -> None:
    if not sent.skipped:
        return
    for number, reason in sent.skipped[:SKIPPED_SHOWN]:
        typer.echo(f"line {number}: {reason}", err=True)
    more = len(sent.skipped) - SKIPPED_SHOWN
    if more > 0:
        typer.echo(f"... and {more} more", err=True)
    are = "line is no event and was" if len(sent.skipped) == 1 else "lines are no events and were"
    raise Failure(f"{len(sent.skipped)} {are} not sent")
