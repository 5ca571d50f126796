"""A profile function, and the function of Lambda that runs it, which fails as all do.

What it returns is a function of its events, and so is whether it fails on them.
"""

from decimal import Decimal
from zlib import crc32

import msgspec

from shared.adapters.lambda_functions import LambdaProfileFunction
from shared.app.functions.ports import FunctionInput
from shared.core.functions import FunctionFailure, result_of
from shared.core.history import DAMAGED, UnreadableChunkError, events_of
from shared.core.sandbox import FunctionAnswer, FunctionRequest, Program
from shared.core.user_code import PROFILE_FILE
from tests.simulation.due_queue import OFTEN
from tests.simulation.invoked import FAULTS, FAULTS_OF_CODE, InvokedFunction

FAILURES = {
    "raised": FunctionFailure("function_error", "OSError in line 7"),
    "timeout": FunctionFailure("function_timeout", "it took longer than 10 seconds"),
}
"""Of code that is not always well."""
ALWAYS = FunctionFailure("function_error", "KeyError in line 3")
"""Of code that is never well with these events."""
DAMAGED_HISTORY = FunctionFailure("function_history", DAMAGED)
PROGRAM = Program("people", 1, "", {}, PROFILE_FILE)
_decode_request = msgspec.json.Decoder(FunctionRequest).decode
_decode_inputs = msgspec.json.Decoder(list[FunctionInput], float_hook=Decimal).decode


def value_of(given):
    """Do what `profile.py` does: return a result that tells all events apart; None where it raises.

    Not everything that it returns once is there the next time.
    """
    ids = [str(event.get("messageId")) for event in events_of(given.chunks, given.since_ms)]
    if len(ids) % 5 == 4:
        return None
    said = {"events": len(ids), "which": crc32(" ".join(ids).encode()), "first": ids[0] if ids else None}
    seldom = {f"divisible_by_{one}": True for one in (2, 3) if len(ids) % one == 0}
    return {"traits": {**said, **seldom, "cookie": given.user.anonymous_id}, "profile_id": given.user.user_id}


def outcome_of(given):
    """Return what becomes of a run where nothing else fails: what is right."""
    value = value_of(given)
    return ALWAYS if value is None else result_of(value)


class SandboxFunction(InvokedFunction):
    """What runs profile functions, as one process invokes it."""

    name = "function"
    times = OFTEN
    unreached = FunctionAnswer(unreached=True)

    def _faults(self):
        return (*FAULTS, *FAULTS_OF_CODE, *FAILURES)

    def _answers(self, payload):
        return [self._answer(one) for one in _decode_inputs(_decode_request(payload).inputs)]

    def _answer(self, given):
        try:
            value = value_of(given)
        except UnreadableChunkError:
            return FunctionAnswer(failure=DAMAGED_HISTORY)
        if value is None:
            return FunctionAnswer(failure=ALWAYS)
        self._world.returned.setdefault(given.user.profile_id, []).append(result_of(value).traits)
        return FunctionAnswer(value=msgspec.Raw(msgspec.json.encode(value)))

    def _failed(self, fault):
        return FunctionAnswer(failure=FAILURES[fault]) if fault in FAILURES else None


def function_for(world, process):
    """Return what has functions run for one process."""
    return LambdaProfileFunction(SandboxFunction(world, process), "sandbox", PROGRAM, _too_large)


def _too_large(_data):
    raise AssertionError("a history of a few events is small")
