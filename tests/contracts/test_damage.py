"""Items of DynamoDB that are damaged: whoever reads them says so, and goes on with the rest."""

import pytest

from shared.adapters.dynamo import deltas
from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.active import DynamoActiveProfiles
from shared.adapters.dynamo.lines import DynamoLines
from shared.app.damage import DamagedError
from shared.app.ingest import Ingest
from shared.app.read import Reader
from shared.contract import SK_PROFILE
from shared.core.compile import Builder
from shared.core.identity.identifiers import Identifier
from shared.core.spool import pack
from tests.contracts.worlds import FakeClock, live
from tests.people import T0, a_definition, an_event, contributions_of

BUILDER = Builder(a_definition())
ANN, BOB = Identifier("user_id", "ann"), Identifier("user_id", "bob")
GARBAGE = {"B": b"\x02\xff\xff"}


def events_of(user, first, count=1):
    return contributions_of(
        BUILDER,
        [
            an_event(type="page", userId=user, messageId=f"{user}-{at}", properties={"url": f"/{at}"})
            for at in range(first, first + count)
        ],
    )


def ingest(store, *batches):
    return Ingest(BUILDER, store, FakeClock()).run([one for batch in batches for one in batch])


@pytest.fixture
def people(dynamo):
    """Ann, whose list and memory have segments, and Bob."""
    dynamo.reset()
    store = dynamo.store(BUILDER)
    for first in range(0, 600, 100):
        assert not ingest(store, events_of("ann", first, 100)).failed
    assert not ingest(store, events_of("bob", 0)).failed
    return dynamo


def profile_of(people, user):
    [found] = [one for one in live(people, BUILDER) if Identifier("user_id", user) in one.identifiers]
    return found


def items_of(people, profile_id, begins):
    return [
        item
        for item in people.items(people.profiles_table)
        if item["pk"]["S"].endswith(profile_id) and item["sk"]["S"].startswith(begins)
    ]


def put(people, item, table=None):
    people.client.put_item(TableName=table or people.profiles_table, Item=item)


def damage_state(people, ann):
    [item] = items_of(people, ann.id, SK_PROFILE)
    put(people, item | {"state": GARBAGE})


def damage_format(people, ann):
    [item] = items_of(people, ann.id, SK_PROFILE)
    put(people, item | {"state": {"B": b"\x7f" + item["state"]["B"][1:]}})


def strip(people, ann):
    [item] = items_of(people, ann.id, SK_PROFILE)
    put(people, {key: item[key] for key in ("pk", "sk")})


def damage_chunks(people, ann):
    [item] = items_of(people, ann.id, SK_PROFILE)
    put(people, item | {"chunks": {"N": "1"}})


def damage_pointer(people, _ann):
    [item] = [one for one in people.items(people.identifiers_table) if one["pk"]["S"].endswith("#ann")]
    put(people, item | {"profile_id": {"N": "7"}}, people.identifiers_table)


def damage_delta(people, ann):
    store = people.store(BUILDER)
    assert store.park(ann.id, f"{ann.id}/shard#1", events_of("ann", 900))
    [item] = items_of(people, ann.id, "delta#")
    put(people, item | {"state": GARBAGE})


def damage_segments(people, ann):
    segments = items_of(people, ann.id, "body#")
    assert segments
    for item in segments:
        put(people, item | {"state": GARBAGE})


DAMAGES = [
    damage_state,
    damage_format,
    strip,
    damage_chunks,
    damage_pointer,
    damage_delta,
    damage_segments,
]


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_item_sets_aside_the_events_of_its_own_people(people, damage, cache):
    ann, bob = profile_of(people, "ann"), profile_of(people, "bob")
    store = people.store(BUILDER, cache=cache)
    damage(people, ann)
    outcome = ingest(store, events_of("ann", 1000, 300), events_of("bob", 1, 2))
    assert outcome.failed == []
    assert len(outcome.damaged) == 300
    [note] = [one for one in outcome.notes if one.what == "damaged"]
    assert "ann" not in str(note)
    [item] = items_of(people, bob.id, SK_PROFILE)
    assert item["event_count"] == {"N": "3"}
    assert not [one for one in items_of(people, ann.id, SK_PROFILE) if one.get("event_count") == {"N": "900"}]


def test_a_profile_that_is_damaged_behind_a_processs_back_is_found_out_by_its_write(people):
    ann = profile_of(people, "ann")
    store = people.store(BUILDER)
    assert not ingest(store, events_of("ann", 700)).damaged
    [item] = items_of(people, ann.id, SK_PROFILE)
    put(people, item | {"state": GARBAGE, "rev": {"N": "1"}})
    outcome = ingest(store, events_of("ann", 701), events_of("bob", 1))
    assert (outcome.failed, len(outcome.damaged)) == ([], 1)


