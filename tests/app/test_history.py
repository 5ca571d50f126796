"""The law of histories: a profile's holds what it counted, however that was batched, merged and raced for."""

from collections import Counter
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.adapters.memory_store import MemoryStore
from shared.app.frozen import complete
from shared.app.functions.results import (
    compute,
    input_of,
    plan_of_result,
    since_of,
    user_of,
)
from shared.app.ingest import Ingest
from shared.core.compile import Builder
from shared.core.functions import FunctionFailure, FunctionResult
from shared.core.history import events_of
from shared.core.plan import Planner, plan, play, play_with_history
from shared.core.profile import Profile, canonical, present
from shared.core.snapshot import Redirect, Snapshot
from tests import oracle
from tests.app.test_engine import ingest, lines, redelivered
from tests.clocks import FakeClock
from tests.fakes.functions import FakeFunction, counting
from tests.people import DAY, HOUR, T0, a_definition, an_event, any_stream, contributions_of, in_batches


def a_builder(days=365, **changes):
    return Builder(a_definition(profile_function=(("window", f"{days} days"),), **changes))


BUILDERS = {"a year": a_builder(), "a week": a_builder(7), "limited": a_builder(limit=1)}
many = settings(max_examples=150, deadline=None)
any_seed = st.integers(0, 2**32)


def live(store):
    return {one.id: one for one in store.stored.values() if isinstance(one, Profile)}


def history(builder, store, profile):
    since = since_of(builder, profile)
    return list(events_of(store.chunks(profile, since).values(), since).texts())


def histories(builder, store):
    return {one.id: history(builder, store, one) for one in live(store).values()}


def expected(builder, events, limits=oracle.DEFAULTS):
    people = oracle.people_of(builder, events, limits)
    return {one.id: oracle.history_of(one, builder.window_ms) for one in people}


@pytest.mark.parametrize("kind", BUILDERS)
@many
@given(any_seed)
def test_a_history_holds_what_was_counted_however_the_stream_is_cut_and_redelivered(kind, seed):
    builder, random = BUILDERS[kind], Random(seed)
    events = contributions_of(builder, any_stream(random, gap_ms=random.choice([HOUR, 35 * DAY])))
    events.sort(key=lambda one: one.order)
    store = MemoryStore()
    for batch in in_batches(random, events):
        ingest(builder, store, batch)
        if random.random() < 0.3:
            ingest(builder, store, redelivered(random, batch))
    assert histories(builder, store) == expected(builder, events)
    assert all(len(one.heads) == 1 and one.is_due for one in live(store).values())


@pytest.mark.parametrize("actions_max", [100, 12])
@settings(many, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=any_seed)
def test_breaking_and_merging_with_redirects_begin_and_join_histories(monkeypatch, actions_max, seed):
    limits = oracle.Limits(identifiers=4, canonical_bytes=1500)
    monkeypatch.setattr("shared.core.plan.IDENTIFIERS_MAX", limits.identifiers)
    monkeypatch.setattr("shared.core.plan.CANONICAL_BYTES_MAX", limits.canonical_bytes)
    builder, random = BUILDERS["a year"], Random(seed)
    events = contributions_of(builder, any_stream(random, gap_ms=random.choice([HOUR, DAY, 35 * DAY])))
    events.sort(key=lambda one: one.order)
    store = MemoryStore()
    for batch in in_batches(random, events):
        assert Ingest(builder, store, FakeClock(), actions_max).run(batch).failed == []
    assert histories(builder, store) == expected(builder, events, limits)


@many
@given(any_seed)
def test_all_at_once_gives_the_histories_that_batches_give(seed):
    builder, random = BUILDERS["a year"], Random(seed)
    events = contributions_of(builder, any_stream(random, gap_ms=random.choice([HOUR, 35 * DAY])))
    events.sort(key=lambda one: one.order)
    puts, tally = play_with_history(builder, events)
    found = {
        put.profile.id: list(
            events_of([one.data for one in put.chunks], since_of(builder, put.profile)).texts()
        )
        for put in puts
    }
    assert found == expected(builder, events)
    profiles, counted = play(builder, events)
    assert sorted(canonical(builder, one) for one in profiles) == sorted(
        canonical(builder, put.profile) for put in puts
    )
    assert counted == tally


def some_events(builder, count, arrival=T0, **changes):
    bodies = [
        {"messageId": f"m{number}", "userId": "u", "properties": {"page": f"/{number}"}, **changes}
        for number in range(count)
    ]
    events = [an_event(**body, arrival=arrival + number * 1000) for number, body in enumerate(bodies)]
    return contributions_of(builder, events)


def test_a_builder_without_a_profile_function_keeps_nothing():
    builder = Builder(a_definition())
    events = some_events(builder, 3)
    assert all(one.text is None for one in events)
    (put,) = plan(builder, events, Snapshot(), 1).puts
    assert put.chunks == ()
    assert put.profile.heads == ()
    assert not put.profile.is_due


