"""Worlds whose builder has a transformation: its chain, and the function that runs it, which fails as all do.

What the chain makes of an event is a function of the event, so that whoever checks can ask it. Whether the
function is reached at all, dies, gets as far as an event, or has it ask for another try, the seed decides.
"""

import io
from functools import lru_cache

import msgspec
from botocore.exceptions import ReadTimeoutError

from shared.adapters.lambda_transformer import LambdaTransformer
from shared.app.local_code import nothing
from shared.app.transform import became
from shared.core.chain import Chain, Failure, event_text
from shared.core.sandbox import Answer, Program, Request, Response, answer_of
from tests.people import a_definition
from tests.simulation.dynamo import client_error

SOURCE = """
from kith import NoRetryError

def tidy(event, context):
    said = event.get("properties") or {}
    if event.get("type") == "page" and said.get("page") == "/c":
        return "drop"
    if said.get("source") == "social" and said.get("page") == "/a":
        raise NoRetryError("nothing is known of this source")
    if said.get("source") == "mail":
        said["source"] = "letter"
        return event

def part(event, context):
    if event.get("previousId"):  # who it was before is somebody else
        before = {**event, "anonymousId": event["previousId"], "userId": None, "previousId": None}
        return [{**event, "previousId": None}, before]
    if event.get("event") == "Order" and (event.get("properties") or {}).get("tags"):
        return [event, {**event, "event": "View", "type": "track"}]

chain = [tidy, part]
"""
FAULTS = ("throttled", "lost", "slow")
FAULTS_OF_ORDER = ("crashed", "unreached", "again", "again")
"""After these an event comes later than its neighbours: not where order decides all."""
SLOW_TICKS_MAX = 300
DELAYS_S = (None, 0, 60)
PROGRAM = Program("people", 1, SOURCE, {})
_UNREACHED = Answer(failure=Failure("transform_retry", "there was no time"), unreached=True)
_decode_request = msgspec.json.Decoder(Request).decode
_decode_events = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _silent(_level, _text):
    """Write no log."""


CHAIN = Chain(SOURCE, nothing().context(a_definition(), _silent, {}))


@lru_cache(maxsize=10_000)
def outcome_of(text):
    """Return what the chain makes of the text of an event."""
    return CHAIN.run(text)


class ChainAlone:
    """The `Transformer` port on the chain itself, where nothing fails: what is right."""

    def run(self, events):
        return [became(event, outcome_of(event_text(event))) for event in events]


class TransformFunction:
    """As much of a client of Lambda, for one process, as is asked for: it invokes what runs the chain."""

    class exceptions:  # noqa: N801 - as botocore has it
        class RequestTooLargeException(Exception):  # noqa: N818 - likewise
            pass

    def __init__(self, world, process):
        self._world = world
        self._what = f"transform of {process.name}"

    def invoke(self, *, FunctionName, Payload):  # noqa: N803 - as botocore has it
        del FunctionName
        scheduler, faults = self._world.scheduler, self._world.faults
        scheduler.switch()
        kinds = FAULTS if self._world.setting.is_ordered else FAULTS + FAULTS_OF_ORDER
        fault = faults.draw(self._what, kinds)
        if fault == "slow":
            scheduler.switch(1 + faults.below(SLOW_TICKS_MAX))
        if fault == "throttled":
            raise client_error("TooManyRequestsException", "Invoke")
        texts = _decode_events(_decode_request(Payload).events)
        answers = [answer_of(outcome_of(bytes(one))) for one in texts]
        scheduler.switch()
        if fault == "lost":
            raise ReadTimeoutError(endpoint_url="")
        if fault == "crashed":
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b"{}")}
        if fault == "unreached":
            at = faults.below(len(texts) + 1)
            answers[at:] = [_UNREACHED] * (len(texts) - at)
        if fault == "again" and texts:
            delay_s = DELAYS_S[faults.below(len(DELAYS_S))]
            answers[faults.below(len(texts))] = Answer(failure=Failure("transform_retry", "", delay_s))
        said = Response(msgspec.json.encode(answers).decode())
        return {"Payload": io.BytesIO(msgspec.json.encode(said))}


def transformer_for(world, process):
    """Return what has events transformed for one process; None in a world without a chain."""
    if not world.setting.has_chain:
        return None
    client = TransformFunction(world, process)
    return LambdaTransformer(client, "transform", PROGRAM, lambda: world.scheduler.now_us / 1_000_000)
