"""Composition of ingestion: one `Batch` per version, made when its alias is called."""

import os
import time
from collections.abc import Callable
from typing import Any, Final

from shared import contract
from shared.adapters.clock import SystemClock
from shared.adapters.definitions import KEPT_MAX, Definitions
from shared.adapters.dynamo.client import dynamo_client
from shared.adapters.dynamo.store import DynamoStore
from shared.adapters.lru import Lru
from shared.adapters.quarantine import S3Quarantine
from shared.adapters.s3 import S3Objects
from shared.app.batch import Batch, BatchOutcome
from shared.app.ingest import Ingest
from shared.app.markers import Markers
from shared.app.retries import Retries
from shared.core.compile import Builder
from shared.runtime import aws
from shared.runtime.log import LogCode, log
from shared.runtime.settings import IngestSettings, read_settings
from shared.runtime.transformation import lambda_transformer

METRICS: Final = {
    "events_in": contract.METRIC_EVENTS_IN,
    "events_folded": contract.METRIC_EVENTS_FOLDED,
    "events_duplicate": contract.METRIC_EVENTS_DUPLICATE,
    "events_quarantined": contract.METRIC_EVENTS_QUARANTINED,
    "events_postponed": contract.METRIC_EVENTS_POSTPONED,
    "events_failed": contract.METRIC_EVENTS_FAILED,
    "profiles_created": contract.METRIC_PROFILES_CREATED,
    "profiles_merged": contract.METRIC_PROFILES_MERGED,
    "profiles_broken": contract.METRIC_PROFILES_BROKEN,
    "conflicts": contract.METRIC_CONFLICTS,
    "deltas_parked": contract.METRIC_DELTAS_PARKED,
    "follow_ups_unfinished": contract.METRIC_FOLLOW_UPS_UNFINISHED,
    "dedup_evictions": contract.METRIC_DEDUP_EVICTIONS,
    "invariant_violations": contract.METRIC_INVARIANT_VIOLATIONS,
}
"""What a batch's tally counts, by the names of the metrics that show it."""
NOTES: Final = {
    "merged": LogCode.PROFILES_MERGED,
    "broken": LogCode.PROFILE_BROKEN,
    "set_aside": LogCode.IDENTIFIER_OVER_LIMIT,
    "parked": LogCode.DELTA_PARKED,
    "damaged": LogCode.PROFILE_DAMAGED,
    "unplanned": LogCode.EVENTS_UNPLANNED,
}
PORTION_MS: Final = 60_000
"""What a portion of a batch may take, generously: with less time than that, no further one is begun."""


class Ingestion:
    """Everything that one process needs to ingest: clients, and what it loaded of the versions it serves."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._dynamodb = dynamo_client()
        s3 = aws.client("s3", read_timeout_s=10)
        self._definitions = Definitions(self._dynamodb, s3, settings.registry_table, settings.archive_bucket)
        objects = S3Objects(s3, settings.archive_bucket)
        self._retries = Retries(objects, lambda: time.time_ns() // 1_000_000)
        self._quarantine = S3Quarantine(objects)
        self._markers = Markers(objects)
        self._batches: Lru[tuple[str, int], tuple[Batch, DynamoStore]] = Lru(KEPT_MAX)

    def run(
        self,
        builder: str,
        version: int,
        envelopes: list[dict[str, Any]],
        time_left_ms: Callable[[], int],
    ) -> tuple[BatchOutcome, float]:
        """Ingest a batch for one version; return its outcome and the request units it took.

        The outcome's tally also counts the store's `follow_ups_unfinished`.
        """
        batch, store = self._batch(builder, version)
        units = store.units
        before = units.reads + units.writes
        unfinished = store.unfinished
        outcome = batch.run(envelopes, lambda: time_left_ms() > PORTION_MS)
        outcome.tally["follow_ups_unfinished"] += store.unfinished - unfinished
        return outcome, units.reads + units.writes - before

    def _batch(self, builder: str, version: int) -> tuple[Batch, DynamoStore]:
        known = self._batches.get((builder, version))
        if known is None:
            loaded = self._definitions.load(builder, version)
            compiled = Builder(loaded.frozen.definition)
            clock = SystemClock()
            store = DynamoStore(
                self._dynamodb,
                compiled,
                version,
                self._settings.profiles_table,
                self._settings.identifiers_table,
                clock=clock,
            )
            ingest = Ingest(compiled, store, clock)
            known = (
                Batch(
                    compiled,
                    version,
                    loaded.t0,
                    ingest,
                    self._quarantine,
                    self._retries,
                    self._markers,
                    lambda_transformer(loaded.frozen, version, self._settings.transform_function),
                ),
                store,
            )
            self._batches.put((builder, version), known)
        return known


def ingestion() -> Ingestion:
    """Compose ingestion from the environment; SettingsError if it is incomplete."""
    return Ingestion(read_settings(IngestSettings, os.environ))


def metrics_of(outcome: BatchOutcome, units: float, now_ms: int) -> dict[str, float]:
    """Return a batch's metrics by name."""
    values: dict[str, float] = {name: outcome.tally[key] for key, name in METRICS.items()}
    dropped = {key: count for key, count in outcome.tally.items() if key.startswith("dropped.")}
    values[contract.METRIC_EVENTS_DROPPED] = sum(dropped.values())
    for key, count in dropped.items():
        reason = key.removeprefix("dropped.")
        values[f"{contract.METRIC_EVENTS_DROPPED}.{reason}"] = count
    values[contract.METRIC_VALUES_SET_ASIDE] = sum(
        count for key, count in outcome.tally.items() if key.startswith(("set_aside.", "left_out."))
    )
    values[contract.METRIC_REQUEST_UNITS] = units
    if outcome.oldest is not None:
        values[contract.METRIC_BATCH_AGE] = max(0, now_ms - outcome.oldest)
    return values


def report(builder: str, version: int, outcome: BatchOutcome) -> None:
    """Log what became of a batch."""
    for note in outcome.notes:
        log(NOTES[note.what], **note.fields)
    tally = outcome.tally
    if tally["events_quarantined"]:
        log(LogCode.RECORDS_QUARANTINED, events=tally["events_quarantined"])
    if tally["events_postponed"]:
        log(LogCode.EVENTS_POSTPONED, events=tally["events_postponed"])
    if tally["invariant_violations"]:
        log(LogCode.INVARIANT_VIOLATED, invariant="counted_once", events=tally["invariant_violations"])
    if tally["dedup_evictions"]:
        log(LogCode.DEDUP_EVICTED, events=tally["dedup_evictions"])
    if tally["records_unreached"]:
        log(LogCode.BATCH_UNFINISHED, records=tally["records_unreached"])
    if outcome.errors:
        log(LogCode.BATCH_FAILED, from_record=outcome.failed, errors=outcome.errors)
    log(LogCode.BATCH_DONE, builder=builder, version=version, **{key: n for key, n in tally.items() if n})
