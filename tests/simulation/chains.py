"""Worlds whose builder has a transformation: its chain, and the function that runs it, which fails as all do.

Besides, an event may ask for another try.
"""

from functools import lru_cache

import msgspec

from shared.adapters.lambda_transformer import LambdaTransformer
from shared.app.local_code import nothing
from shared.app.transform import became
from shared.core.chain import Chain, Failure, event_text
from shared.core.sandbox import Answer, Program, Request, answer_of
from tests.people import a_definition
from tests.simulation.invoked import FAULTS, FAULTS_OF_CODE, InvokedFunction

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
FAULTS_OUT_OF_ORDER = (*FAULTS, *FAULTS_OF_CODE, "again", "again")
"""With some of these an event comes later than its neighbours: not where order decides all."""
OFTEN = 10
DELAYS_S = (None, 0, 60)
PROGRAM = Program("people", 1, SOURCE, {})
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


class TransformFunction(InvokedFunction):
    """What runs the chain, as one process invokes it."""

    class exceptions:  # noqa: N801 - as botocore has it
        class RequestTooLargeException(Exception):  # noqa: N818 - likewise
            pass

    name = "transform"

    @property
    def times(self):
        """Where much is replayed, something should have been set aside that is well by then."""
        return OFTEN if self._world.setting.is_drained and not self._world.is_stormy else 1

    unreached = Answer(failure=Failure("transform_retry", "there was no time"), unreached=True)

    def _faults(self):
        return FAULTS if self._world.setting.is_ordered else FAULTS_OUT_OF_ORDER

    def _answers(self, payload):
        return [answer_of(outcome_of(bytes(one))) for one in _decode_events(_decode_request(payload).events)]

    def _failed(self, fault):
        if fault != "again":
            return None
        delay_s = DELAYS_S[self._world.faults.below(len(DELAYS_S))]
        return Answer(failure=Failure("transform_retry", "", delay_s))


def transformer_for(world, process):
    """Return what has events transformed for one process; None in a world without a chain."""
    if not world.setting.has_chain:
        return None
    client = TransformFunction(world, process)
    return LambdaTransformer(client, "transform", PROGRAM, lambda: world.scheduler.now_us / 1_000_000)
