"""Quarantine: what could not be read or processed waits with its reason, and may be replayed.

Replay never uses the stream: ingestion is called with the original envelope, so arrival and position stay.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Any, Final, NamedTuple, Protocol

from shared.app.delivery import Envelope, Ingestion, IngestionUnavailableError, VersionGoneError, deliver
from shared.core.cutting import cut
from shared.core.records import (
    ENVELOPE_EXTRA,
    Rejection,
    envelope_of,
    envelope_of_parts,
    kinesis_record,
    name_of_parts,
    named_as,
)
from shared.core.times import format_time

FAILED_REPEATEDLY: Final = "failed_repeatedly"
"""The reason of records that ingestion never accepted."""

REPLAY_RECORDS_MAX: Final = 100
REPLAY_BYTES_MAX: Final = 4_000_000
"""Below what a synchronous call may carry, 6 MB; larger bad events of one record get several entries."""
PART_OVERHEAD_BYTES: Final = 32
"""What an envelope takes for a part, besides its data in base64."""
ARCHIVED: Final[Envelope] = {"eventSource": "kith:archive"}
"""What the envelope of a record says that a rebuild read from the archive: its version counts it, although it
arrived before the version's T0."""
LISTED_MAX: Final = 1000
"""Entries replayed at a time, so that memory does not grow with the quarantine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A record, or those events of it, that a version of a builder could not process; `arrival` is ms UTC.

    `reason` and `detail` are those of the first event, `reasons` counts all of them.
    """

    builder: str
    version: int
    reason: str
    detail: str
    reasons: Mapping[str, int]
    shard: str
    sequence: str
    index: int
    arrival: int
    envelope: Envelope

    @property
    def id(self) -> str:
        """Name the entry: the same at every delivery, so that the same rejections are kept once.

        Nothing else has this name. One delivery of a record may set aside more of it than another, and is
        not followed by a third that sees to the rest: what was set aside is only written over by just that.
        """
        day = format_time(self.arrival)[:10]
        name = named_as(self.envelope).values() if is_part(self.envelope) else ()
        place = "-".join(map(str, (self.shard, self.sequence, *name)))
        return f"{prefix_of(self.builder, self.version)}dt={day}/{place}"


class Stored(NamedTuple):
    """An entry as it was read; `tag` changes whenever the entry is written again."""

    entry: Entry
    tag: str


class DamagedEntryError(Exception):
    """An object of quarantine that holds no entry; the message names it, and nothing of what it holds."""


class QuarantineStore(Protocol):
    """Where entries are kept, by id."""

    def put(self, entries: Sequence[Entry]) -> None:
        """Write entries, each over an older one of its id."""

    def list(
        self, builder: str | None = None, reason: str | None = None, since: int | None = None
    ) -> Iterator[Stored]:
        """Yield entries by id: of one builder, with one reason, that arrived at `since` (ms UTC) or later.

        An entry of several events has the reason of each. Raises `DamagedEntryError`.
        """

    def get(self, entry_id: str) -> Stored | None:
        """Return one entry. Raises `DamagedEntryError`."""

    def delete(self, stored: Stored) -> bool:
        """Delete an entry unless it was written again since it was read; say whether it is gone."""


def prefix_of(builder: str, version: int) -> str:
    """Return what the ids of all entries of a version begin with, and those of no other version."""
    return f"{builder}/v{version}/"


def is_part(envelope: Envelope) -> bool:
    """Tell whether an envelope carries events of a record, and not the whole record."""
    return ENVELOPE_EXTRA in envelope


def is_archived(envelope: Envelope) -> bool:
    """Tell whether an envelope was made by a rebuild, of a record in the archive."""
    return bool(envelope.get("eventSource") == ARCHIVED["eventSource"])


def size_of(envelope: Envelope) -> int:
    """Return about how many bytes an envelope takes."""
    parts = envelope.get(ENVELOPE_EXTRA, {}).get("parts", ())
    return len(envelope["kinesis"]["data"]) + sum(len(part["data"]) + PART_OVERHEAD_BYTES for part in parts)


def entry_of(
    builder: str,
    version: int,
    envelope: Envelope,
    reason: str,
    detail: str,
    reasons: Mapping[str, int] | None = None,
) -> Entry:
    """Make the entry of an envelope; raises what `kinesis_record` does if it is none of Lambda's."""
    record = kinesis_record(envelope)
    return Entry(
        builder=builder,
        version=version,
        reason=reason,
        detail=detail,
        reasons=reasons or {reason: 1},
        shard=record.shard,
        sequence=record.sequence,
        index=record.first_index,
        arrival=record.arrival,
        envelope=envelope,
    )


def entries_of(
    builder: str, version: int, delivered: Envelope, rejections: Sequence[Rejection]
) -> list[Entry]:
    """Make the entries of what was rejected of one envelope: nearly always one, however many events.

    Only the rejected events are kept, else a replay would bring the others once more, perhaps long after
    their profiles forgot them. What is still bad after a replay keeps its entry.
    """
    entries = _entries_of(builder, version, delivered, rejections)
    if is_archived(delivered):
        return [replace(entry, envelope={**entry.envelope, **ARCHIVED}) for entry in entries]
    return entries


def _entries_of(
    builder: str, version: int, delivered: Envelope, rejections: Sequence[Rejection]
) -> list[Entry]:
    if is_part(delivered):
        return [_entry_of_parts(builder, version, rejections, named_as(delivered))]
    first = rejections[0]
    if first.whole:
        return [entry_of(builder, version, envelope_of(first), first.reason, first.detail)]
    return [_entry_of_parts(builder, version, part, name_of_parts(part)) for part in _replayable(rejections)]


def _entry_of_parts(
    builder: str, version: int, rejections: Sequence[Rejection], name: Mapping[str, Any]
) -> Entry:
    first = rejections[0]
    detail = first.detail
    if len(rejections) > 1:
        detail = f"{len(rejections)} events of one record; of the first: {detail}"
    reasons = Counter[str](one.reason for one in rejections)
    envelope = envelope_of_parts(rejections, name)
    return entry_of(builder, version, envelope, first.reason, detail, reasons)


def _replayable(rejections: Sequence[Rejection]) -> Iterator[list[Rejection]]:
    """Cut a record's rejections into what one call may carry."""
    # Four characters of base64 for three bytes.
    return cut(rejections, lambda one: len(one.data) * 4 // 3 + PART_OVERHEAD_BYTES, REPLAY_BYTES_MAX)


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
    return cut(lane, lambda one: size_of(one.entry.envelope), REPLAY_BYTES_MAX, REPLAY_RECORDS_MAX)


def cut_envelopes(envelopes: Iterable[Envelope]) -> Iterator[list[Envelope]]:
    """Cut envelopes into what one call of ingestion may carry."""
    return cut(envelopes, size_of, REPLAY_BYTES_MAX, REPLAY_RECORDS_MAX)
