"""Quarantine: what could not be read or processed waits with its reason, and may be replayed.

Replay never uses the stream: ingestion is called with the original envelope, so arrival and position stay.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, Final, NamedTuple, Protocol

from shared.app.delivery import Envelope, Ingestion, IngestionUnavailableError, VersionGoneError, deliver
from shared.core.event import Position
from shared.core.records import Record, Rejection, envelope_of, kinesis_record
from shared.core.times import format_time

FAILED_REPEATEDLY: Final = "failed_repeatedly"
"""The reason of records that ingestion never accepted."""

PARTS_MAX: Final = 20
"""A record with more rejected events than this is set aside whole: one object instead of thousands."""
REPLAY_RECORDS_MAX: Final = 100
REPLAY_BYTES_MAX: Final = 4_000_000
"""Below what a synchronous call may carry, 6 MB."""
LISTED_MAX: Final = 1000
"""Entries replayed at a time, so that memory does not grow with the quarantine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record, or one event of it, that a version of a builder could not process; `arrival` is ms UTC."""

    builder: str
    version: int
    reason: str
    detail: str
    shard: str
    sequence: str
    index: int
    arrival: int
    envelope: Envelope

    @property
    def id(self) -> str:
        """Name the entry: the same at every delivery, so that the same rejection is kept once."""
        day = format_time(self.arrival)[:10]
        place = f"{self.shard}-{self.sequence}-{self.index}"
        return f"{self.builder}/v{self.version}/dt={day}/{place}"


class Stored(NamedTuple):
    """An entry as it was read; `tag` changes whenever the entry is written again."""

    entry: Entry
    tag: str


class QuarantineStore(Protocol):
    """Where entries are kept, by id."""

    def put(self, entries: Sequence[Entry]) -> None:
        """Write entries, each over an older one of its id."""

    def list(
        self, builder: str | None = None, reason: str | None = None, since: int | None = None
    ) -> Iterator[Stored]:
        """Yield entries by id: of one builder, with one reason, that arrived at `since` (ms UTC) or later."""

    def get(self, entry_id: str) -> Stored | None:
        """Return one entry."""

    def delete(self, stored: Stored) -> bool:
        """Delete an entry unless it was written again since it was read; say whether it is gone."""


def entry_of(builder: str, version: int, envelope: Envelope, reason: str, detail: str) -> Entry:
    """Make the entry of an envelope; KeyError, TypeError or ValueError if it is none of Lambda's."""
    record = kinesis_record(envelope)
    return Entry(
        builder=builder,
        version=version,
        reason=reason,
        detail=detail,
        shard=record.shard,
        sequence=record.sequence,
        index=record.first_index,
        arrival=record.arrival,
        envelope=envelope,
    )


def entries_of(builder: str, version: int, record: Record, rejections: Sequence[Rejection]) -> list[Entry]:
    """Make the entries of one record's rejections: one each, or one for the whole record if they are many.

    A record that is set aside whole is replayed whole; those of its events that were folded are known then.
    """
    if len(rejections) > PARTS_MAX:
        first = rejections[0]
        whole = Rejection(
            reason=first.reason,
            detail=f"{len(rejections)} events of one record; of the first: {first.detail}",
            data=record.data,
            whole=True,
            arrival=record.arrival,
            position=Position(record.shard, record.sequence, record.first_index),
        )
        rejections = [whole]
    return [
        entry_of(builder, version, envelope_of(rejection), rejection.reason, rejection.detail)
        for rejection in rejections
    ]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of replayed entries, by id."""

    accepted: list[str] = field(default_factory=list)
    """Ingested, and gone from quarantine."""
    still_bad: list[str] = field(default_factory=list)
    """Set aside again for what they are."""
    failed: list[str] = field(default_factory=list)
    """Ingestion failed on them, or could not be called; they stay."""
    orphaned: list[str] = field(default_factory=list)
    """Their version consumes no more; they stay."""


def replay(store: QuarantineStore, ingestion: Ingestion, entries: Iterable[Stored]) -> Replayed:
    """Replay entries; each is deleted only once ingestion has accepted it and not set it aside again."""
    result = Replayed()
    waiting = iter(entries)
    while some := list(islice(waiting, LISTED_MAX)):
        some.sort(key=_lane_and_place)
        for (builder, version, _), lane in groupby(some, key=_lane):
            for batch in _batches(lane):
                _replay_batch(store, ingestion, builder, version, batch, result)
    return result


def _replay_batch(
    store: QuarantineStore,
    ingestion: Ingestion,
    builder: str,
    version: int,
    batch: Sequence[Stored],
    result: Replayed,
) -> None:
    def ingest(part: Sequence[Stored]) -> int:
        return ingestion.ingest(builder, version, [one.entry.envelope for one in part])

    try:
        failed, _ = deliver(ingest, batch, may_go_on=lambda: True)
    except VersionGoneError:
        result.orphaned.extend(one.entry.id for one in batch)
        return
    except IngestionUnavailableError:
        result.failed.extend(one.entry.id for one in batch)
        return
    failed_ids = {one.entry.id for one in failed}
    result.failed.extend(failed_ids)
    for one in batch:
        if one.entry.id not in failed_ids:
            # What is still bad was written again under its id: then it is not what was read, and stays.
            gone = store.delete(one)
            (result.accepted if gone else result.still_bad).append(one.entry.id)


def _lane(stored: Stored) -> tuple[str, int, str]:
    """One shard of one version: only there do sequence numbers compare."""
    return stored.entry.builder, stored.entry.version, stored.entry.shard


def _lane_and_place(stored: Stored) -> tuple[Any, ...]:
    entry = stored.entry
    return *_lane(stored), len(entry.sequence), entry.sequence, entry.index


def _batches(lane: Iterable[Stored]) -> Iterator[list[Stored]]:
    """Cut a lane into what one call may carry."""
    batch: list[Stored] = []
    held_bytes = 0
    for one in lane:
        size_bytes = len(one.entry.envelope["kinesis"]["data"])
        if batch and (len(batch) == REPLAY_RECORDS_MAX or held_bytes + size_bytes > REPLAY_BYTES_MAX):
            yield batch
            batch, held_bytes = [], 0
        batch.append(one)
        held_bytes += size_bytes
    if batch:
        yield batch
