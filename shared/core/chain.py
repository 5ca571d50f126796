"""The transformation chain of a builder: the functions of its `transform.py`, one after the other.

    event -> function -> none, one or several events -> the next function for each -> ...

A function may do what it likes to the event it gets: each one gets a copy of its own, decoded anew from JSON.
What it returns becomes JSON at once, and so is read as an event from outside is, with the same limits.
"""

import inspect
import math
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import count
from types import ModuleType
from typing import Any, Final, NamedTuple

import msgspec

from kith import Context, NoRetryError, RetryError
from shared.core.containers import EVENTS_MAX, Reason, UnreadableError, decode_any, decode_object
from shared.core.event import Event, Position, event_of, message_id
from shared.core.records import Rejection, reject

TRANSFORM_FILE: Final = "transform.py"
"""What tracebacks call it."""
RESULTS_MAX: Final = 1000
"""Events that one event may become."""
RESULT_BYTES_MAX: Final = 2**22
"""JSON text of all events that one event becomes: it must fit the answer of a function."""

# Sets have no order of their own, and that of their hashes differs from process to process.
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number", order="deterministic")
_encode: Final = _ENCODER.encode
_encode_event: Final = msgspec.json.Encoder(decimal_format="number").encode
_numbers: Final = count()
EXPECTED: Final = 'a dict, a list of dicts, "drop", False or None'
"""What a function of a chain may return."""


class ChainError(Exception):
    """A `transform.py` that is no chain; `line` counts from 1. The message is for its writer."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


class Made(NamedTuple):
    """An event that a chain made of another: `#0` and so on after the id of that one, and its JSON text."""

    suffix: str
    text: msgspec.Raw


class Failure(msgspec.Struct, frozen=True):
    """Why an event has no result. `detail` holds nothing of what the event says.

    If `reason` is `transform_retry`, it is to be tried again, after `delay_s` seconds if that is given.
    """

    reason: Reason
    detail: str
    delay_s: float | None = None


Outcome = list[Made] | Failure | None
"""What a chain makes of an event; None: it stays as it is."""


class Chain:
    """The functions of a `transform.py`, ready to run; ChainError if it is no chain."""

    def __init__(self, source: str, context: Context) -> None:
        self._context = context
        self._functions = _load(source)

    def run(self, text: bytes) -> Outcome:
        """Run an event's JSON text through all functions. Raises nothing but KeyboardInterrupt."""
        made = [("", text)]
        try:
            for function in self._functions:
                current, made = made, []
                for suffix, one in current:
                    self._apply(function, suffix, one, made)
                if len(made) > RESULTS_MAX:
                    return Failure("transform_result", f"an event becomes at most {RESULTS_MAX} events")
        except _FailedError as error:
            return error.failure
        if len(made) == 1 and made[0][1] is text and not made[0][0]:
            return None
        if sum(len(one) for _, one in made) > RESULT_BYTES_MAX:
            return Failure("transform_result", f"an event becomes at most {RESULT_BYTES_MAX} bytes of JSON")
        return [Made(suffix, msgspec.Raw(one)) for suffix, one in made]

    def _apply(
        self, function: Callable[[Any, Any], Any], suffix: str, text: bytes, made: list[tuple[str, bytes]]
    ) -> None:
        """Run one function on one event; add to `made` what it makes of it."""
        # Hot. Decoding the text again is the copy: nothing is quicker that is still a copy.
        try:
            event = decode_any(text)
        except Exception as error:  # noqa: BLE001 - the function before returned what is no JSON
            raise _FailedError(_unfit(error)) from None
        try:
            result = function(event, self._context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            raise _FailedError(_raised(error)) from None
        if result is None:
            made.append((suffix, text))
            return
        if result is False or (isinstance(result, str) and result == "drop"):
            return
        try:
            if isinstance(result, list):
                made += [(f"{suffix}#{index}", _event_text(each)) for index, each in enumerate(result)]
            else:
                made.append((suffix, _event_text(result)))
        except Exception as error:  # noqa: BLE001 - whatever cannot become JSON
            raise _FailedError(_unfit(error)) from None


class _NoResultError(Exception):
    """What a function returned is nothing that it may return."""


class _FailedError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def event_text(event: Event) -> bytes:
    """Return the JSON text of an event."""
    return _encode_event(event.body)


def events_made(event: Event, made: Sequence[Made]) -> list[Event] | Rejection:
    """Read the events that a chain made of one.

    Each keeps arrival and id, but for a suffix, unless it got a `messageId` of its own; its times are read
    anew. Their positions differ: the index of each is further on by EVENTS_MAX.
    """
    events: list[Event] = []
    given = message_id(event.body.get("messageId"))
    shard, sequence, index = event.position
    for number, (suffix, text) in enumerate(made):
        data = bytes(text)
        try:
            body = decode_object(data)
        except UnreadableError as error:
            return failed(event, Failure("transform_result", f"the result is no event: {error.reason}"))
        one = event_of(body, len(data), event.arrival, Position(shard, sequence, index + EVENTS_MAX * number))
        own = message_id(body.get("messageId"))
        if own is None or own == given:
            one.id = message_id(event.id + suffix) or event.id
        events.append(one)
    return events


def failed(event: Event, failure: Failure) -> Rejection:
    """Reject an event whose transformation failed, as it was sent."""
    return msgspec.structs.replace(reject(event, failure.detail), reason=failure.reason)


def _event_text(result: Any) -> bytes:
    if isinstance(result, dict):
        return _encode(result)
    if inspect.iscoroutine(result):
        result.close()
    raise _NoResultError(f"{EXPECTED} was expected, not {_kind(result)}")


def _unfit(error: Exception) -> Failure:
    """Say why a result is no JSON, but not by the error's own text, which may quote it."""
    if isinstance(error, _NoResultError):
        return Failure("transform_result", str(error))
    detail = type(error).__qualname__
    if isinstance(error, RecursionError):
        detail = "it holds itself, or is nested too deep"
    elif isinstance(error, TypeError):  # its text names types and nothing else
        detail = "keys must be text" if "str keys" in str(error) else str(error)
    return Failure("transform_result", f"the result cannot become JSON: {detail}")


def _raised(error: BaseException) -> Failure:
    """Say what a function raised and where; the message stays out, for it may quote the event."""
    try:
        # Half a surrogate pair is no text, and could not leave the process.
        name = type(error).__qualname__.encode(errors="replace").decode()
        detail = f"{name}{_place(error)}"
        if isinstance(error, RetryError):
            return Failure("transform_retry", detail, _delay_s(getattr(error, "delay_s", None)))
        return Failure("transform_no_retry" if isinstance(error, NoRetryError) else "transform_error", detail)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - its class is user code as well
        return Failure("transform_error", "an error that does not tell what it is")


def _delay_s(value: object) -> float | None:
    """Return a delay that can be waited for; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        delay_s = float(value)
    except (OverflowError, ValueError):
        return None
    return delay_s if math.isfinite(delay_s) and delay_s >= 0 else None


def _place(error: BaseException) -> str:
    """Return the last line of the user's own file that an error came through."""
    line = None
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == TRANSFORM_FILE:
            line = frame.tb_lineno
        frame = frame.tb_next
    return f" at {TRANSFORM_FILE}:{line}" if line else ""


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__qualname__}"


