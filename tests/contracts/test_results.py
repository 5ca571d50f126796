"""What is stored of runs of profile functions beside histories: results, and failures."""

import time
from random import Random

import pytest

from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.loader import DynamoLoader
from shared.app.functions.dispatch import Due
from shared.app.functions.failing import Backoff, Failing
from shared.app.functions.results import plan_of_result, since_of
from shared.app.functions.run import Became, Runs
from shared.app.ingest import Ingest
from shared.app.ports import Committed, Conflict
from shared.contract import PROFILES_DUE, PROFILES_SK, SK_PROFILE, STREAM_RETENTION_H, TTL_ATTRIBUTE
from shared.core.functions import FunctionResult
from shared.core.history import HistoryGoneError
from shared.core.plan import plan
from shared.core.profile import expiry, present
from shared.core.snapshot import Snapshot
from tests.contracts.test_faults import FaultyClient
from tests.contracts.test_history import BUILDER, history, ingest, some_events
from tests.contracts.worlds import FakeClock, assert_children_outlive_their_profiles, live
from tests.fakes.functions import FakeFunction, counting
from tests.people import HOUR, T0, an_event, contributions_of


def due(world):
    """What the items of profiles say of when their function is to run."""
    items = world.items(world.profiles_table)
    return [one.get(PROFILES_DUE) for one in items if one[PROFILES_SK]["S"] == SK_PROFILE]


