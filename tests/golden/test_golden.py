"""A state is for ever: what any release has written, this one reads, and it means the same."""

import json

import pytest

from shared.adapters.dynamo.items import Items
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.dynamo.overflow import CHUNKS
from shared.app.ingest import Ingest
from shared.contract import PROFILES_SK, SK_BODY_PREFIX, SK_DELTA_PREFIX, SK_HISTORY_PREFIX, SK_PROFILE
from shared.core.profile import Profile
from tests.golden.made import FILES, LARGE, PROFILES, Clock, builder, objects, tables
from tests.golden.reached import unreached
from tests.golden.read import READERS, meaning_of_object, tables_on, unpacked
from tests.golden.release import meaning, meaning_of, objects_of, releases, tables_of
from tests.people import an_event, contributions_of

RELEASES = releases()
OVERFLOW = f"{SK_BODY_PREFIX}overflow#"
CHANGED = (
    "what this release writes has changed. Nothing that a release wrote may ever become unreadable: "
    "see CONTRIBUTING.md, 'What Kith writes'"
)


def same(wanted, found):
    """Whether all that was meant is still meant; a later release may tell more."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(name in found and same(one, found[name]) for name, one in wanted.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(same, wanted, found))
    return wanted == found and type(wanted) is type(found)


def uncompressed(items):
    """Return the items byte for byte, but for those that another zlib or zstd would write otherwise."""
    return {
        table: [
            {name: value for name, value in one.items() if name != CHUNKS}
            for one in some
            if not one.get(PROFILES_SK, {"S": ""})["S"].startswith(
                (SK_DELTA_PREFIX, SK_HISTORY_PREFIX, OVERFLOW)
            )
        ]
        for table, some in items.items()
    }


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_what_a_release_has_written_means_what_it_meant(folder):
    found = json.loads(json.dumps(meaning(tables_of(folder), objects_of(folder))))
    for kind, wanted in meaning_of(folder).items():
        for name, one in wanted.items():
            assert same(one, found[kind][name]), f"{name} of {folder.name} means something else"


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_profiles_of_a_release_take_further_events_and_keep_what_they_were(folder):
    shoppers, table = builder(), tables_on(tables_of(folder))
    store = table.store(shoppers, LARGE)
    ids = [
        one["pk"]["S"].rpartition("#")[2]
        for one in tables_of(folder)[PROFILES]
        if one[PROFILES_SK]["S"] == SK_PROFILE and one["pk"]["S"].startswith(f"people#{LARGE}#")
    ]
    before = {one.id: one for one in store.profiles(ids, fresh=True).values() if isinstance(one, Profile)}
    assert before
    for profile in before.values():
        kind, value = min(profile.identifiers)
        field = {"user_id": "userId", "cookie_id": "anonymousId"}.get(kind)
        body = {field: value} if field else {"traits": {"email": value}}
        [event] = contributions_of(
            shoppers, [an_event(messageId=f"new {profile.id}", arrival=profile.updated_at + 1, **body)]
        )
        parked = sum(len(one) for one in store.deltas(profile.parked).values())
        assert not Ingest(shoppers, store, Clock()).run([event]).failed
        after = store.profiles([profile.id], fresh=True)[profile.id]
        assert profile.event_count < after.event_count <= profile.event_count + 1 + parked
        assert after.created_at == profile.created_at
        assert set(after.identifiers) >= set(profile.identifiers)


def test_the_golden_tables_hold_one_of_everything():
    items = tables_of(RELEASES[-1])[PROFILES]
    kinds = {one[PROFILES_SK]["S"].partition("#")[0] for one in items}
    beside = (SK_BODY_PREFIX, SK_DELTA_PREFIX, SK_HISTORY_PREFIX)
    assert kinds == {SK_PROFILE, *(one.rstrip("#") for one in beside)}
    assert {*READERS} == {*objects_of(RELEASES[-1])}
    assert {one["kind"]["S"] for one in items if "kind" in one} == {"tombstone", "redirect"}
    meant = meaning_of(RELEASES[-1])["tables"].values()
    assert any(one.get("segments") for one in meant if isinstance(one, dict))
    assert any(CHUNKS in one for one in items)
    computed = [one for one in meant if isinstance(one, dict) and one.get("computed")]
    assert {one["computed"]["basis"] == one["heads"] for one in computed} == {True, False}
    assert all(one["history"] for one in computed)
    assert any(one.get("merges") for one in meant if isinstance(one, dict))


def test_each_form_that_is_read_is_on_file():
    assert not unreached(RELEASES), "these lines read what nothing on file has: see CONTRIBUTING.md"


def test_a_form_that_nothing_on_file_has_is_found_out():
    """The negative control: only the first release wrote states of the first format."""
    assert any("/dynamo/state.py:" in one for one in unreached(RELEASES[1:]))


def test_the_last_release_on_file_is_what_this_one_writes():
    folder = RELEASES[-1]
    assert uncompressed(tables_of(folder)) == uncompressed(tables()), CHANGED
    assert same(meaning_of(folder), json.loads(json.dumps(meaning(tables(), objects())))), CHANGED
    assert {name: unpacked(name, data) for name, data in objects_of(folder).items()} == {
        name: unpacked(name, data) for name, data in objects().items()
    }, CHANGED


def test_a_state_that_means_something_else_is_found_out():
    """The negative control: what the comparison lets pass, it would let pass of a release, too."""
    folder = RELEASES[-1]
    wanted = meaning_of(folder)["tables"]
    items = tables_of(folder)
    profile = next(one for one in items[PROFILES] if "event_count" in one and CHUNKS not in one)
    profile["event_count"] = {"N": "1"}
    found = json.loads(json.dumps(meaning(items, {})))["tables"]
    assert not all(same(one, found[name]) for name, one in wanted.items())


def test_a_definition_on_file_is_read_with_its_files():
    means = meaning_of_object("definition.json", objects_of(RELEASES[-1])["definition.json"])
    assert means["files"]["transform.py"] == FILES["transform.py"]


def test_every_item_on_file_carries_the_format_of_its_state():
    items = Items(builder(), Keyspace("people", LARGE))
    for one in tables_of(RELEASES[-1])[PROFILES]:
        if "state" in one and one[PROFILES_SK]["S"] == SK_PROFILE:
            unknown = one | {"state": {"B": b"\xff" + one["state"]["B"][1:]}}
            with pytest.raises(Exception, match="format ff"):
                items.stored(unknown)
