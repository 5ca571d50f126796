"""Reading: a profile as it is now, whatever waits beside it and wherever its pointers still lead."""

import pytest

from shared.adapters.memory_store import MemoryStore
from shared.app.functions.results import computed_of
from shared.app.ingest import Ingest
from shared.app.ports import SegmentGoneError
from shared.app.read import Reader, UnusableIdentifierError, identifier_of, why
from shared.core.compile import Builder
from shared.core.functions import FunctionResult
from shared.core.identity.identifiers import Identifier
from shared.core.plan import play, play_with_history
from shared.core.profile import canonical
from shared.core.snapshot import Pointer, Redirect, Tombstone
from shared.core.times import format_time
from tests.people import DAY, T0, a_definition, an_event, contributions_of

BUILDER = Builder(a_definition())
USER = Identifier("user_id", "u1")
COOKIE = Identifier("cookie_id", "c1")


class FakeClock:
    def now_us(self):
        return T0 * 1000

    def pause(self, _attempt):
        raise AssertionError("nothing races here")


def a_store(*events):
    store = MemoryStore()
    Ingest(BUILDER, store, FakeClock()).run(contributions_of(BUILDER, events))
    return store


def a_reader(store, now=T0):
    return Reader(BUILDER, store, lambda: now)


def an_order(number, **changes):
    body = {"messageId": f"m{number}", "userId": "u1", "event": "Order", "properties": {"total": number}}
    return an_event(**(body | changes))


def test_a_profile_is_found_by_each_identifier_and_by_its_id():
    store = a_store(an_order(1, anonymousId="c1"))
    reader = a_reader(store)
    found = reader.by_identifier(USER)
    assert found is not None
    assert reader.by_identifier(COOKIE) == found
    assert reader.by_id(found.id) == found


def test_what_is_not_there_is_none():
    reader = a_reader(a_store())
    assert reader.by_identifier(USER) is None
    assert reader.by_id("no such id") is None


def test_an_expired_profile_is_none_though_it_is_still_stored():
    store = a_store(an_event(messageId="1", anonymousId="c1"))
    assert a_reader(store, T0 + 28 * DAY).by_identifier(COOKIE) is not None
    assert a_reader(store, T0 + 32 * DAY).by_identifier(COOKIE) is None


def test_a_redirect_is_followed_by_pointer_and_by_id():
    store = a_store(an_order(1))
    profile = a_reader(store).by_identifier(USER)
    store.stored["merged"] = Redirect("merged", 1, profile.id)
    store.pointed[USER] = Pointer("merged", T0)
    assert a_reader(store).by_identifier(USER) == profile
    assert a_reader(store).by_id("merged") == profile


def test_redirects_in_a_circle_lead_nowhere():
    store = a_store()
    store.stored["a"] = Redirect("a", 1, "b")
    store.stored["b"] = Redirect("b", 1, "a")
    assert a_reader(store).by_id("a") is None


def test_a_pointer_to_a_tombstone_or_to_somebody_else_is_none():
    store = a_store(an_order(1))
    profile = a_reader(store).by_identifier(USER)
    store.stored["gone"] = Tombstone("gone", 1, ())
    store.pointed[COOKIE] = Pointer("gone", T0)
    assert a_reader(store).by_identifier(COOKIE) is None
    store.pointed[COOKIE] = Pointer(profile.id, T0)
    assert a_reader(store).by_identifier(COOKIE) is None


def test_a_founder_whose_pointer_was_never_written_is_found():
    store = a_store(an_order(1))
    del store.pointed[USER]
    assert a_reader(store).by_identifier(USER) is not None


def test_parked_events_are_seen_before_anybody_has_folded_them():
    store = a_store(an_order(1))
    profile = a_reader(store).by_identifier(USER)
    waiting = contributions_of(BUILDER, [an_order(2, anonymousId="c1"), an_order(3)])
    store.park(profile.id, f"{profile.id}/s#1#0", waiting)
    stored = canonical(BUILDER, store.stored[profile.id])

    seen = a_reader(store).by_id(profile.id)
    assert seen.event_count == 3
    assert canonical(BUILDER, store.stored[profile.id]) == stored, "reading writes nothing"
    Ingest(BUILDER, store, FakeClock()).run(contributions_of(BUILDER, [an_order(2, anonymousId="c1")]))
    assert canonical(BUILDER, store.stored[profile.id]) == canonical(BUILDER, seen)


def test_a_delta_that_was_folded_meanwhile_makes_the_profile_be_read_again():
    store = a_store(an_order(1))
    profile = a_reader(store).by_identifier(USER)
    store.park(profile.id, f"{profile.id}/s#1#0", contributions_of(BUILDER, [an_order(2)]))
    del store.parked[f"{profile.id}/s#1#0"]
    assert a_reader(store).by_id(profile.id).event_count == 1


def test_a_delta_that_was_folded_after_it_was_read_leaves_the_profile_to_be_seen():
    """The folder wins between the reader's look at the delta and its look at the profile."""
    store = a_store(an_order(1))
    profile = a_reader(store).by_identifier(USER)
    store.park(profile.id, f"{profile.id}/s#1#0", contributions_of(BUILDER, [an_order(2)]))
    read = store.deltas

    def deltas(names):
        found = read(names)
        store.deltas = read
        Ingest(BUILDER, store, FakeClock()).run(contributions_of(BUILDER, [an_order(3)]))
        return found

    store.deltas = deltas
    assert a_reader(store).by_identifier(USER).event_count == 3


