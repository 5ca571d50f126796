"""The promise, on generated streams: the same events give the same profiles."""

import json
from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from shared.adapters.memory_store import MemoryStore
from shared.app.ingest import Ingest
from shared.app.loading import Loading
from shared.contract import RECORD_AGE_H_MAX
from shared.core.compile import Builder
from shared.core.plan import plan
from shared.core.profile import Profile, canonical
from shared.core.snapshot import Snapshot
from tests import oracle
from tests.clocks import FakeClock, fold_parked
from tests.people import DAY, HOUR, T0, a_definition, an_event, any_stream, contributions_of, in_batches
from tests.soaking import examples

BUILDERS = {
    "plain": Builder(a_definition()),
    "limited": Builder(a_definition(limit=1)),
    "known only": Builder(a_definition(anonymous_profiles=False)),
}
many = settings(max_examples=examples(150), deadline=None)
any_seed = st.integers(0, 2**32)


def lines(builder, store):
    live = [one for one in store.stored.values() if isinstance(one, Profile)]
    return [canonical(builder, one) for one in sorted(live, key=lambda one: one.id)]


def ingest(builder, store, batch, **options):
    outcome = Ingest(builder, store, FakeClock(), **options).run(batch)
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


@pytest.fixture
def small(monkeypatch):
    """Limits that a stream of forty events reaches."""
    limits = oracle.Limits(identifiers=4, canonical_bytes=1500, remembered=6)
    monkeypatch.setattr("shared.core.plan.IDENTIFIERS_MAX", limits.identifiers)
    monkeypatch.setattr("shared.core.plan.CANONICAL_BYTES_MAX", limits.canonical_bytes)
    monkeypatch.setattr("shared.core.memory.REMEMBERED_MAX", limits.remembered)
    return limits


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("actions_max", [100, 12])
@settings(many, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=any_seed)
def test_profiles_break_at_the_same_event_however_the_stream_is_cut(small, kind, actions_max, seed):
    builder, random = BUILDERS[kind], Random(seed)
    events = contributions_of(builder, any_stream(random, gap_ms=random.choice([HOUR, DAY, 35 * DAY])))
    events.sort(key=lambda one: one.order)
    planned = plan(builder, events, Snapshot(), 1, None)
    store = MemoryStore()
    for batch in in_batches(random, events):
        outcome = Ingest(builder, store, FakeClock(), actions_max).run(batch)
        assert outcome.failed == []
    expected = oracle.profiles_of(builder, events, small)
    at_once = sorted((put.profile for put in planned.puts), key=lambda one: one.id)
    assert [canonical(builder, one) for one in at_once] == expected
    assert lines(builder, store) == expected


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


class RacingStore(MemoryStore):
    """A store in which somebody else writes first, now and then: between every load and its commit."""

    def __init__(self, rival):
        super().__init__()
        self.rival = rival

    def commit(self, plans):
        rival, self.rival = self.rival, None
        if rival is not None:
            rival(self)
            self.rival = rival
        return super().commit(plans)


@pytest.mark.parametrize("kind", BUILDERS)
@many
@given(any_seed)
def test_workers_that_race_lose_nothing_and_count_nothing_twice(kind, seed):
    builder, random = BUILDERS[kind], Random(seed)
    events = contributions_of(builder, any_stream(random, gap_ms=HOUR))
    unique = list({one.key[1]: one for one in reversed(events)}.values())
    batches = in_batches(random, shuffled(random, unique))
    waiting = batches[1::2]

    def rival(store):
        if waiting and random.random() < 0.7:
            ingest(builder, store, waiting.pop())

    store = RacingStore(rival)
    for batch in batches[::2]:
        ingest(builder, store, batch)
    store.rival = None
    for batch in waiting:
        ingest(builder, store, batch)
    touch_parked(builder, store, unique)
    folded = Counter()
    for profile in store.stored.values():
        if isinstance(profile, Profile):
            folded.update(hashed for _, hashed in profile.memory.traces())
            assert profile.event_count == len(profile.memory)
    assert folded == Counter(one.hash for one in unique)
    assert_consistent(store)
    if kind != "limited":  # a limit depends on who came first
        assert unnamed(lines(builder, store)) == unnamed(oracle.profiles_of(builder, unique))


@many
@given(any_seed)
def test_a_group_that_keeps_losing_is_parked_and_folded_by_the_next_writer(seed):
    builder, random = BUILDERS["plain"], Random(seed)
    events = contributions_of(builder, any_stream(random, gap_ms=HOUR))
    unique = list({one.key[1]: one for one in reversed(events)}.values())
    store = RacingStore(_bump_all)
    parked = 0
    for batch in in_batches(random, unique):
        outcome = Ingest(builder, store, FakeClock()).run(batch)
        parked += outcome.tally["deltas_parked"]
        if outcome.failed:  # a structural change cannot be parked: the stream brings it again
            store.rival = None
            ingest(builder, store, batch)
            store.rival = _bump_all
    store.rival = None
    touch_parked(builder, store, unique)
    assert store.parked == {}
    assert unnamed(lines(builder, store)) == unnamed(oracle.profiles_of(builder, unique))
    assert_consistent(store)


