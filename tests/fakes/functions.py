"""A profile function without a sandbox around it."""

from collections import Counter

from shared.core.functions import result_of
from shared.core.history import events_of


class FakeFunction:
    """Implements `ProfileFunction`: `run_one` gets each input, and returns the outcome."""

    def __init__(self, run_one):
        self._run_one = run_one
        self.runs = 0

    def run(self, inputs, time_s=None):  # noqa: ARG002 - nothing is bounded here
        self.runs += len(inputs)
        return [self._run_one(one) for one in inputs]


def counting(given):
    """The function of Jitsu's page: how many events of each type, and who sent them."""
    events = events_of(given.chunks, given.since_ms)
    counts = Counter(event["type"] for event in events if event.get("type"))
    if not counts:
        return None
    user = given.user
    traits = {
        "counts": dict(counts),
        "anonymousId": user.anonymous_id,
        "first": next(iter(events)).get("messageId"),
    }
    return result_of({"traits": traits, "profile_id": user.user_id})
