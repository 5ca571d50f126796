"""Histories on engines: exactly what was counted is in them, whoever dies, races, merges or is throttled."""

import base64
import itertools
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from botocore.exceptions import ClientError

from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.loader import DynamoLoader
from shared.adapters.dynamo.sweep import DynamoVersionItems
from shared.app.functions.results import since_of
from shared.app.ingest import Ingest
from shared.contract import PROFILES_DUE, PROFILES_SK, SK_HISTORY_PREFIX, SK_PROFILE, TTL_ATTRIBUTE
from shared.core.compile import Builder
from shared.core.history import HistoryGoneError, events_of
from shared.core.plan import plan
from shared.core.profile import Profile
from shared.core.snapshot import Redirect, Snapshot
from tests import oracle
from tests.clocks import fold_parked
from tests.contracts.engines import new_client
from tests.contracts.test_concurrent_writers import REDELIVERIES_MAX, WRITERS, shared_out
from tests.contracts.test_crashes import Crash, MortalClient
from tests.contracts.test_faults import FaultyClient
from tests.contracts.worlds import FakeClock, assert_consistent, lines, live
from tests.people import DAY, HOUR, T0, a_definition, an_event, any_stream, contributions_of, in_batches

WINDOW = 30 * DAY
BUILDER = Builder(a_definition(profile_function=(("window", "30 days"), ("debounce", "7 seconds"))))


def ingest(store, batch, **options):
    outcome = Ingest(BUILDER, store, FakeClock(), **options).run(batch)
    assert outcome.failed == []
    return outcome


def history(store, profile, since=None):
    since = since_of(BUILDER, profile) if since is None else since
    return list(events_of(store.chunks(profile, since).values(), since).texts())


def histories(world):
    store = world.store(BUILDER, cache=False)
    return {one.id: history(store, one) for one in live(world, BUILDER)}


def expected(events):
    return {one.id: oracle.history_of(one, WINDOW) for one in oracle.people_of(BUILDER, events)}


def chunk_items(world):
    return [
        one
        for one in world.items(world.profiles_table)
        if one[PROFILES_SK]["S"].startswith(SK_HISTORY_PREFIX)
    ]


def some_events(count, arrival=T0, **changes):
    return contributions_of(
        BUILDER,
        [
            an_event(messageId=f"m{number:04}", userId="u", arrival=arrival + number * 1000, **changes)
            for number in range(count)
        ],
    )


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_crash_in_any_call_leaves_in_the_history_just_what_was_counted(dynamo, seed, after):
    random = Random(seed)
    dynamo.reset()
    events = contributions_of(BUILDER, any_stream(random, size_max=24, gap_ms=DAY))
    events.sort(key=lambda one: one.order)
    for batch in in_batches(random, events):
        for calls in itertools.count(1):
            try:
                ingest(dynamo.store(BUILDER, MortalClient(dynamo.client, calls, after=after)), batch)
            except Crash:
                continue
            break
    assert histories(dynamo) == expected(events)
    assert lines(dynamo, BUILDER) == oracle.profiles_of(BUILDER, events)
    assert_consistent(dynamo, BUILDER)


@pytest.mark.parametrize("seed", range(3))
def test_eight_writers_have_every_event_in_one_history_and_once(dynamo, seed):
    random = Random(seed)
    dynamo.reset()
    stream = any_stream(random, size_min=120, size_max=150, gap_ms=HOUR // 10, people=8)
    events = contributions_of(BUILDER, {event.id: event for event in stream}.values())

    def deliver(batches):
        client = new_client(dynamo.endpoint)
        store = dynamo.store(BUILDER, client)
        for batch in batches:
            waiting = batch
            for _ in range(REDELIVERIES_MAX):
                outcome = Ingest(BUILDER, store, FakeClock()).run(waiting)
                failed = {position for position, _ in outcome.failed}
                waiting = [one for one in waiting if one.position in failed]
                if not waiting:
                    break
            assert not waiting
        client.close()

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(deliver, shared_out(random, events)))
    store = dynamo.store(BUILDER, cache=False)
    fold_parked(BUILDER, store, live(dynamo, BUILDER), events, FakeClock())
    found = sorted(text for texts in histories(dynamo).values() for text in texts)
    assert found == sorted(one.text for one in events)
    for profile in live(dynamo, BUILDER):
        assert len(history(store, profile, since=0)) == profile.event_count