def test_what_is_compressed_on_the_way_is_in_the_history_like_all_the_rest():
    builder = BUILDERS["a year"]
    events = some_events(builder, 20)
    planner = Planner(builder, Snapshot(), 1, None)
    for number, one in enumerate(events):
        planner.take(one)
        if number % 7 == 0:
            planner.settle()
    (put,) = planner.finish(len(events), ()).puts
    assert len(put.chunks) > 1
    assert list(events_of([one.data for one in put.chunks], 0).texts()) == [one.text for one in events]


def test_a_late_event_from_before_the_window_makes_a_profile_due_all_the_same():
    """What its function sees may be the same, but not what the function is told of the user."""
    builder, store = BUILDERS["a week"], MemoryStore()
    ingest(builder, store, some_events(builder, 1, arrival=T0))
    (before,) = live(store).values()
    late = an_event(
        messageId="late", userId="u", type="identify", timestamp="2026-01-01T00:00:00Z", arrival=T0
    )
    ingest(builder, store, contributions_of(builder, [late]))
    (profile,) = live(store).values()
    assert profile.heads != before.heads
    assert len(history(builder, store, profile)) == 1


def test_a_parked_event_is_in_the_history_of_whoever_folds_it():
    builder, store = BUILDERS["a year"], MemoryStore()
    first, second, third = some_events(builder, 3)
    ingest(builder, store, [first])
    (profile,) = live(store).values()
    assert store.park(profile.id, f"{profile.id}/delta", [second])
    ingest(builder, store, [third])
    (profile,) = live(store).values()
    assert history(builder, store, profile) == [first.text, second.text, third.text]


def test_the_history_of_a_merged_profile_is_reached_from_the_one_it_was_merged_into():
    builder, store = BUILDERS["a year"], MemoryStore()
    events = contributions_of(
        builder,
        [
            an_event(messageId="1", userId="u", arrival=T0),
            an_event(messageId="2", anonymousId="c", arrival=T0 + 1),
            an_event(messageId="3", userId="u", anonymousId="c", arrival=T0 + 2),
        ],
    )
    for one in events:
        ingest(builder, store, [one])
    (profile,) = live(store).values()
    assert history(builder, store, profile) == [one.text for one in events]


def test_a_merge_that_leaves_redirects_reaches_the_history_of_what_it_merged():
    builder, store = BUILDERS["a year"], MemoryStore()
    clock = FakeClock()
    people = [
        an_event(messageId=f"{who}{at}", userId=who, anonymousId=f"{who}-{at}", arrival=T0 + at)
        for who in "uv"
        for at in range(6)
    ]
    link = an_event(messageId="link", userId="u", anonymousId="v-0", arrival=T0 + 100)
    for one in contributions_of(builder, [*people, link]):
        assert Ingest(builder, store, clock, 10).run([one]).failed == []
    assert any(isinstance(one, Redirect) for one in store.stored.values())
    (profile,) = live(store).values()
    assert len(history(builder, store, profile)) == 13


def test_the_user_has_the_ids_of_the_types_that_read_them_the_earliest_first():
    builder = BUILDERS["a year"]
    events = [
        an_event(messageId="1", userId="u", anonymousId="b", arrival=T0 + 5),
        an_event(messageId="2", userId="u", anonymousId="a", arrival=T0 + 5),
        an_event(messageId="3", userId="u", previousId="z", arrival=T0),
        an_event(messageId="4", userId="u", type="identify", traits={"name": "Ann"}, arrival=T0 + 9),
    ]
    (profile,), _ = play(builder, sorted(contributions_of(builder, events), key=lambda one: one.order))
    user = user_of(builder, profile)
    assert (user.profile_id, user.user_id, user.anonymous_id) == (profile.id, "u", "z")
    assert user.traits == {"name": "Ann"}
    assert user.identifiers == {"user_id": ["u"], "cookie_id": ["a", "b", "z"]}


def test_what_a_function_returned_is_laid_over_the_profile_until_it_returns_something_else():
    builder, store = BUILDERS["a year"], MemoryStore()
    first, second = some_events(builder, 2, type="identify", traits={"name": "Ann", "plan": "free"})
    ingest(builder, store, [first])
    (profile,) = live(store).values()
    result = FunctionResult({"plan": "pro", "score": 7, "name": None}, "row-1", table_name="people")
    store.commit([plan_of_result(builder, profile, result, 1)])
    (profile,) = live(store).values()
    shown = present(builder, profile)
    assert not profile.is_due
    assert shown["traits"] == {"plan": "pro", "score": 7}
    assert (shown["published_id"], shown["table_name"]) == ("row-1", "people")
    assert "destination_id" not in shown
    assert user_of(builder, profile).traits == {"name": "Ann", "plan": "free"}

    ingest(builder, store, [second])
    (profile,) = live(store).values()
    assert profile.is_due
    assert present(builder, profile)["traits"] == {"plan": "pro", "score": 7}

    store.commit([plan_of_result(builder, profile, None, 1)])
    (profile,) = live(store).values()
    assert not profile.is_due
    assert present(builder, profile)["traits"] == {"name": "Ann", "plan": "free"}
    assert "published_id" not in present(builder, profile)


