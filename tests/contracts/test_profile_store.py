"""The contract of every profile store: generated streams through the real use case, whole and racing."""

from random import Random

import pytest

from shared.app.ingest import Ingest
from shared.app.loading import Loading
from shared.app.ports import Committed, Conflict
from shared.contract import RECORD_AGE_H_MAX
from shared.core.compile import Builder
from shared.core.identity.identifiers import Identifier
from shared.core.plan import ACTIONS_MAX
from shared.core.profile import Quiet, canonical, copy
from shared.core.snapshot import Redirect, Tombstone
from shared.core.writes import Plan, Put
from tests import oracle
from tests.contracts.worlds import (
    DynamoWorld,
    FakeClock,
    assert_children_outlive_their_profiles,
    assert_consistent,
    lines,
    live,
)
from tests.people import DAY, HOUR, T0, a_definition, an_event, any_stream, contributions_of, in_batches

BUILDERS = {
    "plain": Builder(a_definition()),
    "limited": Builder(a_definition(limit=1)),
}


def ingest(builder, store, batch, **options):
    outcome = Ingest(builder, store, FakeClock(), **options).run(batch)
    assert outcome.failed == []
    return outcome


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("seed", range(12))
def test_batches_in_order_of_arrival_give_what_the_oracle_says(world, kind, seed):
    builder, random = BUILDERS[kind], Random(seed)
    world.reset()
    events = contributions_of(builder, any_stream(random, gap_ms=35 * DAY))
    events.sort(key=lambda one: one.order)
    store = world.store(builder)
    for batch in in_batches(random, events):
        ingest(builder, store, batch)
        if random.random() < 0.3:
            store = world.store(builder, cache=random.random() < 0.5)  # another process takes over
            again = ingest(builder, store, redelivered(random, batch))
            assert again.tally["events_folded"] == 0
    assert lines(world, builder) == oracle.profiles_of(builder, events)
    assert_consistent(world, builder)
    if isinstance(world, DynamoWorld):
        assert_children_outlive_their_profiles(world, builder)


def redelivered(random, batch):
    """A suffix of a batch that the stream delivers again: nothing older than a record may get."""
    suffix = batch[random.randrange(len(batch)) :]
    return [one for one in suffix if one.arrival >= batch[-1].arrival - RECORD_AGE_H_MAX * HOUR]


@pytest.mark.parametrize("seed", range(6))
def test_groups_too_large_for_one_transaction_are_written_in_parts_or_through_redirects(world, seed):
    builder, random = BUILDERS["plain"], Random(seed)
    world.reset()
    events = contributions_of(builder, any_stream(random, gap_ms=HOUR, people=10))
    events.sort(key=lambda one: one.order)
    for batch in in_batches(random, events, largest=40):
        ingest(builder, world.store(builder), batch, actions_max=8)
    assert lines(world, builder) == oracle.profiles_of(builder, events)
    assert_consistent(world, builder)


def test_people_with_too_many_identifiers_for_a_transaction_merge_through_a_redirect(world):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    for user in ("a", "b"):
        ingest(builder, store, cookies_of(user, 70))
    link = events_of({"userId": user, "anonymousId": "shared", "arrival": T0 + HOUR} for user in ("a", "b"))
    outcome = ingest(builder, store, link)
    assert outcome.tally["profiles_merged"] == 1
    [profile] = live(world, builder)
    assert len(profile.identifiers) == 143
    assert_consistent(world, builder)
    [redirect] = [one for one in world.stored(builder).values() if isinstance(one, Redirect)]
    assert redirect.target == profile.id
    if isinstance(world, DynamoWorld):  # pointers have followed, so the redirect may go
        assert {pointer.profile_id for pointer in world.pointers().values()} == {profile.id}
        assert all("expires_at" in item for item in world.items(world.profiles_table))
        assert_children_outlive_their_profiles(world, builder)


def test_a_profile_with_too_many_identifiers_leaves_a_tombstone_that_its_successor_inherits(
    world, monkeypatch
):
    monkeypatch.setattr("shared.core.plan.IDENTIFIERS_MAX", 120)  # the real limit takes seconds to reach
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    events = cookies_of("a", 120)
    outcome = ingest(builder, store, events)
    assert outcome.tally["profiles_broken"] == 1
    assert live(world, builder) == []
    [tombstone] = [one for one in world.stored(builder).values() if isinstance(one, Tombstone)]
    assert len(tombstone.traces) == len(events)
    again = ingest(
        builder, world.store(builder), [events[0], *events_of([{"userId": "a", "arrival": T0 + HOUR}])]
    )
    assert (again.tally["events_duplicate"], again.tally["events_folded"]) == (1, 1)
    [profile] = live(world, builder)
    assert profile.id != tombstone.id
    assert_consistent(world, builder)


