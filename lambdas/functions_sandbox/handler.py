"""Runs the profile functions of builders: its role may do what their context offers, and nothing else."""

from typing import Any, Final

import msgspec

from shared.adapters.presigned import fetch_object
from shared.adapters.sandbox import FunctionSandbox, Limits
from shared.app.sandboxes import FunctionSandboxes
from shared.core.sandbox import FunctionRequest
from shared.runtime.log import LogCode, logger
from shared.runtime.user_code import answer, outside

OUTSIDE: Final = outside()
SANDBOXES: Final = FunctionSandboxes(
    lambda program: FunctionSandbox(program, Limits(), OUTSIDE), fetch_object
)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run a profile function on the inputs of a request (`shared/core/sandbox.py`)."""
    return answer(
        SANDBOXES, msgspec.convert(event, FunctionRequest), context, "profiles", LogCode.FUNCTION_RAN
    )
