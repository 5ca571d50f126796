"""Has the profile functions of due profiles run, and their results written."""

from collections import Counter
from typing import Any, Final

from shared.app.functions.deliver import Delivery
from shared.runtime.functions import functions, metrics_of
from shared.runtime.log import LogCode, log, log_error, logger
from shared.runtime.metrics import emit

FUNCTIONS: Final = functions()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Deal with a batch of the queue; answer with the messages that must come again, as Lambda wants it."""
    deliveries = FUNCTIONS.take(event["Records"])
    for one in deliveries:
        _report(one)
    for builder, values in metrics_of(deliveries).items():
        emit(values, builder)
    log(LogCode.FUNCTIONS_RUN, **Counter(map(_word, deliveries)))
    return {"batchItemFailures": [{"itemIdentifier": one.message.id} for one in deliveries if one.again]}


def _report(one: Delivery) -> None:
    if one.due is None:
        log(LogCode.MESSAGE_UNREADABLE, message=one.message.id)
        return
    who = {"builder": one.due.builder, "version": one.due.version, "profile": one.due.profile_id}
    if one.error is not None:
        log_error(LogCode.FUNCTION_UNAVAILABLE, one.error, **who, attempt=one.message.received)
    elif one.failure is not None:
        line = LogCode.FUNCTION_FAILED if one.again else LogCode.FUNCTION_GIVEN_UP
        why = {"reason": one.failure.reason, "detail": one.failure.detail}
        log(line, **who, **why, attempt=one.attempt)
    elif one.left_out:
        log(LogCode.TRAITS_LEFT_OUT, **who, left_out=one.left_out)


def _word(one: Delivery) -> str:
    """Say in a word what became of a message."""
    if one.due is None:
        return "unreadable"
    return "unavailable" if one.became is None else one.became.value