def test_a_profile_without_a_function_writes_no_chunk_and_is_never_due(dynamo):
    dynamo.reset()
    plain = Builder(a_definition())
    events = contributions_of(plain, [an_event(messageId="1", userId="u")])
    assert Ingest(plain, dynamo.store(plain), FakeClock()).run(events).failed == []
    [item] = dynamo.items(dynamo.profiles_table)
    assert PROFILES_DUE not in item


def test_a_batch_that_touches_many_profiles_writes_their_chunks_together(dynamo):
    dynamo.reset()
    calls = []

    def count(name, arguments, call):
        calls.append(name)
        return call(**arguments)

    events = contributions_of(
        BUILDER, [an_event(messageId=f"m{number}", userId=f"u{number}") for number in range(40)]
    )
    ingest(dynamo.store(BUILDER, FaultyClient(dynamo.client, count)), events)
    assert calls.count("batch_execute_statement") == 2
    assert len(chunk_items(dynamo)) == 40
    assert all(len(texts) == 1 for texts in histories(dynamo).values())


def test_a_chunk_that_cannot_be_written_fails_its_own_group_alone(dynamo):
    dynamo.reset()
    events = [*some_events(1), *contributions_of(BUILDER, [an_event(messageId="other", userId="v")])]

    refused = plan(BUILDER, events[1:], Snapshot(), 1).puts[0].profile.id

    def refuse_one(name, arguments, call):
        if name == "batch_execute_statement" and refused in repr(arguments):
            raise ClientError({"Error": {"Code": "ItemCollectionSizeLimitExceeded", "Message": ""}}, "Any")
        return call(**arguments)

    store = dynamo.store(BUILDER, FaultyClient(dynamo.client, refuse_one))
    outcome = Ingest(BUILDER, store, FakeClock()).run(events)
    assert [reason for _, reason in outcome.failed] == ["ItemCollectionSizeLimitExceeded"]
    [texts] = histories(dynamo).values()
    assert texts == [events[0].text]
    ingest(dynamo.store(BUILDER), events)
    assert sorted(histories(dynamo).values()) == sorted([[one.text] for one in events])


def test_the_history_of_a_profile_that_a_transaction_merged_is_reached_from_the_other(dynamo):
    dynamo.reset()
    events = contributions_of(
        BUILDER,
        [
            an_event(messageId="1", userId="u", arrival=T0),
            an_event(messageId="2", anonymousId="c", arrival=T0 + 1),
            an_event(messageId="3", userId="u", anonymousId="c", arrival=T0 + 2),
            an_event(messageId="4", anonymousId="c", arrival=T0 + 3),
        ],
    )
    for one in events:
        ingest(dynamo.store(BUILDER, cache=False), [one])
    assert list(histories(dynamo).values()) == [[one.text for one in events]]


def test_a_merge_that_leaves_redirects_reaches_histories_through_them(dynamo):
    dynamo.reset()
    people = [
        an_event(messageId=f"{who}{at}", userId=who, anonymousId=f"{who}-{at}", arrival=T0 + at)
        for who in "uvw"
        for at in range(6)
    ]
    links = [
        an_event(messageId=f"link-{who}", userId="u", anonymousId=f"{who}-0", arrival=T0 + 100)
        for who in "vw"
    ]
    events = contributions_of(BUILDER, [*people, *links])
    for one in events:
        ingest(dynamo.store(BUILDER, cache=False), [one], actions_max=10)
    assert any(isinstance(one, Redirect) for one in dynamo.stored(BUILDER).values())
    [texts] = histories(dynamo).values()
    assert sorted(texts) == sorted(one.text for one in events)


def test_an_event_of_any_size_is_kept_whole(dynamo):
    """What does not compress takes several items."""
    dynamo.reset()
    noise = base64.b64encode(Random(1).randbytes(700_000)).decode()
    [small, *_] = some_events(1)
    [large] = some_events(1, arrival=T0 + 5000, properties={"noise": noise})
    large.key = (large.key[0], "large", 0)
    large.hash += 1
    ingest(dynamo.store(BUILDER), [small])
    ingest(dynamo.store(BUILDER), [large])
    ingest(
        dynamo.store(BUILDER),
        contributions_of(BUILDER, [an_event(messageId="3", userId="u", arrival=T0 + DAY)]),
    )
    assert len(chunk_items(dynamo)) > 3
    [texts] = histories(dynamo).values()
    assert texts[:2] == [small.text, large.text]