def test_what_a_rival_folded_of_what_was_parked_is_not_folded_again_into_a_later_life():
    builder = BUILDERS["plain"]

    def an(message, arrival):
        return contributions_of(builder, [an_event(messageId=message, userId="u", arrival=arrival)])

    late = T0 + 500 * DAY
    store = RacingStore(None)
    ingest(builder, store, an("first", T0))
    [profile] = store.stored.values()
    store.park(profile.id, f"{profile.id}/shard-0#1#0", an("parked", T0 + 1))
    rivals = [an("rival", late)]
    store.rival = lambda store: rivals and ingest(builder, store, rivals.pop())
    ingest(builder, store, an("own", late + 1))
    [later] = [one for one in store.stored.values() if isinstance(one, Profile)]
    assert (later.event_count, later.created_at) == (2, late)


def test_a_life_that_ends_in_a_plan_without_room_for_everything_passes_no_parked_events_on():
    builder = BUILDERS["plain"]
    store = MemoryStore()
    ingest(builder, store, contributions_of(builder, [an_event(messageId="m", userId="u", arrival=T0)]))
    [profile] = store.stored.values()
    name = f"{profile.id}/shard-0#1#0"
    parked = contributions_of(builder, [an_event(messageId="parked", userId="u", arrival=T0 + 1)])
    store.park(profile.id, name, parked)
    late = T0 + 500 * DAY
    events = [
        an_event(messageId=f"m{at}", userId="u", anonymousId=f"c{at}", arrival=late + at) for at in range(120)
    ]
    loading = Loading(builder, store)
    [group] = loading.load(contributions_of(builder, events))
    planned = loading.plan(group, 1, 100)
    assert planned.rest
    assert planned.folded_deltas == [name]
    assert [bury.tombstone.parked for bury in planned.buries] == [()]


def test_events_parked_beside_one_profile_and_folded_into_another_are_written_with_both_or_not_at_all():
    """A stale read may say that what was parked belongs to somebody else; then that write fails alone."""
    builder = BUILDERS["plain"]
    store = MemoryStore()
    for user in ("u", "v"):
        ingest(builder, store, contributions_of(builder, [an_event(messageId=user, userId=user, arrival=T0)]))
    listing = next(one for one in store.stored.values() if one.founder.value == "u")
    name = f"{listing.id}/shard-0#1#0"
    parked = contributions_of(builder, [an_event(messageId="p", userId="v", arrival=T0 + 1)])
    store.park(listing.id, name, parked)
    loading = Loading(builder, store)
    own = contributions_of(builder, [an_event(messageId="o", userId="u", arrival=T0 + 2)])
    [group] = loading.load(own)
    planned = loading.plan(group, 1, 100)
    assert (len(planned.puts), planned.folded_deltas) == (2, [name])
    assert planned.is_structural


class StaleStore(MemoryStore):
    """A store whose reads, unless they must be fresh, do not know some pointers yet."""

    unknown = frozenset()

    def pointers(self, identifiers, *, fresh):
        found = super().pointers(identifiers, fresh=fresh)
        return found if fresh else {one: None if one in self.unknown else it for one, it in found.items()}


@pytest.mark.parametrize("kind", ["plain", "limited"])
@pytest.mark.parametrize("last", ["1", "2", "3"])
def test_a_limit_decides_by_what_is_stored_and_not_by_stale_reads(small, kind, last):
    """Nothing of a profile that is founded, merged and broken within one plan is ever written."""
    builder = BUILDERS[kind]
    names = [
        {"userId": "u", "anonymousId": "1"},
        {"userId": "u", "anonymousId": "2", "previousId": "3"},
        {"userId": "v", "anonymousId": last, "previousId": "4"},
        {"userId": "u", "anonymousId": last},
    ]
    events = contributions_of(
        builder,
        [an_event(messageId=f"m{at}", arrival=T0 + at, **each) for at, each in enumerate(names)],
    )
    store = StaleStore()
    for batch in (events[:2], events[2:]):
        ingest(builder, store, batch)
        store.unknown = frozenset(one for one in store.pointed if one.value == last)
    assert lines(builder, store) == oracle.profiles_of(builder, events, small)


def touch_parked(builder, store, events):
    live = [one for one in store.stored.values() if isinstance(one, Profile)]
    fold_parked(builder, store, live, events, FakeClock())


def _bump_all(store):
    for one, stored in list(store.stored.items()):
        if isinstance(stored, Profile):
            twin = structs.replace(stored)
            twin.rev += 1
            store.stored[one] = twin


@many
@given(any_seed)
def test_groups_too_large_for_one_transaction_are_written_in_parts_or_through_redirects(seed):
    builder, random = BUILDERS["plain"], Random(seed)
    events = contributions_of(builder, any_stream(random, gap_ms=HOUR, people=10))
    events.sort(key=lambda one: one.order)
    store = MemoryStore()
    for batch in in_batches(random, events, largest=40):
        outcome = Ingest(builder, store, FakeClock(), actions_max=8).run(batch)
        assert outcome.failed == []
    assert lines(builder, store) == oracle.profiles_of(builder, events)


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