@pytest.mark.parametrize("damage", DAMAGES)
def test_readers_say_what_cannot_be_read(people, damage):
    damage(people, profile_of(people, "ann"))
    reader = Reader(BUILDER, people.store(BUILDER, cache=False), lambda: T0)
    with pytest.raises(DamagedError):
        reader.by_identifier(ANN)
    assert reader.by_identifier(BOB).event_count == 1


@pytest.mark.parametrize("damage", [damage_state, strip, damage_chunks, damage_pointer])
def test_a_rebuild_goes_on_without_what_is_damaged_of_the_active_version(people, damage):
    ann, bob = profile_of(people, "ann"), profile_of(people, "bob")
    damage(people, ann)
    tables = Tables(people.profiles_table, people.identifiers_table)
    active = DynamoActiveProfiles(people.client, BUILDER, people.version, tables, FakeClock())
    owners = active.owners([ANN, BOB], T0)
    assert owners[BOB].profile_id == bob.id
    lines = DynamoLines(people.client, {people.version: BUILDER}, tables, FakeClock())
    assert bob.id in lines.canonical(people.version, [ann.id, bob.id])


def test_a_damaged_pointer_of_a_profile_that_is_to_be_merged_is_found_out_by_its_write(people):
    """Where a profile lists an identifier, nobody reads its pointer."""
    link = contributions_of(
        BUILDER, [named("ann", 2000, anonymousId="c"), named("bob", 2000, anonymousId="d")]
    )
    ingest(people.store(BUILDER), link)
    for pointer in people.items(people.identifiers_table):
        if pointer["pk"]["S"].endswith(("#c", "#d")):
            put(people, pointer | {"profile_id": {"N": "7"}}, people.identifiers_table)
    event = an_event(type="page", userId="ann", messageId="link", traits={"email": "a@example.com"})
    other = an_event(type="page", userId="bob", messageId="link too", traits={"email": "a@example.com"})
    outcome = ingest(people.store(BUILDER), contributions_of(BUILDER, [event, other]))
    assert (outcome.failed, len(outcome.damaged)) == ([], 2)
    assert outcome.tally["conflicts"] == 0


def test_a_redirect_stays_for_a_pointer_that_cannot_be_moved_as_it_is_damaged(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    for user in ("ann", "bob"):
        ingest(
            store, contributions_of(BUILDER, [named(user, at, anonymousId=f"{user}-{at}") for at in range(8)])
        )
    pointer = next(one for one in dynamo.items(dynamo.identifiers_table) if one["pk"]["S"].endswith("#bob-7"))
    put(dynamo, pointer | {"profile_id": {"N": "7"}}, dynamo.identifiers_table)
    link = [named(user, 8, anonymousId="shared") for user in ("ann", "bob")]
    outcome = Ingest(BUILDER, store, FakeClock(), actions_max=8).run(contributions_of(BUILDER, link))
    assert outcome.tally["profiles_merged"] == 1
    put(dynamo, pointer, dynamo.identifiers_table)
    [redirect] = [one for one in dynamo.items(dynamo.profiles_table) if "redirect" in one]
    assert "expires_at" not in redirect
    ingest(
        dynamo.store(BUILDER), contributions_of(BUILDER, [an_event(anonymousId="bob-7", messageId="later")])
    )
    [profile] = live(dynamo, BUILDER)
    assert profile.event_count == 19


def named(user, number, **more):
    arrival = T0 + number + (user == "bob")  # so Ann's profile is the older one, and stays
    return an_event(type="page", userId=user, messageId=f"{user}-{number}", arrival=arrival, **more)


def test_events_that_nobody_would_unpack_are_not_parked(people, monkeypatch):
    ann, waiting = profile_of(people, "ann"), events_of("ann", 900)
    monkeypatch.setattr(deltas, "PLAIN_BYTES_MAX", len(pack(waiting)) - 1)
    store = people.store(BUILDER)
    assert not store.park(ann.id, f"{ann.id}/shard#1", waiting)
    assert not items_of(people, ann.id, "delta#")
    monkeypatch.setattr(deltas, "PLAIN_BYTES_MAX", len(pack(waiting)))
    assert store.park(ann.id, f"{ann.id}/shard#1", waiting)
    [item] = items_of(people, ann.id, "delta#")
    assert deltas.contributions_of(item) == waiting
