"""Delivers, every few minutes, the batches that Lambda gave up on; see `shared/app/drain.py`."""

import os
import time
from typing import Any, Final

from shared.adapters.definitions import Definitions
from shared.adapters.lambda_ import LambdaIngestion
from shared.adapters.quarantine import S3Quarantine
from shared.adapters.s3 import S3Objects
from shared.app.drain import Drain
from shared.runtime import aws
from shared.runtime.drain import report
from shared.runtime.log import LogCode, log_error, logger
from shared.runtime.settings import DrainSettings, read_settings

SETTINGS: Final = read_settings(DrainSettings, os.environ)
OBJECTS: Final = S3Objects(aws.client("s3"), SETTINGS.archive_bucket)
INGESTION: Final = LambdaIngestion(aws.caller(), SETTINGS.ingest_function)
DEFINITIONS: Final = Definitions(
    aws.client("dynamodb"), aws.client("s3"), SETTINGS.registry_table, SETTINGS.archive_bucket
)


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
    report(drained)
