"""A batch of the stream: records in, profiles written; what cannot be read is set aside."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from shared import contract
from shared.app.aside import Aside
from shared.app.delivery import Envelope
from shared.app.ingest import CONTENDED, Ingest, Outcome
from shared.app.markers import Markers
from shared.app.quarantine import QuarantineStore, is_archived, is_part
from shared.app.reading import Read, Reader, Transformer, count_quarantined
from shared.app.retries import Retries, has_waited, retry_of_contended
from shared.core.compile import Builder
from shared.core.containers import EVENTS_MAX, TEXT_BYTES_MAX, Reason
from shared.core.control import control_of, is_control
from shared.core.event import Event, Position
from shared.core.records import (
    Record,
    Rejection,
    kinesis_record,
    kinesis_records,
    read_record,
    reject,
)
from shared.core.writes import Note

PORTION_EVENTS_MAX: Final = EVENTS_MAX
PORTION_BYTES_MAX: Final = TEXT_BYTES_MAX
"""Of a batch at once, about: as much as one record may hold. A batch of compressed ones may hold hundreds of
times what the process has room for."""
_Why = tuple[Reason, str]
"""Why an event goes to quarantine that could be read: the reason, and the detail."""
_DAMAGED: Final[_Why] = "profile_damaged", "what is stored of the profile cannot be read"
ERRORS_TOLD: Final = 20
"""Kinds of errors that an outcome names; a batch that fails has few, but each may be on every event."""


_Delivered = tuple[Envelope, list[Record]]
"""An envelope, and the records in it."""


class BatchOutcome(msgspec.Struct):
    """What became of a batch.

    `failed` is the lowest sequence number that must come again, with all that follow, or None; `errors` says
    why. `tally` counts events, values, profiles and writes. `oldest` is the earliest arrival, ms UTC.
    """

    tally: Counter[str]
    notes: list[Note]
    failed: str | None
    errors: list[str]
    oldest: int | None


class _Taken(NamedTuple):
    """A delivery that was read."""

    envelope: Envelope
    records: Sequence[Record]
    read: Read

    @property
    def is_to_set_aside(self) -> bool:
        """Whether anything of it is."""
        return bool(self.read.rejections or self.read.postponed)


class Batch:
    """Ingests batches for one version of a builder; records that arrived before `t0` are not its own."""

    def __init__(
        self,
        builder: Builder,
        version: int,
        t0: int,
        ingest: Ingest,
        quarantine: QuarantineStore,
        retries: Retries,
        markers: Markers,
        transformer: Transformer | None = None,
    ) -> None:
        self._builder = builder
        self._version = version
        self._t0 = t0
        self._ingest = ingest
        self._quarantine = quarantine
        self._markers = markers
        self._retries = retries
        self._reader = Reader(builder, transformer)

    def run(
        self, envelopes: Sequence[Envelope], may_go_on: Callable[[], bool] = lambda: True
    ) -> BatchOutcome:
        """Ingest records as Lambda delivers them, in their order.

        Whatever is written stays written: a batch that comes again is counted once. What is unpacked to more
        than the process should hold is taken in portions; between two of them `may_go_on` says whether there
        is time, and if not, the rest comes again. Raises only when nothing at all can be said of the batch:
        no envelope of Lambda's, or quarantine or the transformation out of reach.
        """
        tally: Counter[str] = Counter()
        total = Outcome(tally)
        aside = Aside(self._builder.name, self._version, self._quarantine, self._retries)
        delivered = [(envelope, kinesis_records(envelope)) for envelope in envelopes]
        failed: set[str] = set()
        done = 0
        for portion in self._portions(delivered, tally):
            outcome = self._fold(portion, aside, tally)
            total.notes += outcome.notes
            total.failed += outcome.failed
            done += len(portion)
            if done < len(delivered) and not may_go_on():
                failed.add(delivered[done][1][0].sequence)
                tally["records_unreached"] += len(delivered) - done
                break
        failed.update(position.sequence for position, _ in total.failed)
        aside.write_again(failed)
        all_records = [record for _, records in delivered for record in records]
        first_failed = _first(all_records, failed)
        self._acknowledge(all_records, first_failed)
        return BatchOutcome(
            tally=tally,
            notes=total.notes,
            failed=first_failed,
            errors=sorted({error for _, error in total.failed})[:ERRORS_TOLD],
            oldest=min((record.arrival for record in all_records), default=None),
        )

    def _portions(self, delivered: Sequence[_Delivered], tally: Counter[str]) -> Iterator[list[_Taken]]:
        """Read deliveries, and yield as many at once as may be in memory: nearly always all."""
        portion: list[_Taken] = []
        text_bytes = events = 0
        reads = self._reader.read((self._own(*one, tally) for one in delivered), tally)
        for (envelope, records), read in zip(delivered, reads, strict=True):
            portion.append(_Taken(envelope, records, read))
            text_bytes += read.text_bytes
            events += len(read.contributions)
            if text_bytes > PORTION_BYTES_MAX or events > PORTION_EVENTS_MAX:
                yield portion
                portion, text_bytes, events = [], 0, 0
        if portion:
            yield portion

    def _fold(self, portion: Sequence[_Taken], aside: Aside, tally: Counter[str]) -> Outcome:
        """Set aside what cannot be read, and write the rest; then set aside what could not be folded."""
        for one in portion:
            if one.is_to_set_aside and not is_part(one.envelope):
                aside.add(one.envelope, one.read, tally)
        aside.write()
        outcome = self._ingest.run([each for one in portion for each in one.read.contributions])
        tally.update(outcome.tally)
        self._let_wait([one.envelope for one in portion], outcome, tally)
        tally["events_failed"] += len(outcome.failed)
        unfolded = _unfolded(outcome)
        # What a transformation made of one event waits as that one.
        tally["events_fanned_out"] -= len(outcome.damaged) + len(outcome.unplanned)
        for one in portion:
            rejections = _rejected(one.records, unfolded) if unfolded else []
            tally["events_fanned_out"] += len(rejections)
            for each in rejections:
                count_quarantined(each, tally)
            if is_part(one.envelope):
                # All of it at once: what is left of it takes the place of its entry.
                one.read.rejections += rejections
                if one.is_to_set_aside:
                    aside.add(one.envelope, one.read, tally)
            elif rejections:
                aside.add(one.envelope, Read(rejections=rejections), tally)
        aside.write()
        return outcome

    def _let_wait(self, envelopes: Sequence[Envelope], outcome: Outcome, tally: Counter[str]) -> None:
        """Let records wait whose events lost too many races: nothing that follows them shall wait for these.

        Not those that have waited before: they are alone in their call, and who made it tries again.
        """
        lost = {position.sequence for position, error in outcome.failed if error == CONTENDED}
        lost -= {position.sequence for position, error in outcome.failed if error != CONTENDED}
        if not lost:
            return
        waiting = [one for one in envelopes if not has_waited(one) and kinesis_record(one).sequence in lost]
        self._retries.put(self._builder.name, self._version, list(map(retry_of_contended, waiting)))
        may_wait = {kinesis_record(one).sequence for one in waiting}
        left = [one for one in outcome.failed if one[0].sequence not in may_wait]
        tally["events_postponed"] += len(outcome.failed) - len(left)
        outcome.failed = left

    def _own(self, envelope: Envelope, records: list[Record], tally: Counter[str]) -> list[Record]:
        """Return the records of events that are this version's own."""
        if is_archived(envelope):  # its rebuild read them, and could not process them
            return records
        events = [record for record in records if not is_control(record.data)]
        tally["records_control"] += len(records) - len(events)
        own = [record for record in events if record.arrival >= self._t0]
        tally["records_before_t0"] += len(events) - len(own)
        return own

    def _acknowledge(self, records: Sequence[Record], failed: str | None) -> None:
        """Acknowledge the markers for this version that no failed record stands before."""
        reader = contract.version_alias(self._builder.name, self._version)
        for record in records:
            if record.sequence == failed:
                return
            marker = control_of(record.data)
            if marker is not None and marker.reader == reader:
                self._markers.acknowledge(marker, record.shard)


