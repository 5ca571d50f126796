"""The promise, on generated streams: the same events give the same profiles."""

import json
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.memory_store import MemoryStore
from shared.app.ingest import Ingest
from shared.contract import RECORD_AGE_H_MAX
from shared.core.compile import Builder
from shared.core.plan import plan
from shared.core.profile import Profile, canonical
from shared.core.snapshot import Snapshot
from tests import oracle
from tests.people import DAY, HOUR, a_definition, any_stream, contributions_of, in_batches

BUILDERS = {
    "plain": Builder(a_definition()),
    "limited": Builder(a_definition(limit=1)),
    "known only": Builder(a_definition(anonymous_profiles=False)),
}
many = settings(max_examples=400, deadline=None)
any_seed = st.integers(0, 2**32)


class FakeClock:
    """A clock that only ever moves on."""

    def __init__(self):
        self.us = 0

    def now_us(self):
        self.us += 1
        return self.us

    def pause(self, attempt):
        self.us += attempt


def lines(builder, store):
    live = [one for one in store.stored.values() if isinstance(one, Profile)]
    return [canonical(builder, one) for one in sorted(live, key=lambda one: one.id)]


def ingest(builder, store, batch):
    outcome = Ingest(builder, store, FakeClock()).run(batch)
    assert outcome.failed == []
    return outcome


def redelivered(random, batch):
    """A suffix of a batch that the stream delivers again: nothing older than a record may get."""
    suffix = batch[random.randrange(len(batch)) :]
    return [one for one in suffix if one.arrival >= batch[-1].arrival - RECORD_AGE_H_MAX * HOUR]


def shuffled(random, items):
    return random.sample(items, len(items))


@pytest.mark.parametrize("kind", BUILDERS)
@many
@given(any_seed)
def test_one_plan_of_all_events_gives_what_the_oracle_says(kind, seed):
    builder = BUILDERS[kind]
    events = contributions_of(builder, any_stream(Random(seed)))
    events.sort(key=lambda one: one.order)
    planned = plan(builder, events, Snapshot(), 1, None)
    found = sorted((put.profile for put in planned.puts), key=lambda one: one.id)
    assert [canonical(builder, one) for one in found] == oracle.profiles_of(builder, events)


@pytest.mark.parametrize("kind", BUILDERS)
@many
@given(any_seed)
def test_batches_in_order_of_arrival_give_what_the_oracle_says_however_they_are_cut_and_redelivered(
    kind, seed
):
    builder, random = BUILDERS[kind], Random(seed)
    events = contributions_of(builder, any_stream(random, gap_ms=35 * DAY))
    events.sort(key=lambda one: one.order)
    store = MemoryStore()
    for batch in in_batches(random, events):
        ingest(builder, store, batch)
        if random.random() < 0.3:
            again = ingest(builder, store, redelivered(random, batch))
            assert again.tally["events_folded"] == 0
    assert lines(builder, store) == oracle.profiles_of(builder, events)
    assert_consistent(store)


@many
@given(any_seed)
def test_any_order_of_processing_gives_the_same_profiles_but_for_their_founders(seed):
    builder, random = BUILDERS["plain"], Random(seed)
    stream = any_stream(random, gap_ms=DAY)
    unique = {event.id: event for event in reversed(stream)}
    events = contributions_of(builder, unique.values())
    store = MemoryStore()
    for batch in in_batches(random, shuffled(random, events)):
        ingest(builder, store, batch)
    assert unnamed(lines(builder, store)) == unnamed(oracle.profiles_of(builder, events))
    assert_consistent(store)


def unnamed(canonical_lines):
    profiles = [json.loads(line) for line in canonical_lines]
    for profile in profiles:
        del profile["profile_id"]
    return sorted(profiles, key=json.dumps)


def assert_consistent(store):
    """Every pointer of a live profile leads to it, and every live profile's identifiers point back."""
    owners = Counter()
    for profile in store.stored.values():
        if isinstance(profile, Profile):
            for identifier in profile.identifiers:
                owners[identifier] += 1
                assert store.pointed[identifier].profile_id == profile.id
    assert all(count == 1 for count in owners.values())
