"""The profile function of a builder, `profile` in its `profile.py`, ready to run on events of a profile."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from shared.core import user_code
from shared.core.functions import RESULT_BYTES_MAX, FunctionFailure, User
from shared.core.history import DAMAGED, UnreadableChunkError, events_of
from shared.core.made_json import json_rounded
from shared.core.user_code import PROFILE_FILE, UserCodeError, kind_of, run_file, told
from shared.core.user_context import UserContext

TEXT_BYTES_MAX: Final = 4 * RESULT_BYTES_MAX
"""JSON text of a result as the function writes it: far more than can be kept."""


class ProfileCode:
    """The function of a `profile.py`; UserCodeError if it has none."""

    def __init__(self, source: str, context: UserContext) -> None:
        names = run_file(source, PROFILE_FILE)
        self._function = _function(names)
        self._context = context
        context.take_config(names)

    def run(self, user: User, chunks: Sequence[bytes], since_ms: int) -> bytes | FunctionFailure | None:
        """Run it on the events of chunks since a time: the JSON text of what it returned, None for nothing.

        Raises nothing but KeyboardInterrupt.
        """
        try:
            events = events_of(chunks, since_ms)
            result = self._function(events, user, self._context)
            if inspect.isawaitable(result):
                result = asyncio.run(_awaited(result))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            return _failure(error, chunks, since_ms)
        if result is None:
            return None
        try:
            text = json_rounded(result)
        except Exception as error:  # noqa: BLE001 - whatever cannot become JSON
            return FunctionFailure("function_result", user_code.unfit(error))
        if len(text) > TEXT_BYTES_MAX:
            return FunctionFailure("function_result", f"a result is at most {RESULT_BYTES_MAX} bytes of JSON")
        return text


def _failure(error: BaseException, chunks: Sequence[bytes], since_ms: int) -> FunctionFailure:
    """Say why a function could not be run on the events of chunks."""
    if isinstance(error, UnreadableChunkError):
        if _is_damaged(chunks, since_ms):
            return FunctionFailure("function_history", DAMAGED)
        # Code that has used up its stack, or its memory, cannot read any events either.
        error = (error.__cause__ or error).with_traceback(error.__traceback__)
    return FunctionFailure("function_error", told(error, PROFILE_FILE))


def _is_damaged(chunks: Sequence[bytes], since_ms: int) -> bool:
    try:
        for _ in events_of(chunks, since_ms):
            pass
    except UnreadableChunkError:
        return True
    return False


async def _awaited(result: Any) -> Any:
    return await result


def _function(names: dict[str, Any]) -> Callable[[Any, Any, Any], Any | Coroutine[Any, Any, Any]]:
    function = names.get("profile")
    if function is None:
        raise UserCodeError("must define `profile(events, user, context)`")
    if not callable(function):
        raise UserCodeError(f"`profile` must be a function, not {kind_of(function)}")
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError:
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", 1)
        raise UserCodeError(
            "`profile` must take three arguments: events, a user and a context", line
        ) from None
    except ValueError:  # written in C, without a signature
        pass
    return function  # type: ignore[no-any-return]
