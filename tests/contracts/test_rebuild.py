"""A rebuild into DynamoDB: the loader, the active version's profiles, and the deletion of a version."""

from itertools import count
from random import Random

import pytest

from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.active import DynamoActiveProfiles
from shared.adapters.dynamo.attempts import ThrottledError
from shared.adapters.dynamo.inserts import NotInsertedError
from shared.adapters.dynamo.lines import DynamoLines
from shared.adapters.dynamo.loader import DynamoLoader
from shared.adapters.dynamo.sweep import DynamoVersionItems
from shared.adapters.memory_store import MemoryStore
from shared.app.ingest import Ingest
from shared.app.rebuild.build import BuildName
from shared.contract import STREAM_RETENTION_H, USER_STORE_PK
from shared.core.compile import Builder
from shared.core.identity.identifiers import Identifier
from shared.core.plan import plan
from shared.core.profile import Profile, canonical, expiry
from shared.core.snapshot import Snapshot
from tests.app.rebuilding import NEW, OLD, World, any_records
from tests.contracts.worlds import (
    FakeClock,
    assert_children_outlive_their_profiles,
    assert_consistent,
    lines,
    live,
)
from tests.fakes.rebuild import MemoryActiveProfiles, MemoryLoader
from tests.people import DAY, HOUR, T0, a_definition, an_event, any_stream, contributions_of

BUILDER = Builder(a_definition())
UNITS_PER_S = 0.001


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr("shared.app.rebuild.plan.PART_BYTES", 1500)
    monkeypatch.setattr("shared.app.rebuild.link.PARTITION_BYTES", 4000)
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_TOGETHER", 3)


def tables(dynamo):
    return Tables(dynamo.profiles_table, dynamo.identifiers_table)


def a_loader(dynamo, t0=T0, client=None, **options):
    return DynamoLoader(
        client or dynamo.client, BUILDER, dynamo.version, tables(dynamo), t0, FakeClock(), **options
    )


def active_profiles(dynamo):
    return DynamoActiveProfiles(dynamo.client, BUILDER, dynamo.version, tables(dynamo), FakeClock())


class RebuiltInDynamo(World):
    """The new version is in DynamoDB, the old one in memory."""

    def __init__(self, dynamo, random, records):
        super().__init__(random, records, BUILDER)
        self.dynamo = dynamo

    def store(self, version):
        return self.dynamo.store(BUILDER) if version == NEW else super().store(version)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gap_ms", [2 * DAY, 40 * DAY])