def test_what_is_planned_for_another_revision_conflicts_and_says_what_is_there(world):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    ingest(builder, store, events_of([{"userId": "a"}]))
    [profile] = live(world, builder)
    stale = copy(builder, profile)
    stale.rev += 1
    [result] = store.commit([Plan(puts=[Put(stale, profile.rev - 1)])])
    assert isinstance(result, Conflict)
    assert result.found[profile.id].rev == profile.rev
    [result] = store.commit([Plan(puts=[Put(stale, profile.rev)])])
    assert result == Committed()


def test_parked_events_are_folded_once_by_the_next_writer(world):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    ingest(builder, store, events_of([{"userId": "a"}]))
    [profile] = live(world, builder)
    total = {"userId": "a", "event": "Order", "properties": {"total": "12345678901234567890.125"}}
    parked = events_of([total | {"anonymousId": "parked", "messageId": "parked", "traits": {"big": 10**20}}])
    name = f"{profile.id}/shard-0#5#0"
    assert store.park(profile.id, name, parked)
    assert store.park(profile.id, name, parked)
    assert store.deltas([name, f"{profile.id}/shard-0#6#0"]) == {name: parked}
    ingest(builder, world.store(builder), events_of([{"userId": "a", "messageId": "next"}]))
    [profile] = live(world, builder)
    assert (profile.event_count, profile.parked, world.deltas()) == (3, (), set())
    assert Identifier("cookie_id", "parked") in profile.identifiers
    assert_consistent(world, builder)


def test_what_is_parked_while_a_writer_folds_stays_listed_and_makes_it_lose_no_race(world):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    ingest(builder, store, events_of([{"userId": "a"}]))
    [profile] = live(world, builder)
    first, second = (park(store, profile, number) for number in (1, 2))
    planned = planned_for(builder, store, [{"userId": "a", "messageId": "next"}])
    third = park(store, profile, 3)
    assert store.commit([planned]) == [Committed()]
    [written] = live(world, builder)
    assert (written.event_count, written.parked) == (4, (third,))
    assert world.deltas().isdisjoint({first, second})
    assert store.commit([planned_for(builder, store, [{"userId": "a", "messageId": "last"}])]) == [
        Committed()
    ]
    [written] = live(world, builder)
    assert (written.event_count, written.parked, world.deltas()) == (6, (), set())


def test_parking_changes_no_revision_and_is_seen_by_who_saw_nothing_parked(world):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    ingest(builder, store, events_of([{"userId": "a"}]))
    [profile] = live(world, builder)
    planned = planned_for(builder, world.store(builder), [{"userId": "a", "messageId": "next"}])
    name = park(store, profile, 1)
    [result] = store.commit([planned])
    assert isinstance(result, Conflict)
    assert [(one.rev, one.parked) for one in result.found.values()] == [(profile.rev, (name,))]


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize(
    "body",
    [
        {"userId": "a", "messageId": "late", "arrival": T0 + 500 * DAY},
        {"userId": "a", "anonymousId": "c", "messageId": "link"},
    ],
    ids=["expired", "merged"],
)
def test_no_profile_is_removed_over_what_is_parked_meanwhile(world, body, before):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    ingest(builder, store, events_of([{"anonymousId": "c", "arrival": body.get("arrival", T0) - 1}]))
    ingest(builder, store, events_of([{"userId": "a"}]))
    removed = next(one for one in live(world, builder) if Identifier("user_id", "a") in one.identifiers)
    for number in range(before):
        park(store, removed, number)
    planned = planned_for(builder, store, [body])
    assert planned.buries or planned.removes
    parked = park(store, removed, 7)
    [result] = store.commit([planned])
    assert isinstance(result, Conflict)
    [kept] = [one for one in live(world, builder) if one.id == removed.id]
    assert parked in kept.parked
    ingest(builder, store, events_of([body]))
    counted = sum(one.event_count for one in live(world, builder))
    assert counted == (2 if "arrival" in body else 4 + before)
    assert world.deltas() == set()
    assert_consistent(world, builder)


def test_a_quiet_profile_has_a_new_revision_by_which_others_lose_and_are_told(world):
    builder = BUILDERS["plain"]
    world.reset()
    store, other = world.store(builder), world.store(builder)
    ingest(builder, store, events_of([{"userId": "a"}]))
    [profile] = live(world, builder)
    planned = planned_for(builder, other, [{"userId": "a", "messageId": "next"}])
    found = store.ask_for_quiet([profile.id, "0" * 32], [], T0)
    assert {one: (each.rev, each.quiet) for one, each in found.items()} == {
        profile.id: (profile.rev + 1, Quiet(profile.rev + 1, T0, is_closed=False))
    }
    [quiet] = live(world, builder)
    assert quiet.is_quiet
    assert canonical(builder, quiet) == canonical(builder, found[profile.id]) == canonical(builder, profile)
    [result] = other.commit([planned])
    assert isinstance(result, Conflict)
    assert result.found[profile.id].is_quiet


