"""Runs the profile functions of builders: its role may do what their context offers, and nothing else."""

from typing import Any, Final

import msgspec

from shared.adapters.presigned import fetch_object
from shared.adapters.sandbox import FunctionSandbox, Limits
from shared.app.sandboxes import FunctionSandboxes
from shared.core.sandbox import FunctionRequest
from shared.runtime.log import LogCode, log, logger
from shared.runtime.user_code import outside, report

SPARE_MS: Final = 15_000
"""Kept for answering, of the time that an invocation has."""

OUTSIDE: Final = outside()
SANDBOXES: Final = FunctionSandboxes(
    lambda program: FunctionSandbox(program, Limits(), OUTSIDE), fetch_object
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run a profile function on the inputs of a request (`shared/core/sandbox.py`)."""
    request = msgspec.convert(event, FunctionRequest)
    time_ms = context.get_remaining_time_in_millis() - SPARE_MS
    response, answers = SANDBOXES.run(request, time_ms / 1000)
    failed = report(request.program, answers, "profiles")
    who = {"builder": request.program.builder, "version": request.program.version}
    log(LogCode.FUNCTION_RAN, **who, profiles=len(answers), failed=failed)
    return {"answers": response.answers}
