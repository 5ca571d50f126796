"""Archives every record of the stream, as the event source mapping delivers them."""

import os
import time
from typing import Any, Final

from shared import contract
from shared.adapters.s3 import S3Objects
from shared.app.archive import Archiver
from shared.app.markers import Markers
from shared.runtime import aws
from shared.runtime.log import LogCode, log, log_error, logger
from shared.runtime.metrics import emit
from shared.runtime.settings import ArchiveSettings, read_settings

SETTINGS: Final = read_settings(ArchiveSettings, os.environ)
OBJECTS: Final = S3Objects(aws.client("s3"), SETTINGS.archive_bucket)
ARCHIVER: Final = Archiver(OBJECTS, Markers(OBJECTS))


class ArchivingFailedError(Exception):
    """A batch failed for an error of the named type, and must come again whole.

    It stands in for that error: Lambda's runtime would print its text, which may quote a personal value.
    """


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: Any) -> None:
    """Archive a batch; ArchivingFailedError if any of it is not archived."""
    try:
        archived = ARCHIVER.run(event["Records"])
    except Exception as error:  # noqa: BLE001 - whatever it is, its text must not be printed
        log_error(LogCode.ARCHIVING_FAILED, error)
        raise ArchivingFailedError(type(error).__qualname__) from None
    metrics: dict[str, float] = {
        contract.METRIC_RECORDS_ARCHIVED: archived.records,
        contract.METRIC_ARCHIVE_BYTES: archived.size,
    }
    if archived.oldest is not None:
        metrics[contract.METRIC_ARCHIVE_AGE] = max(0, time.time_ns() // 1_000_000 - archived.oldest)
    emit(metrics)
    log(LogCode.ARCHIVED, records=archived.records, objects=archived.objects, bytes=archived.size)
