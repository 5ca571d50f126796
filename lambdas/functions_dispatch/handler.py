"""Puts the profiles that changes of the table made due on the queue of those whose function is to run."""

import os
from typing import Any, Final

from shared.adapters.sqs import SqsQueue
from shared.app.functions.dispatch import dispatch
from shared.runtime import aws
from shared.runtime.log import LogCode, log, log_error, logger
from shared.runtime.settings import DispatchSettings, read_settings

SETTINGS: Final = read_settings(DispatchSettings, os.environ)
QUEUE: Final = SqsQueue(aws.client("sqs"), SETTINGS.functions_queue)


class DispatchFailedError(Exception):
    """A batch was not put on the queue, for an error of the named type, and comes again."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: Any) -> None:
    """Dispatch a batch of changes; DispatchFailedError if it must come again."""
    try:
        dispatched = dispatch(QUEUE, event["Records"])
    except Exception as error:  # noqa: BLE001 - whatever it is, its text must not be printed
        log_error(LogCode.DISPATCH_FAILED, error)
        raise DispatchFailedError(type(error).__qualname__) from None
    if dispatched.unreadable:
        log(LogCode.CHANGE_UNREADABLE, changes=dispatched.unreadable)
    log(LogCode.DISPATCHED, changes=len(event["Records"]), profiles=dispatched.sent)