def test_a_rebuild_into_dynamodb_and_what_follows_give_what_they_give_in_memory(dynamo, seed, gap_ms):
    dynamo.reset()
    records = any_records(Random(seed), gap_ms=gap_ms)
    t0 = records[len(records) * 2 // 3].arrival
    in_memory = World(Random(seed), records, BUILDER)
    in_memory.loader = MemoryLoader(in_memory.stores[NEW], gone_before=t0)
    stored = RebuiltInDynamo(dynamo, Random(seed), records)
    stored.loader = a_loader(dynamo, t0)
    for world in (in_memory, stored):
        world.live(OLD)
        world.plan(t0)
        world.rebuild()
    assert sorted(lines(dynamo, BUILDER)) == sorted(in_memory.shown(NEW))
    assert_consistent(dynamo, BUILDER)
    assert_children_outlive_their_profiles(dynamo, BUILDER)
    for world in (in_memory, stored):
        world.follow()
    still = [canonical(BUILDER, one) for one in live(dynamo, BUILDER) if expiry(BUILDER, one) >= t0]
    assert sorted(still) == sorted(in_memory.shown(NEW))
    assert_consistent(dynamo, BUILDER)


def planned(events, t0=T0 + DAY):
    return plan(BUILDER, contributions_of(BUILDER, events), Snapshot(), t0 * 1000, None)


def test_what_is_there_already_is_never_written_over(dynamo):
    dynamo.reset()
    loader = a_loader(dynamo)
    events = [an_event(messageId="1", userId="u", anonymousId="a")]
    loader.insert([planned(events)])
    later = contributions_of(BUILDER, [an_event(messageId="2", userId="u", arrival=T0 + HOUR)])
    Ingest(BUILDER, dynamo.store(BUILDER), FakeClock()).run(later)
    before = lines(dynamo, BUILDER)
    loader.insert([planned(events)])
    assert lines(dynamo, BUILDER) == before
    assert_consistent(dynamo, BUILDER)


def large_events(**who):
    """One person with lists of more than a thousand long entries, in an item that overflows."""
    number = count()
    return [
        an_event(
            messageId=f"m{one}",
            **(who or {"userId": "large"}),
            type="identify",
            arrival=T0 + one,
            traits={f"t{one}": "x" * 4000},
            properties={"pages": [f"/{next(number)}/" + "y" * 40 for _ in range(15)], "tags": [f"t{one}"]},
        )
        for one in range(90)
    ]


def test_a_large_profile_is_laid_out_so_that_the_next_write_finds_nothing_unusual(dynamo):
    dynamo.reset()
    events = large_events()
    store, loader = MemoryStore(), a_loader(dynamo)
    loader.insert([planned(events)])
    MemoryLoader(store).insert([planned(events)])
    more = contributions_of(
        BUILDER, [an_event(messageId="more", userId="large", arrival=T0 + HOUR, properties={"page": "/new"})]
    )
    names = {item["sk"]["S"].rpartition("#")[0] for item in dynamo.items(dynamo.profiles_table)}
    assert any(one.startswith("body#overflow") for one in names), "chunks"
    assert "body" in names, "segments"
    for one in (dynamo.store(BUILDER), store):
        outcome = Ingest(BUILDER, one, FakeClock()).run(more)
        assert (outcome.failed, outcome.tally["conflicts"]) == ([], 0)
    [profile] = [one for one in store.stored.values() if isinstance(one, Profile)]
    assert lines(dynamo, BUILDER) == [canonical(BUILDER, profile)]
    assert_children_outlive_their_profiles(dynamo, BUILDER)


def expires_at(dynamo, table):
    return [int(item["expires_at"]["N"]) * 1000 for item in dynamo.items(table)]


def test_what_expires_soon_after_t0_stays_until_the_consumer_has_come_by_its_next_event(dynamo):
    dynamo.reset()
    first = [an_event(messageId="1", anonymousId="a", arrival=T0), *large_events()]
    [soon, *_] = [put.profile for put in planned(first).puts if put.profile.event_count == 1]
    t0 = expiry(BUILDER, soon) - HOUR
    loader = a_loader(dynamo, t0)
    for _ in range(2):
        loader.insert([planned(first, t0)])
    kept_until = t0 + STREAM_RETENTION_H * HOUR
    for table in (dynamo.profiles_table, dynamo.identifiers_table):
        assert min(expires_at(dynamo, table)) >= kept_until
    assert_children_outlive_their_profiles(dynamo, BUILDER)
    again = an_event(messageId="again", anonymousId="a", arrival=t0 + HOUR // 2)
    Ingest(BUILDER, dynamo.store(BUILDER), FakeClock()).run(contributions_of(BUILDER, [again]))
    [profile] = [one for one in live(dynamo, BUILDER) if one.id == soon.id]
    assert profile.event_count == 2
    [item] = [one for one in dynamo.items(dynamo.profiles_table) if one["pk"]["S"].endswith(soon.id)]
    assert int(item["expires_at"]["N"]) == -(-expiry(BUILDER, profile) // 1000)
    assert_children_outlive_their_profiles(dynamo, BUILDER)


@pytest.mark.parametrize("is_large", [False, True])
def test_whether_an_active_profile_is_live_it_says_itself_whatever_its_ttl_is(dynamo, is_large):
    dynamo.reset()
    users, others = {"userId": "u"}, {"anonymousId": "a"}
    for who in (users, others):
        events = large_events(**who) if is_large else [an_event(messageId="1", arrival=T0, **who)]
        a_loader(dynamo, T0 + 27 * DAY).insert([planned(events)])
    assert min(expires_at(dynamo, dynamo.profiles_table)) >= T0 + 34 * DAY
    user, other = Identifier("user_id", "u"), Identifier("cookie_id", "a")
    for days, owned in ((29, {user, other}), (33, {user}), (500, set())):
        assert set(active_profiles(dynamo).owners({user, other}, T0 + days * DAY)) == owned


def test_the_rate_of_writes_is_capped(dynamo):
    dynamo.reset()
    waits = []
    loader = a_loader(dynamo, units_per_s=10, wait=waits.append)
    loader.insert(
        [planned([an_event(messageId=str(one), userId=f"u{one}", arrival=T0)]) for one in range(60)]
    )
    # The first call waits for nothing; each further one until what was taken before it is paid for.
    assert loader.units.writes == 120
    assert max(waits) > 5


class Answering:
    """A client that answers some statements with an error first."""

    def __init__(self, client, codes):
        self.client = client
        self.codes = codes

    def batch_execute_statement(self, Statements):  # noqa: N803
        if not self.codes:
            return self.client.batch_execute_statement(Statements=Statements)
        code = self.codes.pop()
        rest = []
        if Statements[1:]:
            rest = self.client.batch_execute_statement(Statements=Statements[1:])["Responses"]
        return {"Responses": [{"Error": {"Code": code}}, *rest]}


def test_what_is_throttled_is_inserted_again_and_what_is_refused_is_an_error(dynamo):
    dynamo.reset()
    events = [an_event(messageId="1", userId="u", anonymousId="a")]
    codes = ["ThrottlingError", "ProvisionedThroughputExceeded"]
    a_loader(dynamo, client=Answering(dynamo.client, codes)).insert([planned(events)])
    assert len(live(dynamo, BUILDER)) == 1
    assert_consistent(dynamo, BUILDER)
    with pytest.raises(NotInsertedError, match="AccessDenied"):
        a_loader(dynamo, client=Answering(dynamo.client, ["AccessDenied"])).insert([planned(events)])
    with pytest.raises(ThrottledError, match="1 items are left after 10 calls"):
        a_loader(dynamo, client=Answering(dynamo.client, ["ThrottlingError"] * 10)).insert(
            [planned([an_event(messageId="2", userId="v")])]
        )


@pytest.mark.parametrize("seed", range(4))
def test_owners_and_lines_are_those_of_the_live_profiles(dynamo, seed):
    dynamo.reset()
    random = Random(seed)
    events = contributions_of(BUILDER, any_stream(random, gap_ms=20 * DAY))
    events.sort(key=lambda one: one.order)
    store = MemoryStore()
    for one in (store, dynamo.store(BUILDER)):
        for event in events:
            Ingest(BUILDER, one, FakeClock()).run([event])
    at = events[len(events) * 2 // 3].arrival
    identifiers = {one for event in events for one in event.identifiers}
    active = active_profiles(dynamo)
    assert active.owners(identifiers, at) == MemoryActiveProfiles(BUILDER, store).owners(identifiers, at)
    shown = DynamoLines(dynamo.client, {dynamo.version: BUILDER}, tables(dynamo), FakeClock())
    ids = [*store.stored, "0" * 32]
    assert sorted(shown.canonical(dynamo.version, ids).values()) == sorted(lines(dynamo, BUILDER))


def test_all_items_of_a_version_are_deleted_in_slices_and_none_of_another(dynamo):
    dynamo.reset()
    loader = a_loader(dynamo)
    loader.insert(
        [planned([an_event(messageId=str(one), userId=f"u{one}", arrival=T0)]) for one in range(30)]
    )
    loader.insert([planned(large_events())])
    gone = BuildName(BUILDER.name, dynamo.version)
    dynamo.reset()
    a_loader(dynamo).insert([planned([an_event(messageId="1", userId="stays")])])
    kept = lines(dynamo, BUILDER)
    waits = []
    items = DynamoVersionItems(
        dynamo.client, tables(dynamo), FakeClock(), units_per_s=UNITS_PER_S, wait=waits.append
    )
    cursor, deleted, calls = "", 0, 0
    while cursor is not None:
        turns = iter(range(1 + calls))
        cursor, some = items.sweep(
            gone.builder, gone.version, cursor, lambda turns=turns: next(turns, None) is not None
        )
        deleted, calls = deleted + some, calls + 1
    assert deleted > 60
    assert calls > 1
    assert lines(dynamo, BUILDER) == kept
    assert_consistent(dynamo, BUILDER)
    # What is deleted takes its size, however small its key is: the segments of the large profile above all.
    assert max(waits) * UNITS_PER_S > deleted // 2, "each delete after those before it"
    dynamo.version -= 1
    assert dynamo.items(dynamo.profiles_table) == dynamo.items(dynamo.identifiers_table) == []
    dynamo.version += 1


def test_a_version_that_ends_takes_along_what_its_user_code_kept(dynamo):
    table = f"kept-{dynamo.profiles_table}"
    dynamo.client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": USER_STORE_PK, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": USER_STORE_PK, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for pk in ("people#7#a", "people#7#b#c", "people#70#a", "other#7#a"):
        dynamo.client.put_item(TableName=table, Item={USER_STORE_PK: {"S": pk}})
    items = DynamoVersionItems(dynamo.client, tables(dynamo), FakeClock(), user_store=table)
    assert items.sweep("people", 7, "", lambda: True).cursor is None
    left = dynamo.client.scan(TableName=table)["Items"]
    assert sorted(one[USER_STORE_PK]["S"] for one in left) == ["other#7#a", "people#70#a"]
    dynamo.client.delete_table(TableName=table)
