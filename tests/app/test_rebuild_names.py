"""Ids stay, whatever becomes of a definition: a profile takes over the id of the one that it continues."""

from shared.core.compile import Builder
from shared.core.definition import Attribute, Definition, IdentifierType
from shared.core.identity.ids import profile_id
from shared.core.profile import Profile
from tests.app.rebuilding import (
    BUILDER,
    LATER,
    NEW,
    OLD,
    a_record,
    contributions_in,
    rebuilt,
    shown_by_id,
)
from tests.people import HOUR, T0


def definition_of(*types: IdentifierType) -> Builder:
    return Builder(Definition("people", types, (Attribute("events", "count"),)))


USER = IdentifierType("user_id", (("userId",),), known=True)
EMAIL = IdentifierType("email", (("traits", "email"),))
COOKIE = IdentifierType("cookie_id", (("anonymousId",),))


def test_after_a_split_exactly_one_part_keeps_the_id():
    joined, apart = definition_of(USER, COOKIE), definition_of(COOKIE)
    records = [
        a_record(1, userId="u", anonymousId="a"),
        a_record(2, userId="u", anonymousId="b"),
        a_record(3, anonymousId="c"),
    ]
    # The user founded the profile, and no part has it any more: both are new.
    world = rebuilt(records, old=joined, new=apart)
    assert not shown_by_id(world, OLD).keys() & (shown_by_id(world, NEW).keys() - {id_of("cookie_id", "c")})
    # A cookie founded it: the part with the cookie keeps the id, whatever it would be called by itself.
    old, new = definition_of(COOKIE, USER), definition_of(COOKIE)
    world = rebuilt(records, old=old, new=new)
    kept = shown_by_id(world, OLD).keys() & shown_by_id(world, NEW).keys()
    assert kept == {id_of("cookie_id", "a"), id_of("cookie_id", "c")}
    assert len(shown_by_id(world, NEW)) == 3


def test_after_a_join_the_oldest_id_stays():
    old, new = definition_of(COOKIE), definition_of(USER, COOKIE)
    records = [
        a_record(1, anonymousId="b", userId="u"),
        a_record(2, arrival=T0 + 1, anonymousId="a", userId="u"),
        a_record(3, arrival=T0 + 2, anonymousId="c", userId="u"),
    ]
    world = rebuilt(records, old=old, new=new)
    assert set(shown_by_id(world, NEW)) == {id_of("cookie_id", "b")}
    [profile] = world.stores[NEW].stored.values()
    assert profile.founder == ("cookie_id", "b")


def test_a_changed_priority_changes_no_id():
    old, new = definition_of(USER, COOKIE), definition_of(COOKIE, USER, EMAIL)
    records = [a_record(1, userId="u", anonymousId="a", traits={"email": "e"})]
    world = rebuilt(records, old=old, new=new)
    assert set(shown_by_id(world, NEW)) == set(shown_by_id(world, OLD)) == {id_of("user_id", "u")}


def test_an_earlier_life_makes_room_for_the_id_that_its_successor_takes_over(monkeypatch):
    # The new definition breaks the first life, whose id the active profile has.
    monkeypatch.setattr("shared.core.plan.IDENTIFIERS_MAX", 2)
    old, new = definition_of(USER), definition_of(USER, COOKIE)
    records = [
        a_record(number, arrival=LATER - HOUR + number, userId="u", anonymousId=f"a{number}")
        for number in range(3)
    ]
    world = rebuilt(records, old=old, new=new)
    [profile] = [one for one in world.stores[NEW].stored.values() if isinstance(one, Profile)]
    assert profile.id == id_of("user_id", "u")
    [grave] = [one for one in world.stores[NEW].stored.values() if one is not profile]
    assert grave.id == profile_id("people", ("user_id", "u"), LATER - HOUR + 2)
    lost = world.stores[NEW].pointed["cookie_id", "a0"]
    assert lost.profile_id == grave.id
    # What the broken life counted stays counted.
    again = contributions_in(new, [records[0]])
    assert world.batch(NEW)._ingest.run(again).tally["events_duplicate"] == 1


def id_of(kind: str, value: str) -> str:
    return profile_id("people", (kind, value))


def test_names_are_chosen_once_whatever_the_active_version_does_meanwhile():
    world = rebuilt([a_record(1, userId="u", anonymousId="a")], old=definition_of(COOKIE), new=BUILDER)
    chosen = set(shown_by_id(world, NEW))
    world.stores[OLD].stored.clear()
    world.stores[NEW].stored.clear()
    world.objects.delete_all([world.name.result("replay", 0), world.name.checkpoint(0)])
    assert world.replay(0, may_go_on=lambda: True).done
    assert set(shown_by_id(world, NEW)) == chosen == {id_of("cookie_id", "a")}
