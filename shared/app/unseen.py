"""What a version was not built from, though the archive holds it by now: another one may have been."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from shared import contract
from shared.app.registry import Version
from shared.core.times import parse_time

if TYPE_CHECKING:
    from shared.app.backfill import Manifest

STREAM_MS: Final = contract.STREAM_RETENTION_H * 3_600_000


class Span(NamedTuple):
    """From when to when records arrived, ms UTC, both included; `surely`, or there may have been none."""

    first: int
    last: int
    surely: bool = True


def unseen_by(version: Version, added: Iterable["Manifest"]) -> frozenset[Span]:
    """Return when the records arrived that a version has not seen, of files that were added among others.

    Nothing is added while a version is being built: it has seen the files that were there when it was
    published. One that a deploy made (its T0 is 0) was not built, and has seen none of them, nor what the
    stream no longer had.
    """
    return frozenset(_spans(version, added))


def _spans(version: Version, added: Iterable["Manifest"]) -> Iterator[Span]:
    if not version.t0:
        yield Span(0, version.created_at - STREAM_MS, surely=False)
    for one in added:
        first, last = parse_time(one.first_arrival), parse_time(one.last_arrival)
        added_at = parse_time(one.added_at)
        if first is None or last is None or added_at is None:
            continue  # a file of which nothing was added
        if not version.t0 or added_at >= version.created_at:
            yield Span(first, last)