def test_a_profile_that_was_merged_after_its_pointer_was_read_is_found_where_it_went():
    store = a_store(an_order(1), an_event(messageId="2", anonymousId="c1", arrival=T0 + 1))
    read = store.pointers

    def pointers(identifiers, *, fresh):
        found = read(identifiers, fresh=fresh)
        store.pointers = read
        linking = an_order(3, anonymousId="c1", arrival=T0 + 2)
        Ingest(BUILDER, store, FakeClock()).run(contributions_of(BUILDER, [linking]))
        return found

    store.pointers = pointers
    assert a_reader(store).by_identifier(COOKIE).event_count == 3


def test_a_profile_that_was_merged_after_what_waits_beside_it_was_read_is_found_where_it_went():
    store = a_store(an_order(1), an_event(messageId="2", anonymousId="c1", arrival=T0 + 1))
    profile = a_reader(store).by_identifier(COOKIE)
    waiting = contributions_of(BUILDER, [an_event(messageId="3", anonymousId="c1", arrival=T0 + 2)])
    store.park(profile.id, f"{profile.id}/s#1#0", waiting)
    read = store.deltas

    def deltas(names):
        found = read(names)
        store.deltas = read
        linking = an_order(4, anonymousId="c1", arrival=T0 + 3)
        Ingest(BUILDER, store, FakeClock()).run(contributions_of(BUILDER, [linking]))
        return found

    store.deltas = deltas
    assert a_reader(store).by_identifier(COOKIE).event_count == 4
    assert a_reader(store).by_id(profile.id) is None


def test_what_waits_beside_a_profile_that_it_ends_is_shown_to_those_alone_whose_it_is():
    store = a_store(an_order(1, anonymousId="c1"))
    profile = a_reader(store).by_identifier(USER)
    later = T0 + 500 * DAY
    store.park(profile.id, f"{profile.id}/s#1#0", contributions_of(BUILDER, [an_order(2, arrival=later)]))
    assert a_reader(store, later).by_identifier(USER).event_count == 1
    assert a_reader(store, later).by_identifier(COOKIE) is None


def test_a_segment_that_was_replaced_meanwhile_makes_the_profile_be_read_again():
    store = a_store(an_order(1))
    calls = []
    read = store.profiles

    def profiles(ids, *, fresh):
        calls.append(ids)
        if len(calls) < 3:
            raise SegmentGoneError
        return read(ids, fresh=fresh)

    store.profiles = profiles
    assert a_reader(store).by_identifier(USER) is not None
    assert len(calls) == 3


def test_a_value_is_normalised_as_ingestion_does_it():
    definition = a_definition()
    assert identifier_of(definition, "email", " A@Example.COM ") == ("email", "a@example.com")
    assert identifier_of(definition, "user_id", " u1") == USER


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("phone", "1", "no identifier phone; it has user_id, email, cookie_id"),
        ("user_id", "x" * 2000, "too_long"),
    ],
)
def test_what_could_never_identify_anybody_is_an_error_that_says_why(kind, value, message):
    with pytest.raises(UnusableIdentifierError, match=message):
        identifier_of(a_definition(), kind, value)


def test_why_tells_which_events_gave_the_first_and_the_last_value():
    early = an_event(messageId="e1", userId="u1", type="identify", traits={"plan": "free"}, arrival=T0)
    late = an_event(
        messageId="e2",
        userId="u1",
        anonymousId="c1",
        arrival=T0 + 1000,
        properties={"source": "ads", "page": "/a", "tags": ["x", "y"], "total": 5},
    )
    later = an_event(messageId="e3", userId="u1", arrival=T0 + 2000, properties={"page": "/b"})
    profile = a_reader(a_store(early, late, later)).by_identifier(USER)
    known = why(BUILDER, profile)
    assert known["founder"] == {"type": "user_id", "value": "u1"}
    assert [(one["type"], one["first_seen"]) for one in known["identifiers"]] == [
        ("user_id", format_time(T0)),
        ("cookie_id", format_time(T0 + 1000)),
    ]
    pages = known["attributes"]["pages"]
    assert (pages["first"]["value"], pages["first"]["event_id"]) == ("/a", "e2")
    assert (pages["last"]["value"], pages["last"]["event_id"]) == ("/b", "e3")
    assert known["attributes"]["first_page"]["first"]["event_id"] == "e2"
    assert known["attributes"]["tags"]["last"]["value"] == "y"
    assert known["attributes"]["largest"] == {"aggregation": "max"}
    assert known["traits"]["plan"]["last"]["event_id"] == "e1"


def test_why_tells_of_merges():
    first = an_event(messageId="1", userId="u1", arrival=T0)
    second = an_event(messageId="2", anonymousId="c1", arrival=T0 + 1)
    both = an_event(messageId="3", userId="u1", anonymousId="c1", arrival=T0 + 2)
    profile = a_reader(a_store(first, second, both)).by_identifier(USER)
    (merge,) = why(BUILDER, profile)["merges"]
    assert merge["linked_by"] == ["user_id", "cookie_id"]


def test_why_tells_what_the_profile_function_returned_and_whether_it_is_to_run_again():
    builder = Builder(a_definition(profile_function=(("window", "30 days"),)))
    (put,), _ = play_with_history(builder, contributions_of(builder, [an_event(messageId="1", userId="u")]))
    assert why(builder, put.profile)["computed"] == {"is_due": True}
    put.profile.computed = computed_of(put.profile, FunctionResult({"a": 1}, "row"))
    assert why(builder, put.profile)["computed"] == {
        "is_due": False,
        "published_id": "row",
        "traits": {"a": 1},
    }
    assert "computed" not in why(
        BUILDER, play(BUILDER, contributions_of(BUILDER, [an_event(userId="u")]))[0][0]
    )
