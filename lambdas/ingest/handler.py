"""Folds the records of the stream into profiles, for the version that the invoked alias names."""

import time
from typing import Any, Final

from shared import contract
from shared.adapters.definitions import UnknownVersionError
from shared.app.frozen import DamagedDefinitionError
from shared.runtime.ingestion import ingestion, metrics_of, report
from shared.runtime.log import LogCode, log_error, logger
from shared.runtime.metrics import emit

INGESTION: Final = ingestion()


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
        time_left_ms = context.get_remaining_time_in_millis
        outcome, units = INGESTION.run(builder, version, event["Records"], time_left_ms)
    except Exception as error:  # noqa: BLE001 - whatever it is, its text must not be printed
        unreadable = isinstance(error, UnknownVersionError | DamagedDefinitionError)
        line = LogCode.VERSION_UNREADABLE if unreadable else LogCode.BATCH_FAILED
        log_error(line, error, builder=builder, version=version)
        raise BatchFailedError(type(error).__qualname__) from None
    report(builder, version, outcome)
    emit(metrics_of(outcome, units, time.time_ns() // 1_000_000), builder)
    return {"batchItemFailures": [{"itemIdentifier": outcome.failed}] if outcome.failed else []}
