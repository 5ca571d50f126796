"""Composition of what runs user code: what is kept for it outside of its process, and what is told of it."""

import os
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Final, Protocol, TypeVar

from shared import contract
from shared.adapters.orphans import adopt_orphans
from shared.adapters.process import Outside
from shared.app.secrets import Secrets
from shared.app.user_store import Held, UserValues
from shared.core.sandbox import Answer, FunctionAnswer, FunctionRequest, Program, Request, Response
from shared.runtime import aws
from shared.runtime.log import LogCode, log
from shared.runtime.metrics import emit

_Request_contra = TypeVar("_Request_contra", Request, FunctionRequest, contravariant=True)
_Answer = TypeVar("_Answer", Answer, FunctionAnswer)

SPARE_MS: Final = 15_000
"""Kept for answering, of the time that an invocation has."""

_FUNCTION_NAME: Final = "AWS_LAMBDA_FUNCTION_NAME"
LINES_MAX: Final = 100
COUNTERS_MAX: Final = 20
"""Of user code, in one invocation: lines of the log and names of counters."""


class _LaterSecrets:
    """Secrets whose client is made when the first is read: most code has none."""

    @cached_property
    def _secrets(self) -> Secrets:
        from shared.adapters.secrets_manager import SecretsManager  # noqa: PLC0415 - see above

        return SecretsManager(aws.client("secretsmanager"))

    def read(self, name: str) -> str:
        return self._secrets.read(name)


class _LaterValues:
    """Values whose client is made when the store is used for the first time: most code never does."""

    def __init__(self, table: str) -> None:
        self._table = table

    @cached_property
    def _values(self) -> UserValues:
        from shared.adapters.dynamo.user_values import DynamoUserValues  # noqa: PLC0415 - see above

        return DynamoUserValues(aws.client("dynamodb", STORE_TIMEOUT_S), self._table)

    def get(self, key: str) -> Held | None:
        return self._values.get(key)

    def put(self, key: str, held: Held) -> None:
        self._values.put(key, held)

    def put_if_dead(self, key: str, held: Held, now_s: float) -> Held | None:
        return self._values.put_if_dead(key, held, now_s)

    def delete(self, key: str) -> None:
        self._values.delete(key)


STORE_TIMEOUT_S: Final = 2
"""Of one call: whoever waits for it is user code, whose time is short."""


def outside() -> Outside:
    """Return what the environment says. A function ends what user code leaves behind, from now on."""
    if _FUNCTION_NAME in os.environ:  # elsewhere this process has children of its own
        adopt_orphans()
    table = os.environ.get(contract.ENV_USER_STORE)
    return Outside(_LaterSecrets(), _LaterValues(table) if table else None)


class _Sandboxes(Protocol[_Request_contra, _Answer]):
    """Answers requests to run user code."""

    def run(self, request: _Request_contra, time_s: float) -> tuple[Response, list[_Answer]]:
        """Run what is requested within a time; return the response, and what it says."""
        ...


def answer(
    sandboxes: _Sandboxes[_Request_contra, _Answer],
    request: _Request_contra,
    context: Any,
    of: str,
    code: LogCode,
) -> dict[str, Any]:
    """Answer a request, and tell how it went, as `code` of the log; `of` says what user code ran on."""
    time_ms = context.get_remaining_time_in_millis() - SPARE_MS
    response, answers = sandboxes.run(request, time_ms / 1000)
    failed = report(request.program, answers, of)
    who = {"builder": request.program.builder, "version": request.program.version}
    log(code, **who, **{of: len(answers)}, failed=failed)
    return {"answers": response.answers}


def report(program: Program, answers: Sequence[Answer] | Sequence[FunctionAnswer], of: str) -> int:
    """Log and count what user code did, and why it failed; return how often. `of` says what it ran on."""
    who = {"builder": program.builder, "version": program.version}
    lines = (line for one in answers for line in one.lines)
    for level, text in islice(lines, LINES_MAX):
        log(LogCode.USER_CODE_LOGGED, **who, level=level, text=text)
    failed = Counter((one.failure.reason, one.failure.detail) for one in answers if one.failure is not None)
    for (reason, detail), times in failed.most_common(LINES_MAX):
        log(LogCode.USER_CODE_FAILED, **who, reason=reason, detail=detail, **{of: times})
    counts: Counter[str] = Counter()
    for one in answers:
        counts.update(one.counts)
    emit(
        {f"{contract.METRIC_USER}.{name}": n for name, n in counts.most_common(COUNTERS_MAX)}, program.builder
    )
    return failed.total()
