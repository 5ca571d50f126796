"""Runs the transformations of builders: its role may do what their context offers, and nothing else."""

from typing import Any, Final

import msgspec

from shared.adapters.sandbox import Limits, Sandbox
from shared.app.sandboxes import Sandboxes
from shared.core.sandbox import Request
from shared.runtime.log import LogCode, logger
from shared.runtime.user_code import answer, outside

OUTSIDE: Final = outside()
SANDBOXES: Final = Sandboxes(lambda program: Sandbox(program, Limits(), OUTSIDE))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Transform the events of a request (`shared/core/sandbox.py`)."""
    request = msgspec.convert(event, Request)
    return answer(SANDBOXES, request, context, "events", LogCode.TRANSFORMED)
