"""What a profile forgets too early is counted, once, whatever becomes of it in the same plan."""

from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.adapters.memory_store import MemoryStore
from shared.core.compile import Builder
from tests import oracle
from tests.app.test_engine import ingest
from tests.people import HOUR, T0, a_definition, an_event, any_stream, contributions_of, in_batches

BUILDER = Builder(a_definition())


LIMITS = oracle.Limits(remembered=6)


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    monkeypatch.setattr("shared.core.memory.REMEMBERED_MAX", LIMITS.remembered)


def events_of(*whose):
    return [an_event(messageId=f"m{at}", arrival=T0 + at, **one) for at, one in enumerate(whose)]


def evictions_in(events, random=None):
    """Ingest events, at once or in batches; return how many evictions were counted."""
    tally, store = Counter(), MemoryStore()
    for batch in in_batches(random, events) if random else [events]:
        tally.update(ingest(BUILDER, store, batch).tally)
    return tally["dedup_evictions"]


def test_what_a_profile_forgot_before_it_was_merged_is_counted():
    ann, cookie = {"userId": "ann"}, {"anonymousId": "c"}
    events = contributions_of(BUILDER, events_of(ann, *[cookie] * 9, {**ann, **cookie}))
    assert evictions_in(events) == 5


def test_what_a_profile_forgot_before_it_broke_is_counted(monkeypatch):
    monkeypatch.setattr("shared.core.plan.IDENTIFIERS_MAX", 4)
    cookie, more = {"anonymousId": "c"}, [{"anonymousId": "c", "userId": f"u{at}"} for at in range(4)]
    events = contributions_of(BUILDER, events_of(*[cookie] * 7, *more))
    assert evictions_in(events) == 5


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_as_much_is_counted_however_the_stream_is_cut(seed):
    random = Random(seed)
    events = contributions_of(BUILDER, any_stream(random, gap_ms=HOUR, people=2, size_min=10))
    events.sort(key=lambda one: one.order)
    counted = oracle.evictions_of(BUILDER, events, LIMITS)
    assert evictions_in(events, random) == evictions_in(events) == counted
