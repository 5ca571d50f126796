"""Folds the records of the stream into profiles, for the version that the invoked alias names."""

import time
from typing import Any, Final

from shared import contract
from shared.adapters.definitions import UnknownVersionError
from shared.app.batch import BatchOutcome
from shared.app.frozen import DamagedDefinitionError
from shared.core.writes import Note
from shared.runtime.ingestion import ingestion, metrics_of
from shared.runtime.log import LogCode, log, log_error, logger
from shared.runtime.metrics import emit

INGESTION: Final = ingestion()

NOTES: Final = {
    "merged": LogCode.PROFILES_MERGED,
    "broken": LogCode.PROFILE_BROKEN,
    "set_aside": LogCode.IDENTIFIER_OVER_LIMIT,
    "parked": LogCode.DELTA_PARKED,
}


class BatchFailedError(Exception):
    """A batch failed as a whole, for an error of the named type.

    It stands in for that error: Lambda's runtime would print its text, which may quote a personal value.
    """


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Ingest a batch; answer with the lowest record that must come again, as Lambda wants it.

    BatchFailedError if all of it must.
    """
    builder, version = contract.version_of_alias(context.invoked_function_arn.rpartition(":")[2])
    try:
        outcome, units = INGESTION.run(builder, version, event["Records"])
    except Exception as error:  # noqa: BLE001 - whatever it is, its text must not be printed
        unreadable = isinstance(error, UnknownVersionError | DamagedDefinitionError)
        line = LogCode.VERSION_UNREADABLE if unreadable else LogCode.BATCH_FAILED
        log_error(line, error, builder=builder, version=version)
        raise BatchFailedError(type(error).__qualname__) from None
    _report(builder, version, outcome)
    emit(metrics_of(outcome, units, time.time_ns() // 1_000_000), builder)
    return {"batchItemFailures": [{"itemIdentifier": outcome.failed}] if outcome.failed else []}


def _report(builder: str, version: int, outcome: BatchOutcome) -> None:
    for note in outcome.notes:
        _tell(note)
    tally = outcome.tally
    if tally["events_quarantined"]:
        log(LogCode.RECORDS_QUARANTINED, events=tally["events_quarantined"])
    if tally["events_postponed"]:
        log(LogCode.EVENTS_POSTPONED, events=tally["events_postponed"])
    if tally["invariant_violations"]:
        log(LogCode.INVARIANT_VIOLATED, invariant="counted_once", events=tally["invariant_violations"])
    if tally["dedup_evictions"]:
        log(LogCode.DEDUP_EVICTED, events=tally["dedup_evictions"])
    if outcome.failed:
        log(LogCode.BATCH_FAILED, from_record=outcome.failed, errors=outcome.errors)
    log(LogCode.BATCH_DONE, builder=builder, version=version, **{key: n for key, n in tally.items() if n})


def _tell(note: Note) -> None:
    log(NOTES[note.what], **note.fields)
