"""Runs the transformations of builders, where they can harm nobody: this function's role may only log."""

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from shared import contract
from shared.adapters.sandbox import Limits, Sandbox
from shared.app.sandboxes import Sandboxes
from shared.core.sandbox import Answer, Program, Request
from shared.runtime.log import LogCode, log, logger
from shared.runtime.metrics import emit

SPARE_MS: Final = 15_000
"""Kept for answering, of the time that an invocation has."""
LINES_MAX: Final = 100
COUNTERS_MAX: Final = 20
"""Of user code, in one invocation: lines of the log and names of counters."""

SANDBOXES: Final = Sandboxes(lambda program: Sandbox(program, Limits()))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Transform the events of a request (`shared/core/sandbox.py`)."""
    request = msgspec.convert(event, Request)
    time_ms = context.get_remaining_time_in_millis() - SPARE_MS
    response, answers = SANDBOXES.run(request, time_ms / 1000)
    _report(request.program, answers)
    return {"answers": response.answers}


def _report(program: Program, answers: Sequence[Answer]) -> None:
    who = {"builder": program.builder, "version": program.version}
    lines = (line for one in answers for line in one.lines)
    for level, text in islice(lines, LINES_MAX):
        log(LogCode.USER_CODE_LOGGED, **who, level=level, text=text)
    failed = Counter((one.failure.reason, one.failure.detail) for one in answers if one.failure is not None)
    for (reason, detail), events in failed.most_common(LINES_MAX):
        log(LogCode.USER_CODE_FAILED, **who, reason=reason, detail=detail, events=events)
    counts: Counter[str] = Counter()
    for one in answers:
        counts.update(one.counts)
    emit(
        {f"{contract.METRIC_USER}.{name}": n for name, n in counts.most_common(COUNTERS_MAX)}, program.builder
    )
    log(LogCode.TRANSFORMED, **who, events=len(answers), failed=failed.total())
