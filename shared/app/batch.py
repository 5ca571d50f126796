"""A batch of the stream: records in, profiles written; what cannot be read is set aside."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from shared import contract
from shared.app.aside import Aside
from shared.app.delivery import Envelope
from shared.app.ingest import Ingest
from shared.app.markers import Markers
from shared.app.quarantine import QuarantineStore, is_archived
from shared.app.reading import Reader, Transformer
from shared.app.retries import Retries
from shared.core.compile import Builder, Contribution
from shared.core.control import control_of, is_control
from shared.core.records import Record, kinesis_records
from shared.core.writes import Note

ERRORS_TOLD: Final = 20
"""Kinds of errors that an outcome names; a batch that fails has few, but each may be on every event."""


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


class Transformation(NamedTuple):
    """What a builder with a transformation takes: what runs it, and where events wait that it postpones."""

    transformer: Transformer
    retries: Retries


class Batch:
    """Ingests batches for one version of a builder; records that arrived before `t0` are not its own."""

    def __init__(
        self,
        builder: Builder,
        version: int,
        t0: int,
        ingest: Ingest,
        quarantine: QuarantineStore,
        markers: Markers,
        transformation: Transformation | None = None,
    ) -> None:
        self._builder = builder
        self._version = version
        self._t0 = t0
        self._ingest = ingest
        self._quarantine = quarantine
        self._markers = markers
        self._retries = transformation.retries if transformation else None
        self._reader = Reader(builder, transformation.transformer if transformation else None)

    def run(self, envelopes: Sequence[Envelope]) -> BatchOutcome:
        """Ingest records as Lambda delivers them, in their order.

        Whatever is written stays written: a batch that comes again is counted once. Raises only when
        nothing at all can be said of the batch: no envelope of Lambda's, or quarantine or the transformation
        out of reach.
        """
        tally: Counter[str] = Counter()
        contributions: list[Contribution] = []
        aside = Aside(self._builder.name, self._version, self._quarantine, self._retries)
        delivered = [(envelope, kinesis_records(envelope)) for envelope in envelopes]
        reads = self._reader.read((self._own(*one, tally) for one in delivered), tally)
        for (envelope, _), read in zip(delivered, reads, strict=True):
            contributions += read.contributions
            if read.rejections or read.postponed:
                aside.add(envelope, read, tally)
        aside.write()
        outcome = self._ingest.run(contributions)
        tally.update(outcome.tally)
        tally["events_failed"] += len(outcome.failed)
        failed = {position.sequence for position, _ in outcome.failed}
        aside.write_again(failed)
        all_records = [record for _, records in delivered for record in records]
        first_failed = _first(all_records, failed)
        self._acknowledge(all_records, first_failed)
        return BatchOutcome(
            tally=tally,
            notes=outcome.notes,
            failed=first_failed,
            errors=sorted({error for _, error in outcome.failed})[:ERRORS_TOLD],
            oldest=min((record.arrival for record in all_records), default=None),
        )

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