def test_a_history_of_many_chunks_is_read_in_order_and_only_as_far_back_as_its_window(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    events = contributions_of(
        BUILDER,
        [
            an_event(messageId=f"m{day:03}", userId="u", arrival=T0 + day * DAY, timestamp=T0 + day * DAY)
            for day in range(100)
        ],
    )
    for one in events:
        ingest(store, [one])
    [profile] = live(dynamo, BUILDER)
    assert history(store, profile) == [one.text for one in events[-31:]]
    assert len(store.chunks(profile, since_of(BUILDER, profile))) == 31


def test_no_chunk_goes_before_its_profile_or_before_one_that_leads_to_it(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    for day in range(0, 60, 10):
        ingest(
            store,
            contributions_of(BUILDER, [an_event(messageId=f"{day}", userId="u", arrival=T0 + day * DAY)]),
        )
    [item] = [one for one in dynamo.items(dynamo.profiles_table) if one[PROFILES_SK]["S"] == SK_PROFILE]
    chunks = sorted(chunk_items(dynamo), key=lambda one: one[PROFILES_SK]["S"])
    ends = [int(one[TTL_ATTRIBUTE]["N"]) for one in chunks]
    assert ends == sorted(ends)
    in_window = ends[-4:]
    assert min(in_window) >= int(item[TTL_ATTRIBUTE]["N"])


def test_a_chunk_that_is_not_to_be_seen_yet_is_looked_for_once_more(dynamo):
    dynamo.reset()
    ingest(dynamo.store(BUILDER), some_events(2))
    asked = []

    def stale(name, arguments, call):
        if name == "query":
            asked.append(arguments["ConsistentRead"])
            if not arguments["ConsistentRead"]:
                return {"Items": []}
        return call(**arguments)

    store = dynamo.store(BUILDER, FaultyClient(dynamo.client, stale))
    [profile] = live(dynamo, BUILDER)
    assert len(history(store, profile)) == 2
    assert asked == [False, True]


def test_a_history_that_is_gone_is_told_from_an_empty_one(dynamo):
    dynamo.reset()
    ingest(dynamo.store(BUILDER), some_events(2))
    [profile] = live(dynamo, BUILDER)
    for item in chunk_items(dynamo):
        key = {name: item[name] for name in ("pk", "sk")}
        dynamo.client.delete_item(TableName=dynamo.profiles_table, Key=key)
    with pytest.raises(HistoryGoneError):
        history(dynamo.store(BUILDER), profile)


def test_what_follows_the_stream_adds_to_the_history_that_was_loaded(dynamo):
    dynamo.reset()
    events = contributions_of(BUILDER, any_stream(Random(5), size_min=30, gap_ms=HOUR))
    events.sort(key=lambda one: one.order)
    tables = Tables(dynamo.profiles_table, dynamo.identifiers_table)
    t0 = events[20].arrival
    loader = DynamoLoader(dynamo.client, BUILDER, dynamo.version, tables, t0, FakeClock())
    planned = plan(BUILDER, events[:20], Snapshot(), t0 * 1000, None)
    for _ in range(2):  # a worker that died is called again
        loader.insert([planned])
    for one in events[20:]:
        ingest(dynamo.store(BUILDER, cache=False), [one])
    assert histories(dynamo) == expected(events)


def test_a_version_that_ends_takes_its_histories_along(dynamo):
    dynamo.reset()
    ingest(dynamo.store(BUILDER), some_events(3))
    assert chunk_items(dynamo)
    items = DynamoVersionItems(
        dynamo.client, Tables(dynamo.profiles_table, dynamo.identifiers_table), FakeClock()
    )
    assert items.sweep("people", dynamo.version, "", lambda: True).cursor is None
    assert dynamo.items(dynamo.profiles_table) == []


def test_a_parked_event_reaches_the_history_of_whoever_folds_it(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    first, second, third = some_events(3)
    ingest(store, [first])
    [profile] = live(dynamo, BUILDER)
    assert store.park(profile.id, f"{profile.id}/delta", [second])
    ingest(dynamo.store(BUILDER), [third])
    [texts] = histories(dynamo).values()
    assert texts == [first.text, second.text, third.text]


def test_profiles_of_a_release_without_histories_are_read_and_go_on(dynamo):
    """The definition of a version never changes, but an item may be older than what is written now."""
    dynamo.reset()
    plain = Builder(a_definition())
    old = contributions_of(plain, [an_event(messageId="old", userId="u")])
    assert Ingest(plain, dynamo.store(plain), FakeClock()).run(old).failed == []
    ingest(dynamo.store(BUILDER), some_events(1, arrival=T0 + HOUR))
    [profile] = live(dynamo, BUILDER)
    assert isinstance(profile, Profile)
    assert (profile.event_count, len(history(dynamo.store(BUILDER), profile))) == (2, 1)
