"""The transformation chain of a builder: the functions of its `transform.py`, one after the other.

    event -> function -> none, one or several events -> the next function for each -> ...

A function may do what it likes to the event it gets: each one gets a copy of its own, decoded anew from JSON.
What it returns becomes JSON at once, and so is read as an event from outside is, with the same limits.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from kith import NoRetryError, RetryError
from shared.core import user_code
from shared.core.containers import EVENTS_MAX, Reason, UnreadableError, decode_any, decode_object
from shared.core.event import Event, Position, event_of, message_id
from shared.core.made_json import json_raw, rounded, whole
from shared.core.records import Rejection, reject
from shared.core.user_code import TRANSFORM_FILE, UserCodeError, kind_of, run_file, told
from shared.core.user_context import UserContext

RESULTS_MAX: Final = 1000
"""Events that one event may become."""
RESULT_BYTES_MAX: Final = 2**22
"""JSON text of all events that one event becomes: it must fit the answer of a function."""

_encode_event: Final = msgspec.json.Encoder(decimal_format="number").encode
EXPECTED: Final = 'a dict, a list of dicts, "drop", False or None'
"""What a function of a chain may return."""


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


_TOO_LARGE: Final = Failure("transform_result", f"an event becomes at most {RESULT_BYTES_MAX} bytes of JSON")

Outcome = list[Made] | Failure | None
"""What a chain makes of an event; None: it stays as it is."""


class Chain:
    """The functions of a `transform.py`, ready to run; UserCodeError if it is no chain."""

    def __init__(self, source: str, context: UserContext) -> None:
        names = run_file(source, TRANSFORM_FILE)
        self._functions = _functions(names)
        self._context = context
        context.take_config(names)

    def run(self, text: bytes) -> Outcome:
        """Run an event's JSON text through all functions. Raises nothing but KeyboardInterrupt."""
        try:
            return self._run(text)
        except _FailedError as error:
            return error.failure

    def _run(self, text: bytes) -> Outcome:
        # Hot, and as long as an event stays one event there is nothing to keep beside its text.
        current = text
        for number, function in enumerate(self._functions, 1):
            result = self._apply(function, current)
            if isinstance(result, list):
                made = [(f"#{index}", one) for index, one in enumerate(result)]
                made = self._fan_out(self._functions[number:], made)
                return _checked([(suffix, _finished(one, text)) for suffix, one in made])
            current = result
        if current is text:
            return None
        current = _finished(current, text)  # at the end, as it takes longer than to encode
        if len(current) > RESULT_BYTES_MAX:
            raise _FailedError(_TOO_LARGE)
        return [Made("", msgspec.Raw(current))]

    def _fan_out(
        self, functions: Sequence[Callable[[Any, Any], Any]], made: list[tuple[str, bytes]]
    ) -> list[tuple[str, bytes]]:
        """Run the other functions on each of the events that one became."""
        _check_count(made)
        for function in functions:
            current, made = made, []
            for suffix, text in current:
                result = self._apply(function, text)
                if isinstance(result, list):
                    made += [(f"{suffix}#{index}", one) for index, one in enumerate(result)]
                else:
                    made.append((suffix, result))
            _check_count(made)
        return made

    def _apply(self, function: Callable[[Any, Any], Any], text: bytes) -> bytes | list[bytes]:
        """Run one function on one event: the text that it goes on as, or those that it becomes."""
        # Decoding the text again is the copy: nothing is quicker that is still a copy.
        try:
            event = decode_any(text)
        except Exception:  # noqa: BLE001 - the function before returned what is no JSON, or not yet
            event = _decode_whole(text)
        try:
            result = function(event, self._context)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - user code may raise anything
            raise _FailedError(_raised(error)) from None
        if result is None:
            return text
        try:
            if type(result) is dict:
                return json_raw(result)
            if result is False or (isinstance(result, str) and result == "drop"):
                return []
            if isinstance(result, list):
                return [_event_text(one) for one in result]
            return _event_text(result)
        except Exception as error:  # noqa: BLE001 - whatever cannot become JSON
            raise _FailedError(_unfit(error)) from None


class _NoResultError(Exception):
    """What a function returned is nothing that it may return."""


class _FailedError(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def _checked(made: list[tuple[str, bytes]]) -> list[Made]:
    if sum(len(text) for _, text in made) > RESULT_BYTES_MAX:
        raise _FailedError(_TOO_LARGE)
    return [Made(suffix, msgspec.Raw(text)) for suffix, text in made]


def _check_count(made: Sequence[object]) -> None:
    if len(made) > RESULTS_MAX:
        raise _FailedError(Failure("transform_result", f"an event becomes at most {RESULTS_MAX} events"))


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
        one.id = made_id(event.id, given, suffix, body) or event.id
        events.append(one)
    return events


def made_id(event_id: str | None, given: str | None, suffix: str, body: Mapping[str, Any]) -> str | None:
    """Return the id of an event that was made of one with an id; `given` is the `messageId` of that one.

    It is its own `messageId` if that is another, else the id of that one with the suffix, if there is one.
    """
    own = message_id(body.get("messageId"))
    if own is None or own == given:
        return None if event_id is None else message_id(event_id + suffix)
    return own


def failed(event: Event, failure: Failure) -> Rejection:
    """Reject an event whose transformation failed, as it was sent."""
    return msgspec.structs.replace(reject(event, failure.detail), reason=failure.reason)


def _decode_whole(text: bytes) -> Any:
    try:
        return decode_any(whole(text))
    except Exception as error:  # noqa: BLE001 - JSON that user code wrote itself may be none
        raise _FailedError(_unfit(error)) from None


def _finished(text: bytes, given: bytes) -> bytes:
    try:
        return rounded(text, given)
    except Exception as error:  # noqa: BLE001 - JSON that user code wrote itself may be none
        raise _FailedError(_unfit(error)) from None


def _event_text(result: Any) -> bytes:
    if isinstance(result, dict):
        return json_raw(result)
    if inspect.iscoroutine(result):
        result.close()
    raise _NoResultError(f"{EXPECTED} was expected, not {kind_of(result)}")


def _unfit(error: Exception) -> Failure:
    return Failure(
        "transform_result", str(error) if isinstance(error, _NoResultError) else user_code.unfit(error)
    )


def _raised(error: BaseException) -> Failure:
    """Say what a function raised and where."""
    detail = told(error, TRANSFORM_FILE)
    try:
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


def _functions(names: dict[str, Any]) -> list[Callable[[Any, Any], Any]]:
    single, several = names.get("transform"), names.get("chain")
    if (single is None) == (several is None):
        raise UserCodeError("must define `transform(event, context)`, or a list `chain` of such functions")
    functions = [single] if single is not None else several
    if not isinstance(functions, list | tuple) or not functions:
        raise UserCodeError("`chain` must be a list of functions, and not empty")
    for number, function in enumerate(functions):
        name = "transform" if single is not None else f"chain[{number}]"
        _check_function(function, name)
    return list(functions)


def _check_function(function: Any, name: str) -> None:
    if not callable(function):
        raise UserCodeError(f"`{name}` must be a function of an event and a context, not {kind_of(function)}")
    line = getattr(getattr(function, "__code__", None), "co_firstlineno", 1)
    if inspect.iscoroutinefunction(function):
        raise UserCodeError(f"`{name}` must be a plain function, not an async one", line)
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        raise UserCodeError(f"`{name}` must take two arguments, an event and a context", line) from None
    except ValueError:  # written in C, without a signature
        return