def test_a_result_is_stored_with_its_profile_and_only_if_nothing_newer_was(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    first, second = some_events(2, type="identify", traits={"plan": "free"})
    ingest(store, [first])
    [profile] = live(dynamo, BUILDER)
    [item] = [one for one in dynamo.items(dynamo.profiles_table) if one[PROFILES_SK]["S"] == SK_PROFILE]
    assert item[PROFILES_DUE] == {"N": "7"}
    result = FunctionResult({"plan": "pro", "odd": [{"": 1}], "hidden": None}, "row", "dest", "people")
    assert store.commit([plan_of_result(BUILDER, profile, result, FakeClock().now_us())]) == [Committed()]
    [item] = [one for one in dynamo.items(dynamo.profiles_table) if one[PROFILES_SK]["S"] == SK_PROFILE]
    assert PROFILES_DUE not in item
    assert item["computed"]["M"]["published_id"] == {"S": "row"}
    [stored] = live(dynamo, BUILDER)
    shown = present(BUILDER, stored)
    assert shown["traits"] == {"plan": "pro", "odd": [{"": 1}]}
    assert (shown["published_id"], shown["destination_id"], shown["table_name"]) == ("row", "dest", "people")
    [result] = store.commit([plan_of_result(BUILDER, profile, None, FakeClock().now_us())])
    assert isinstance(result, Conflict)

    ingest(dynamo.store(BUILDER), [second])
    [after] = live(dynamo, BUILDER)
    assert after.is_due
    assert present(BUILDER, after)["traits"] == shown["traits"]
    assert after.computed.basis == stored.heads


def test_an_event_that_is_parked_beside_a_profile_leaves_it_due(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    first, second = some_events(2)
    ingest(store, [first])
    [profile] = live(dynamo, BUILDER)
    assert store.commit([plan_of_result(BUILDER, profile, None, 1)]) == [Committed()]
    assert due(dynamo) == [None]
    assert store.park(profile.id, f"{profile.id}/delta", [second])
    assert due(dynamo) == [{"N": "7"}]
    Ingest(BUILDER, store, FakeClock()).run((), beside=[profile.id])
    [profile] = live(dynamo, BUILDER)
    assert (profile.event_count, profile.parked, profile.is_due) == (2, (), True)


def test_a_result_is_not_written_over_the_due_of_what_was_parked_meanwhile(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    first, second, third = some_events(3)
    ingest(store, [first])
    [profile] = live(dynamo, BUILDER)
    assert store.park(profile.id, f"{profile.id}/folded", [second])
    Ingest(BUILDER, store, FakeClock()).run((), beside=[profile.id])
    [profile] = live(dynamo, BUILDER)
    assert store.park(profile.id, f"{profile.id}/gone", ())
    [profile] = live(dynamo, BUILDER)
    planned = plan_of_result(BUILDER, profile, None, 1)
    planned.puts[0].profile.parked = ()
    assert store.park(profile.id, f"{profile.id}/delta", [third])
    [result] = store.commit([planned])
    assert isinstance(result, Conflict)
    assert due(dynamo) == [{"N": "7"}]


def test_what_was_loaded_stays_as_long_as_it_was_to_when_a_result_is_written_and_its_children_longer(dynamo):
    dynamo.reset()
    [event] = contributions_of(BUILDER, [an_event(messageId="1", anonymousId="a", arrival=T0)])
    tables = Tables(dynamo.profiles_table, dynamo.identifiers_table)
    planned = plan(BUILDER, [event], Snapshot(), T0 * 1000, None)
    t0 = expiry(BUILDER, planned.puts[0].profile) - HOUR
    DynamoLoader(dynamo.client, BUILDER, dynamo.version, tables, t0, FakeClock()).insert([planned])
    [profile] = live(dynamo, BUILDER)
    assert profile.kept_until >= t0 + STREAM_RETENTION_H * HOUR > expiry(BUILDER, profile)
    written = plan_of_result(BUILDER, profile, FunctionResult({"plan": "pro"}), FakeClock().now_us())
    assert dynamo.store(BUILDER).commit([written]) == [Committed()]
    [after] = live(dynamo, BUILDER)
    assert (after.kept_until, after.is_due) == (profile.kept_until, False)
    assert_children_outlive_their_profiles(dynamo, BUILDER)


def test_a_history_that_was_put_together_is_read_by_the_names_of_its_chunks(
    dynamo,
):
    dynamo.reset()
    store = dynamo.store(BUILDER, cache=False)
    large = Random(1).randbytes(500_000).hex()
    many = [*range(6), "large", *range(7, 13)]
    for number in many:
        properties = {"text": large} if number == "large" else {}
        event = an_event(messageId=f"m{number}", userId="u", arrival=T0, properties=properties)
        ingest(store, contributions_of(BUILDER, [event]))
    [profile] = live(dynamo, BUILDER)
    before = history(store, profile)
    function = FakeFunction(counting)
    runs = Runs(BUILDER, 0, store, function, FakeClock(), Backoff(6, 30), small_max=6)
    assert runs.run(Due("people", 1, profile.id, profile.rev)).became is Became.WRITTEN
    [profile] = live(dynamo, BUILDER)
    since = since_of(BUILDER, profile)
    assert len(store.chunks(profile, since)) == 1 + 7
    assert history(store, profile) == before
    assert len(before) == len(many)
    assert not profile.is_due
    queries = []

    def count(name, arguments, call):
        queries.append((name, len(call(**arguments).get("Items", ()))))
        return call(**arguments)

    counted = dynamo.store(BUILDER, FaultyClient(dynamo.client, count))
    assert list(counted.chunks(profile, since).values()) == list(store.chunks(profile, since).values())
    assert [name for name, _ in queries] == ["query", "batch_get_item", "batch_get_item"]
    ingest(store, contributions_of(BUILDER, [an_event(messageId="next", userId="u", arrival=T0 + 1)]))
    [profile] = live(dynamo, BUILDER)
    assert len(history(store, profile)) == len(many) + 1
    assert_children_outlive_their_profiles(dynamo, BUILDER)


def test_a_named_chunk_that_is_gone_is_told(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER, cache=False)
    text = Random(2).randbytes(100_000).hex()
    for number in range(4):
        properties = {"text": text} if number == 0 else {}
        event = an_event(messageId=f"m{number}", userId="u", arrival=T0 + number, properties=properties)
        ingest(store, contributions_of(BUILDER, [event]))
    [profile] = live(dynamo, BUILDER)
    runs = Runs(BUILDER, 0, store, FakeFunction(counting), FakeClock(), Backoff(6, 30), small_max=3)
    runs.run(Due("people", 1, profile.id, profile.rev))
    [profile] = live(dynamo, BUILDER)
    [first] = store.chunks(profile, T0).keys() - set(profile.heads)
    key = {"pk": {"S": f"people#{dynamo.version}#{profile.id}"}, "sk": {"S": f"history#{first.name}"}}
    dynamo.client.delete_item(TableName=dynamo.profiles_table, Key=key)
    with pytest.raises(HistoryGoneError):
        store.chunks(profile, T0)


def test_failures_of_a_function_are_kept_beside_its_profile_and_go_with_their_version_or_by_their_ttl(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    assert store.failing("0" * 32) is None
    for failing in (Failing(1, 7, 8), Failing(2, 9, 0)):
        store.failed("0" * 32, failing)
        assert store.failing("0" * 32) == failing
    [item] = dynamo.items(dynamo.profiles_table)
    assert PROFILES_DUE not in item
    assert int(item[TTL_ATTRIBUTE]["N"]) > time.time() + 86_400
