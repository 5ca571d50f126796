"""Attempts: what is written beside a profile has a name that nobody else's writing has."""

from itertools import count

from shared.adapters.dynamo.store import DynamoStore
from shared.app.ingest import _delta_name
from shared.core.compile import Builder
from shared.core.plan import play
from shared.core.writes import Plan, Put
from tests.people import T0, a_definition, an_event, contributions_of

BUILDER = Builder(a_definition())
EVENTS = contributions_of(
    BUILDER,
    [
        an_event(messageId=f"m{at}", userId="u", properties={"page": "/a"}, arrival=T0 + at)
        for at in range(400)
    ],
)


class _Ticking:
    def __init__(self):
        self.now_us = count(1).__next__


def test_two_attempts_at_one_write_give_no_segment_the_same_name():
    """One that is written late would bring back the TTL that the other had when it was planned."""
    store = DynamoStore(None, BUILDER, 1, "profiles", "identifiers", _Ticking())

    def attempt():
        [profile], _ = play(BUILDER, EVENTS)
        return {name for one in store._writes.prepare(Plan(puts=[Put(profile, 5)])) for name in one.names}

    first, second = attempt(), attempt()
    assert first
    assert first.isdisjoint(second)


def test_what_is_parked_is_named_by_all_that_it_holds():
    """Parked again it is the same; of a batch that was cut anew it takes the place of nothing larger."""
    assert _delta_name(EVENTS[:2]) == _delta_name(EVENTS[:2])
    assert _delta_name(EVENTS[:2]) != _delta_name(EVENTS[:1])