def _first(records: Iterable[Record], failed: set[str]) -> str | None:
    """Return the sequence number of the first record, in the order of the batch, that failed."""
    return next((record.sequence for record in records if record.sequence in failed), None)


def _unfolded(outcome: Outcome) -> dict[tuple[str, str], dict[int, _Why]]:
    """Return why events were not folded, by shard and sequence number, by index as they were sent.

    What a transformation made of an event stands EVENTS_MAX further on, or a multiple of it.
    """
    unfolded: dict[tuple[str, str], dict[int, _Why]] = {}
    found: list[tuple[Position, _Why]] = [(one, _DAMAGED) for one in outcome.damaged]
    found += [(one, ("not_processed", error)) for one, error in outcome.unplanned]
    for (shard, sequence, index), why in found:
        unfolded.setdefault((shard, sequence), {})[index % EVENTS_MAX] = why
    return unfolded


def _rejected(
    records: Iterable[Record], unfolded: Mapping[tuple[str, str], Mapping[int, _Why]]
) -> list[Rejection]:
    """Read once more what could be read, and not be folded."""
    return [
        reject(item, detail, reason)
        for record in records
        if (mine := unfolded.get((record.shard, record.sequence))) is not None
        for item in read_record(*record)
        if isinstance(item, Event) and item.position.index in mine
        for reason, detail in (mine[item.position.index],)
    ]
