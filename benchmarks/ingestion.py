"""Ingestion in one process, from Lambda's envelopes to stubbed HTTP."""

import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, cast

from benchmarks.stub import Tables, stubbed_client
from shared.adapters.clock import SystemClock
from shared.adapters.dynamo.store import DynamoStore
from shared.app.batch import Batch, BatchOutcome
from shared.app.ingest import Ingest
from shared.core.compile import Builder

if TYPE_CHECKING:
    from shared.app.markers import Markers
    from shared.app.quarantine import QuarantineStore
    from shared.app.retries import Retries

WINDOW_MS = 5000
"""The batching window of the stream's consumer."""

Envelopes = list[dict[str, Any]]


class Process:
    """A process of the ingestion function, on tables of its own unless some are given."""

    def __init__(self, builder: Builder, *, cache: bool = True, tables: Tables | None = None) -> None:
        self.tables = Tables() if tables is None else tables
        clock = SystemClock()
        self.store = DynamoStore(
            stubbed_client(self.tables), builder, 1, "profiles", "identifiers", clock, cache=cache
        )
        self._batch = Batch(
            builder,
            1,
            0,
            Ingest(builder, self.store, clock),
            cast("QuarantineStore", _Nothing()),
            cast("Retries", _Nothing()),
            cast("Markers", _Nothing()),
        )
        self._sequence = 0

    def run(self, events: Sequence[tuple[int, bytes]]) -> BatchOutcome:
        """Ingest (arrival in ms UTC, JSON) as one batch; all of it must be folded."""
        outcome = self.deliver(events)
        assert outcome.failed is None
        assert outcome.tally["conflicts"] == 0
        assert outcome.tally["events_folded"] == len(events)
        return outcome

    def deliver(self, events: Sequence[tuple[int, bytes]]) -> BatchOutcome:
        """Ingest (arrival in ms UTC, JSON) as one batch, whatever becomes of it."""
        return self._batch.run(self.envelopes(events))

    def timed(self, batches: Sequence[Sequence[tuple[int, bytes]]]) -> float:
        """Ingest batches; return the CPU seconds that took, without those of the stub."""
        prepared = [self.envelopes(one) for one in batches]
        own, started = self.tables.own_s, time.process_time()
        for envelopes in prepared:
            outcome = self._batch.run(envelopes)
            assert outcome.failed is None
        return time.process_time() - started - (self.tables.own_s - own)

    def envelopes(self, events: Sequence[tuple[int, bytes]]) -> Envelopes:
        """Wrap events as Lambda delivers records."""
        wrapped = []
        for arrival, data in events:
            self._sequence += 1
            wrapped.append(
                {
                    "eventID": f"shardId-000000000000:{self._sequence:056}",
                    "kinesis": {
                        "sequenceNumber": f"{self._sequence:056}",
                        "approximateArrivalTimestamp": arrival / 1000,
                        "data": b64encode(data).decode(),
                    },
                }
            )
        return wrapped


class _Nothing:
    """What a benchmark must never need: quarantine, retries, and markers."""

    def put(self, _entries: Any) -> None:
        raise AssertionError("an event of a benchmark cannot be read")


def windows(
    events: Iterable[tuple[int, bytes]], window_ms: int = WINDOW_MS
) -> Iterator[list[tuple[int, bytes]]]:
    """Cut a stream into the batches that its consumer gets."""
    for _, window in groupby(events, key=lambda event: event[0] // window_ms):
        yield list(window)