def test_a_merge_keeps_what_was_computed_of_the_primary_until_its_function_runs_again():
    builder, store = BUILDERS["a year"], MemoryStore()
    one, other, link = contributions_of(
        builder,
        [
            an_event(messageId="1", userId="u", arrival=T0),
            an_event(messageId="2", anonymousId="c", arrival=T0 + 1),
            an_event(messageId="3", userId="u", anonymousId="c", arrival=T0 + 2),
        ],
    )
    ingest(builder, store, [one])
    ingest(builder, store, [other])
    for number, profile in enumerate(sorted(live(store).values(), key=lambda one: one.created_at)):
        store.commit([plan_of_result(builder, profile, FunctionResult({"number": number}), 1)])
    ingest(builder, store, [link])
    (profile,) = live(store).values()
    assert present(builder, profile)["traits"] == {"number": 0}
    assert profile.is_due


def test_what_was_computed_does_not_count_towards_the_limit_of_a_profile(monkeypatch):
    monkeypatch.setattr("shared.core.plan.CANONICAL_BYTES_MAX", 5000)
    builder, store = BUILDERS["a year"], MemoryStore()
    first, *others = some_events(builder, 10)
    ingest(builder, store, [first])
    (profile,) = live(store).values()
    store.commit([plan_of_result(builder, profile, FunctionResult({"long": "x" * 10_000}), 1)])
    for one in others:
        assert ingest(builder, store, [one]).tally["profiles_broken"] == 0


def test_a_broken_profile_takes_neither_its_history_nor_its_result_along():
    builder, store = BUILDERS["a year"], MemoryStore()
    ingest(builder, store, some_events(builder, 1))
    (profile,) = live(store).values()
    store.commit([plan_of_result(builder, profile, FunctionResult({"a": 1}), 1)])
    later = some_events(builder, 1, arrival=T0 + 800 * DAY)
    ingest(builder, store, later)
    (profile,) = live(store).values()
    assert history(builder, store, profile) == [later[0].text]
    assert profile.computed is None


def test_a_result_is_written_only_if_nothing_newer_was():
    builder, store = BUILDERS["a year"], MemoryStore()
    first, second = some_events(builder, 2)
    ingest(builder, store, [first])
    (stale,) = live(store).values()
    ingest(builder, store, [second])
    before = lines(builder, store)
    [result] = store.commit([plan_of_result(builder, stale, FunctionResult({"a": 1}), 1)])
    assert result.found.keys() == {stale.id}
    assert lines(builder, store) == before


def test_traits_of_a_result_that_cannot_be_kept_are_counted():
    builder = BUILDERS["a year"]
    puts, _ = play_with_history(builder, some_events(builder, 3))
    tally = Counter()
    compute(
        builder, puts, FakeFunction(lambda _: FunctionResult({}, left_out={"number": 2, "name": 1})), tally
    )
    assert tally == {"functions_run": 1, "functions_left_out": 3}


def test_a_failing_function_leaves_its_profile_without_a_result_and_due():
    builder = BUILDERS["a year"]
    puts, _ = play_with_history(builder, some_events(builder, 3))
    tally = Counter()
    compute(builder, puts, FakeFunction(lambda _: FunctionFailure("function_error", "KeyError")), tally)
    assert puts[0].profile.computed is None
    assert puts[0].profile.is_due
    assert tally == {"functions_run": 1, "functions_failed": 1, "functions_failed.function_error": 1}


@many
@given(any_seed)
def test_live_after_running_the_function_is_what_all_at_once_gives(seed):
    builder, random, function = BUILDERS["a year"], Random(seed), FakeFunction(counting)
    events = contributions_of(builder, any_stream(random, gap_ms=random.choice([HOUR, 35 * DAY])))
    events.sort(key=lambda one: one.order)
    store = MemoryStore()
    for batch in in_batches(random, events):
        ingest(builder, store, batch)
        if random.random() < 0.3:
            run_due(builder, store, function)
    run_due(builder, store, function)
    puts, _ = play_with_history(builder, events)
    compute(builder, puts, function, Counter())
    at_once = sorted((put.profile for put in puts), key=lambda one: one.id)
    assert lines(builder, store) == [canonical(builder, one) for one in at_once]
    assert not any(one.is_due for one in live(store).values())


def run_due(builder, store, function):
    for profile in live(store).values():
        if profile.is_due:
            chunks = list(store.chunks(profile, since_of(builder, profile)).values())
            [result] = function.run([input_of(builder, profile, chunks)])
            store.commit([plan_of_result(builder, profile, result, 1)])


def test_a_builder_keeps_a_history_exactly_if_it_has_a_profile_function():
    plain, said = a_definition(), a_definition(profile_function=(("window", "30 days"),))
    profile = {"profile.py": "def profile(events, user, context): ..."}
    assert Builder(complete(plain, profile)).window_ms == 365 * DAY
    assert Builder(complete(said, profile)).window_ms == 30 * DAY
    assert Builder(complete(plain, {})).window_ms is None
    assert Builder(complete(said, {"transform.py": ""})).window_ms is None