def test_who_asks_for_profiles_gets_those_before_the_first_that_is_quiet_already(world):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    ingest(builder, store, events_of({"userId": user} for user in "abc"))
    first, second, third = sorted(one.id for one in live(world, builder))
    assert store.ask_for_quiet([second], [], T0).keys() == {second}
    assert world.store(builder).ask_for_quiet([third, second, first], [], T0).keys() == {first}
    assert [one.is_quiet for one in sorted(live(world, builder), key=lambda one: one.id)] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("before", [0, 1])
def test_who_has_asked_for_a_profile_loses_nothing_to_what_is_parked_beside_it_and_ends_the_quiet(
    world, before
):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    ingest(builder, store, events_of([{"userId": "a"}]))
    [profile] = live(world, builder)
    for number in range(before):
        park(store, profile, number)
    store.ask_for_quiet([profile.id], [], T0)
    planned = planned_for(builder, store, [{"userId": "a", "anonymousId": "c", "messageId": "attach"}])
    assert planned.is_structural
    parked = park(world.store(builder), profile, 7)
    assert store.commit([planned]) == [Committed()]
    [written] = live(world, builder)
    assert (written.event_count, written.parked, written.is_quiet) == (2 + before, (parked,), False)


def test_nothing_is_parked_beside_a_profile_that_is_about_to_be_removed_until_it_is_written(world):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    ingest(builder, store, events_of([{"userId": "a"}]))
    [profile] = live(world, builder)
    store.ask_for_quiet([profile.id], [profile.id], T0)
    name = f"{profile.id}/shard-0#1#0"
    assert not store.park(profile.id, name, events_of([{"userId": "a", "messageId": "parked"}]))
    ingest(builder, store, events_of([{"userId": "a", "messageId": "next", "arrival": T0 + HOUR}]))
    assert park(store, profile, 2)


def test_what_a_profile_does_not_have_any_more_goes_although_something_is_parked(world):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    ingest(builder, store, events_of([{"userId": "a", "type": "identify", "traits": {"plan": "pro"}}]))
    [profile] = live(world, builder)
    park(store, profile, 1)
    gone = {"userId": "a", "type": "identify", "messageId": "next", "traits": {"plan": None}}
    ingest(builder, store, events_of([gone | {"timestamp": None, "arrival": T0 + HOUR}]))
    [written] = live(world, builder)
    assert (written.event_count, written.parked) == (3, ())
    assert [value for _, value in written.traits.values()] == [None]


def park(store, profile, number):
    """Park an event of `a` beside its profile; return the name of the delta."""
    name = f"{profile.id}/shard-0#{number}#0"
    assert store.park(profile.id, name, events_of([{"userId": "a", "messageId": f"parked-{number}"}]))
    return name


def planned_for(builder, store, bodies):
    """Plan events by what is stored now."""
    loading = Loading(builder, store)
    loading.fresh = True
    [group] = loading.load(events_of(bodies))
    return loading.plan(group, 1, ACTIONS_MAX)


def test_nothing_is_parked_beside_what_is_not_live(world):
    builder = BUILDERS["plain"]
    world.reset()
    store = world.store(builder)
    ingest(builder, store, events_of([{"userId": "a"}]))
    ingest(builder, store, events_of([{"userId": "a", "messageId": "late", "arrival": T0 + 500 * DAY}]))
    [tombstone] = [one for one in world.stored(builder).values() if isinstance(one, Tombstone)]
    parked = events_of([{"userId": "a"}])
    assert not store.park(tombstone.id, f"{tombstone.id}/shard-0#5#0", parked)
    assert not store.park("0" * 32, f"{'0' * 32}/shard-0#5#0", parked)


def events_of(bodies):
    """Contributions of track events with these bodies."""
    plain = {"type": "track", "messageId": "m"}
    return contributions_of(
        BUILDERS["plain"],
        [an_event(**plain | {"messageId": f"m{at}"} | body) for at, body in enumerate(bodies)],
    )


def cookies_of(user, count):
    """One person's events, each with another cookie."""
    return events_of(
        {
            "userId": user,
            "anonymousId": f"{user}-{number}",
            "messageId": f"{user}-{number}",
            "arrival": T0 + number,
        }
        for number in range(count)
    )
