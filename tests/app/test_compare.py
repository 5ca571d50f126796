"""Two versions, profile by profile: all that differs is found, counted once, and attributed."""

from dataclasses import replace
from random import Random

import msgspec
import pytest

from shared.app.backfill import Manifest
from shared.app.compare import LEFT, RIGHT, Scanned, compare
from shared.app.differences import Cause, Changes, Known, changes_between, differences
from shared.app.frozen import Frozen
from shared.app.registry import Status
from shared.app.unseen import Span, unseen_by
from shared.core.grammar import parse_definition
from shared.core.identity.identifiers import Identifier
from shared.core.times import format_time
from tests.app.rebuilding import a_version
from tests.people import DAY, HOUR, T0

NOTHING_CHANGED = Changes(frozenset(), retention=False, identity=False, limited=frozenset())
KNOWN = Known(changes=NOTHING_CHANGED, followed=(T0 + DAY, T0 + DAY))


def a_profile(name="ann", **changes):
    profile = {
        "profile_id": name,
        "identifiers": {"user_id": [name]},
        "traits": {"plan": "basic"},
        "attributes": {"orders": 3},
        "created_at": format_time(T0),
        "updated_at": format_time(T0 + HOUR),
        "event_count": 9,
        "expires_at": format_time(T0 + 400 * DAY),
    }
    return profile | changes


def causes(left, right, known=KNOWN):
    return {(one.place, one.cause) for one in differences(left, right, known)}


def known(**changes):
    return msgspec.structs.replace(KNOWN, **changes)


def changed(**what):
    return known(changes=msgspec.structs.replace(NOTHING_CHANGED, **what))


def test_equal_profiles_do_not_differ():
    assert differences(a_profile(), a_profile(), KNOWN) == []


def test_a_value_whose_definition_changed_differs_for_that():
    found = differences(
        a_profile(), a_profile(attributes={"orders": 4}), changed(values=frozenset({"orders"}))
    )
    assert found == [("attributes.orders", Cause.DEFINITION, 3, 4)]


def test_a_value_that_nothing_explains_is_unexplained():
    assert causes(a_profile(), a_profile(attributes={})) == {("attributes.orders", Cause.UNEXPLAINED)}
    assert causes(a_profile(), a_profile(traits={})) == {("traits.plan", Cause.UNEXPLAINED)}


@pytest.mark.parametrize(
    ("cause", "what"),
    [
        (Cause.DEFINITION, changed(function=True, computes=True)),
        (Cause.FUNCTION, changed(computes=True)),
        (Cause.UNEXPLAINED, KNOWN),
    ],
)
def test_what_a_profile_function_computes_is_attributed_to_it(cause, what):
    other = a_profile(traits={"plan": "pro"}, published_id="row")
    assert causes(a_profile(), other, what) == {("traits.plan", cause), ("published_id", cause)}
    assert causes(a_profile(), a_profile(attributes={}), what) == {("attributes.orders", Cause.UNEXPLAINED)}


def test_another_retention_explains_another_expiry_and_no_more():
    other = a_profile(expires_at=format_time(T0), attributes={})
    assert causes(a_profile(), other, changed(retention=True)) == {
        ("expires_at", Cause.DEFINITION),
        ("attributes.orders", Cause.UNEXPLAINED),
    }


def fewer(**changes):
    """The same profile without its last event."""
    return a_profile(**{"event_count": 8, "attributes": {"orders": 2}} | changes)


@pytest.mark.parametrize(
    ("cause", "what"),
    [
        (Cause.DEFINITION, changed(identity=True)),
        (Cause.TO_BE_FOLLOWED, known(followed=(T0 + DAY, T0 + HOUR))),
        (Cause.QUARANTINE, known(quarantined=frozenset({Identifier("user_id", "ann")}))),
        (Cause.ARCHIVE, known(archive_begins=T0 + 1)),
        (Cause.LIMITS, changed(limited=frozenset({"user_id"}))),
        (Cause.UNEXPLAINED, KNOWN),
    ],
    ids=lambda one: str(one) if isinstance(one, Cause) else "",
)
def test_other_events_are_attributed_with_all_that_comes_of_them(cause, what):
    assert causes(a_profile(), fewer(), what) == {("event_count", cause), ("attributes.orders", cause)}
    assert causes(a_profile(), None, what) == {("profile", cause)}


def test_the_newest_event_says_which_version_is_behind():
    behind = known(followed=(T0 + 30 * 60_000, T0 + DAY))
    assert causes(fewer(), a_profile(), behind) == {
        ("event_count", Cause.TO_BE_FOLLOWED),
        ("attributes.orders", Cause.TO_BE_FOLLOWED),
    }


def unseen(*spans, side=RIGHT):
    """Files with records of these times were added when one side had been built."""
    sides = [frozenset(), frozenset()]
    sides[side] = frozenset(spans)
    return known(unseen=tuple(sides))


