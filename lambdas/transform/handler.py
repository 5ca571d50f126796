"""Runs the transformations of builders: its role may do what their context offers, and nothing else."""

from typing import Any, Final

import msgspec

from shared.adapters.sandbox import Limits, Sandbox
from shared.app.sandboxes import Sandboxes
from shared.core.sandbox import Request
from shared.runtime.log import LogCode, log, logger
from shared.runtime.user_code import outside, report

SPARE_MS: Final = 15_000
"""Kept for answering, of the time that an invocation has."""

OUTSIDE: Final = outside()
SANDBOXES: Final = Sandboxes(lambda program: Sandbox(program, Limits(), OUTSIDE))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Transform the events of a request (`shared/core/sandbox.py`)."""
    request = msgspec.convert(event, Request)
    time_ms = context.get_remaining_time_in_millis() - SPARE_MS
    response, answers = SANDBOXES.run(request, time_ms / 1000)
    failed = report(request.program, answers, "events")
    who = {"builder": request.program.builder, "version": request.program.version}
    log(LogCode.TRANSFORMED, **who, events=len(answers), failed=failed)
    return {"answers": response.answers}
