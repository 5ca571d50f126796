"""Delivers, every few minutes, the batches that Lambda gave up on; see `shared/app/drain.py`."""

import os
import time
from collections.abc import Sequence
from typing import Any, Final

from shared import contract
from shared.adapters.definitions import Definitions
from shared.adapters.lambda_ import LambdaIngestion
from shared.adapters.quarantine import S3Quarantine
from shared.adapters.s3 import S3Objects
from shared.app.drain import Drain, Drained, Outcome, Result
from shared.runtime import aws
from shared.runtime.log import LogCode, log, log_error, logger
from shared.runtime.metrics import emit
from shared.runtime.settings import DrainSettings, read_settings

SETTINGS: Final = read_settings(DrainSettings, os.environ)
OBJECTS: Final = S3Objects(aws.client("s3"), SETTINGS.archive_bucket)
INGESTION: Final = LambdaIngestion(aws.caller(), SETTINGS.ingest_function)

DEFINITIONS: Final = Definitions(
    aws.client("dynamodb"), aws.client("s3"), SETTINGS.registry_table, SETTINGS.archive_bucket
)

LINES: Final = {
    Outcome.FAILING: LogCode.DRAIN_FAILING,
    Outcome.GAVE_UP: LogCode.DRAIN_GAVE_UP,
    Outcome.DROPPED: LogCode.DRAIN_DROPPED,
    Outcome.UNREADABLE: LogCode.DRAIN_UNREADABLE,
}


class DrainFailedError(Exception):
    """A run broke off for an error of the named type.

    It stands in for that error: Lambda's runtime would print its text, which may quote a personal value.
    """


@logger.inject_lambda_context(clear_state=True)
def handler(_event: Any, context: Any) -> None:
    """Run the drain once, within the time that this invocation has; DrainFailedError if it breaks off."""
    drain = Drain(
        OBJECTS,
        INGESTION,
        S3Quarantine(OBJECTS),
        INGESTION.alias_of,
        context.get_remaining_time_in_millis,
        DEFINITIONS.has_ended,
    )
    try:
        drained = drain.run(now=time.time_ns() // 1_000_000)
    except Exception as error:  # noqa: BLE001 - whatever it is, its text must not be printed
        log_error(LogCode.DRAIN_FAILED, error)
        raise DrainFailedError(type(error).__qualname__) from None
    _report(drained)


def _report(drained: Drained) -> None:
    for one in drained.results:
        if one.outcome in LINES:
            log(LINES[one.outcome], key=one.key, builder=one.builder, failed=one.failed, records=one.records)
    if drained.unavailable:
        log(LogCode.DRAIN_UNAVAILABLE)
    emit({contract.METRIC_BATCHES_FAILED: drained.waiting})
    for builder in {one.builder for one in drained.results}:
        emit(
            {
                contract.METRIC_EVENTS_QUARANTINED: _failed(drained.results, builder, Outcome.GAVE_UP),
                contract.METRIC_RECORDS_DROPPED: _failed(drained.results, builder, Outcome.DROPPED),
            },
            builder,
        )
    log(LogCode.DRAIN_DONE, waiting=drained.waiting, due=drained.due, looked_at=len(drained.results))


def _failed(results: Sequence[Result], builder: str, outcome: Outcome) -> int:
    """Count the records of which this became: nobody knows how many events they hold."""
    return sum(one.failed for one in results if one.builder == builder and one.outcome is outcome)