@pytest.mark.parametrize("began", [T0, T0 + DAY // 2, T0 + 90 * DAY])
def test_what_was_added_to_the_archive_since_explains_that_one_version_has_more(began):
    """However much earlier its life begins by it: that is no expiry."""
    what = unseen(Span(T0 - DAY, T0), Span(T0 + 900 * DAY, T0 + 901 * DAY))
    without = fewer(created_at=format_time(began))
    assert {cause for _, cause in causes(a_profile(), without, what)} == {Cause.ARCHIVE}
    assert causes(a_profile(), None, what) == {("profile", Cause.ARCHIVE)}
    other_way = unseen(Span(T0 - DAY, T0), side=LEFT)
    assert {cause for _, cause in causes(without, a_profile(), other_way)} == {Cause.ARCHIVE}


@pytest.mark.parametrize(
    "what",
    [
        unseen(Span(T0 - DAY, T0 - 1), Span(T0 + HOUR + 1, T0 + DAY)),
        unseen(Span(T0, T0 + HOUR), side=LEFT),
    ],
    ids=["of another time", "seen by the version that has less"],
)
def test_what_was_added_to_the_archive_explains_nothing_else(what):
    assert {cause for _, cause in causes(a_profile(), fewer(), what)} == {Cause.UNEXPLAINED}
    same_events = a_profile(attributes={})
    assert causes(a_profile(), same_events, unseen(Span(0, T0 + DAY))) == {
        ("attributes.orders", Cause.UNEXPLAINED)
    }


def test_somebody_whom_added_events_made_one_with_another_is_no_longer_there_for_that():
    for surely, cause in ((True, Cause.ARCHIVE), (False, Cause.UNEXPLAINED)):
        what = unseen(Span(0, 1, surely=surely), side=LEFT)
        assert causes(a_profile(), None, what) == {("profile", cause)}


def a_file(name, *, added_at, first=None, last=None):
    added, begins, ends = (time and format_time(time) for time in (added_at, first, last))
    return Manifest(name, name, added, 1, 1, {}, begins, ends, [])


def test_a_version_has_seen_the_files_that_were_added_before_it_was_published():
    files = [
        a_file("before", added_at=T0 - 1, first=1, last=2),
        a_file("after", added_at=T0 + 1, first=3, last=4),
        a_file("of nothing", added_at=T0 + 1),
    ]
    version = replace(a_version("people", 2, Status.ACTIVE), created_at=T0, t0=T0 + HOUR)
    assert unseen_by(version, files) == {Span(3, 4)}


def test_a_version_that_a_deploy_made_has_seen_what_the_stream_had():
    version = replace(a_version("people", 1, Status.ACTIVE), created_at=T0, t0=0)
    files = [a_file("before", added_at=T0 - 1, first=1, last=2)]
    assert unseen_by(version, files) == {Span(1, 2), Span(0, T0 - 7 * DAY, surely=False)}


def test_lives_that_began_far_from_each_other_come_of_an_expiry():
    later = fewer(created_at=format_time(T0 + 31 * DAY))
    assert {cause for _, cause in causes(a_profile(), later, known(followed=(T0 + 99 * DAY,) * 2))} == {
        Cause.EXPIRY
    }


def test_profiles_near_a_limit_and_with_more_events_than_are_remembered_are_told():
    cookies = {"cookie_id": [str(number) for number in range(950)]}
    assert ("event_count", Cause.LIMITS) in causes(
        a_profile(identifiers=cookies), fewer(identifiers=cookies), KNOWN
    )
    assert ("event_count", Cause.DUPLICATES) in causes(a_profile(event_count=3000), fewer(), KNOWN)


def test_an_event_of_which_each_version_counted_another_copy_is_told():
    """It was sent twice, in two shards, and which one came first was up to them."""
    later = a_profile(created_at=format_time(T0 + 4), expires_at=format_time(T0 + 400 * DAY + 4))
    assert causes(a_profile(), later) == {
        ("created_at", Cause.DUPLICATES),
        ("expires_at", Cause.DUPLICATES),
    }


@pytest.mark.parametrize(
    "other",
    [
        a_profile(created_at=format_time(T0 - DAY)),
        a_profile(created_at=format_time(T0 + 4), event_count=10),
        a_profile(created_at=format_time(T0 + 4), identifiers={"user_id": ["ann", "bob"]}),
    ],
    ids=["after the window", "of more events", "of other identifiers"],
)
def test_other_arrivals_are_no_copies(other):
    assert {cause for _, cause in causes(a_profile(), other)} == {Cause.UNEXPLAINED}


def frozen(text: str, **files: str) -> Frozen:
    return Frozen(parse_definition(text), {"builder.yaml": text} | files)


YAML = """
name: people
identifiers:
  user_id: {from: userId, known: true, limit: 1}
attributes:
  source: {from: properties.source, type: string, aggregation: first_last}
  orders: {aggregation: count}
"""


def test_definitions_are_compared_by_what_they_say():
    assert not changes_between(frozen(YAML), frozen(YAML + "\n# a remark\n")).any
    other = YAML.replace("properties.source", "properties.from") + "  spent: {aggregation: count}\n"
    assert changes_between(frozen(YAML), frozen(other)) == Changes(
        frozenset({"source_first", "source_last", "spent"}),
        retention=False,
        identity=False,
        limited=frozenset({"user_id"}),
    )
    assert changes_between(frozen(YAML), frozen(YAML + "retention: {known: 2 months}\n")).retention
    assert changes_between(frozen(YAML), frozen(YAML.replace("userId", "id"))).identity
    assert changes_between(frozen(YAML), frozen(YAML, **{"transform.py": "x = 1\n"})).identity
    variables = YAML + "env: {A: b}\n"
    assert not changes_between(frozen(YAML), frozen(variables)).any
    chain = {"transform.py": "x = 1\n"}
    assert changes_between(frozen(YAML, **chain), frozen(variables, **chain)).identity


def test_another_profile_function_changes_what_it_computes_and_nobodys_identity():
    one, other = {"profile.py": "x = 1\n"}, {"profile.py": "x = 2\n"}
    changes = changes_between(frozen(YAML, **one), frozen(YAML, **other))
    assert (changes.identity, changes.function, changes.computes) == (False, True, True)
    changes = changes_between(frozen(YAML, **one), frozen(YAML + "env: {A: b}\n", **one))
    assert (changes.identity, changes.function) == (False, True)
    changes = changes_between(frozen(YAML, **one), frozen(YAML, **one))
    assert (changes.any, changes.computes) == (False, True)
    changes = changes_between(frozen(YAML), frozen(YAML, **one))
    assert (changes.identity, changes.function) == (False, True)


def form(profile) -> bytes | None:
    return None if profile is None else msgspec.json.encode(profile, order="sorted")


def compared(left, right, tmp_path, *, again=None, some_max=100):
    """Compare two collections of profiles, which come in any order."""
    scanned = [Scanned(LEFT, one["profile_id"], form(one)) for one in left]
    scanned += [Scanned(RIGHT, one["profile_id"], form(one)) for one in right]
    Random(1).shuffle(scanned)
    by_id = [{one["profile_id"]: one for one in side} for side in (left, right)]

    def read(profile_id):
        return tuple(form(side.get(profile_id)) for side in (again or by_id))

    spools = tmp_path / "spools"
    spools.mkdir()
    return compare(scanned, read, lambda: KNOWN, spools, some_max)


def test_many_profiles_are_compared_and_each_difference_counts_once(tmp_path):
    left = [a_profile(f"p{number}") for number in range(2000)]
    right = [a_profile(f"p{number}") for number in range(1, 2001)]
    right[499]["attributes"] = {"orders": 5}
    told = compared(left, right, tmp_path)
    assert told.profiles == [2000, 2000]
    assert (told.equal, told.different, told.settled) == (1998, 3, 0)
    assert told.places == {("profile", "unexplained"): 2, ("attributes.orders", "unexplained"): 1}
    assert told.causes == {"unexplained": 3}
    assert {one.profile_id for one in told.some} == {"p0", "p500", "p2000"}
    assert not list((tmp_path / "spools").iterdir()), "spools are deleted as they are read"


def test_what_was_in_motion_is_looked_at_again(tmp_path):
    told = compared([a_profile()], [fewer()], tmp_path, again=[{"ann": a_profile()}] * 2)
    assert (told.equal, told.settled, told.different) == (1, 1, 0)


def test_numbers_are_compared_exactly(tmp_path):
    left, right = (
        a_profile(traits={"n": msgspec.Raw(text)})
        for text in (b"0.1234567890123456789", b"0.1234567890123456788")
    )
    told = compared([left], [right], tmp_path)
    assert told.places == {("traits.n", "unexplained"): 1}


def test_only_some_of_those_that_differ_are_kept(tmp_path):
    left = [a_profile(f"p{number}") for number in range(50)]
    told = compared(left, [], tmp_path, some_max=7)
    assert (told.different, len(told.some)) == (50, 7)


def test_what_nothing_explains_is_kept_before_anything_else(tmp_path):
    """It is what somebody has to look at, however much else there is, and wherever it comes."""
    explained = [a_profile(f"p{number}", event_count=3000) for number in range(50)]
    other = [one | {"event_count": 2999} for one in explained]
    fault = a_profile("p-fault")
    told = compared([*explained, fault], [*other, fault | {"attributes": {}}], tmp_path, some_max=3)
    assert told.different == 51
    assert [one.profile_id == "p-fault" for one in told.some] == [True, False, False]