def _load(source: str) -> list[Callable[[Any, Any], Any]]:
    """Run the file and take its functions; ChainError if that fails."""
    # Dataclasses and the like look their module up; no two loads may share what they keep in it.
    module = ModuleType(f"kith_transform_{next(_numbers)}")
    module.__file__ = TRANSFORM_FILE
    try:
        code = compile(source, TRANSFORM_FILE, "exec")
    except SyntaxError as error:
        raise ChainError(error.msg, error.lineno or 1) from None
    except ValueError as error:  # NUL bytes, before Python 3.12
        raise ChainError(str(error)) from None
    sys.modules[module.__name__] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 - running the user's code is what this is for
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        place = _place(error)
        line = int(place.rpartition(":")[2]) if place else 1
        # There is no event yet that the text could quote.
        raise ChainError(f"cannot be run: {type(error).__qualname__}: {error}", line) from error
    return _functions(module.__dict__)


def _functions(names: dict[str, Any]) -> list[Callable[[Any, Any], Any]]:
    single, several = names.get("transform"), names.get("chain")
    if (single is None) == (several is None):
        raise ChainError("must define `transform(event, context)`, or a list `chain` of such functions")
    functions = [single] if single is not None else several
    if not isinstance(functions, list | tuple) or not functions:
        raise ChainError("`chain` must be a list of functions, and not empty")
    for number, function in enumerate(functions):
        name = "transform" if single is not None else f"chain[{number}]"
        _check_function(function, name)
    return list(functions)


def _check_function(function: Any, name: str) -> None:
    if not callable(function):
        raise ChainError(f"`{name}` must be a function of an event and a context, not {_kind(function)}")
    line = getattr(getattr(function, "__code__", None), "co_firstlineno", 1)
    if inspect.iscoroutinefunction(function):
        raise ChainError(f"`{name}` must be a plain function, not an async one", line)
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        raise ChainError(f"`{name}` must take two arguments, an event and a context", line) from None
    except ValueError:  # written in C, without a signature
        return
