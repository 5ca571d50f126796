"""What a draft makes of events, beside what the active version makes of them."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.app.preview import (
    Side,
    archived_records,
    changes,
    folded,
    folded_of_people,
    paired,
    sample_records,
)
from shared.app.shown import shown_of
from shared.core.archive import DamagedArchiveError, archive_line, archive_object, object_key
from shared.core.compile import Builder
from shared.core.control import READER_ARCHIVE, Marker, control_record
from shared.core.grammar import parse_definition
from shared.core.identity.identifiers import Identifier
from shared.core.masking import Mask
from shared.core.records import Record
from tests.app.rebuilding import BUILDER, LATER, NEW, World, any_records, contributions_in
from tests.fakes.objects import FakeObjects
from tests.people import HOUR, T0

YAML = """
name: people
identifiers:
  user_id: {from: userId, known: true}
  cookie_id: {from: anonymousId}
attributes:
  spent: {from: properties.total, type: number, aggregation: sum}
"""
WITH_ORDERS = YAML + "  orders: {aggregation: count, when: {event: Order}}\n"
WITH_EMAIL = YAML.replace("attributes:", "  email: {from: traits.email}\nattributes:")


def side(text: str = YAML) -> Side:
    return Side(Builder(parse_definition(text)))


def a_line(number: int, **changes) -> bytes:
    event = {"messageId": f"m{number}", "timestamp": "2026-09-21T13:33:20Z", "event": "Order"} | changes
    return json.dumps(event).encode()


def a_record(number: int, arrival: int = T0, **changes) -> Record:
    return Record(a_line(number, **changes), arrival, "shard-0", f"{number:06d}")


def test_samples_are_folded_by_either_definition():
    lines = [
        a_line(1, userId="ann", properties={"total": "1.10"}),
        a_line(2, userId="ann", properties={"total": 2}),
        b"",
    ]
    before, after = (folded(side(text), sample_records(lines)) for text in (YAML, WITH_ORDERS))
    assert before.profiles[0]["attributes"] == {"spent": Decimal("3.1")}
    assert after.profiles[0]["attributes"] == {"spent": Decimal("3.1"), "orders": 2}
    (pair,) = paired(before.profiles, after.profiles)
    assert [(one.name, one.active, one.draft) for one in changes(pair)] == [("attributes.orders", None, 2)]


def test_secrets_are_masked_in_what_is_shown_also_those_of_digits():
    traits = {"n": 12345, "kept": 1.5, "text": "id 1234", "k1234": True, "list": [{"a": "1234"}], "other": 99}
    line = a_line(1, userId="u1234", type="identify", traits=traits)
    [profile] = folded(side()._replace(mask=Mask(["1234", "traits"])), sample_records([line])).profiles
    assert profile["identifiers"] == {"user_id": ["u***"]}
    expected = {"n": "***5", "kept": Decimal("1.5"), "text": "id ***", "k***": True, "list": [{"a": "***"}]}
    assert profile["traits"] == {**expected, "other": 99}


def test_a_sample_that_nothing_dates_is_left_out_and_one_that_is_no_json_is_counted():
    lines = [b'{"userId": "ann"}', b"{nope", a_line(1, userId="ann")]
    result = folded(side(), sample_records(lines))
    assert len(result.profiles) == 1
    assert result.tally["quarantined.not_json"] == 1


def test_profiles_of_the_same_people_stand_beside_each_other():
    lines = [
        a_line(1, userId="ann", traits={"email": "a@example.com"}),
        a_line(2, anonymousId="c", traits={"email": "a@example.com"}),
        a_line(3, userId="bob"),
    ]
    before, after = (folded(side(text), sample_records(lines)) for text in (YAML, WITH_EMAIL))
    pairs = paired(before.profiles, after.profiles)
    assert len(pairs) == 3
    joined = [pair for pair in pairs if pair.draft is None or changes(pair)]
    assert len(joined) == 2, "two of before are one person now"
    assert sum(pair.draft is None for pair in joined) == 1
    assert {one.name for one in changes(joined[0])} | {one.name for one in changes(joined[1])} >= {
        "identifiers.email",
        "event_count",
    }


def archive(*batches: list[Record]) -> FakeObjects:
    objects = FakeObjects()
    for batch in batches:
        key = object_key(batch[0].arrival, batch[0].shard, batch[0].sequence, batch[-1].sequence)
        objects.put(key, archive_object(archive_line(one, "") for one in batch))
    return objects


def test_the_archive_is_read_for_a_time_only():
    objects = archive(*([a_record(number, T0 + number * HOUR)] for number in range(9)))
    told: list[str] = []
    found = list(archived_records(objects, T0 + 2 * HOUR, T0 + 4 * HOUR, told.append))
    assert [one.sequence for one in found] == ["000002", "000003", "000004"]
    assert len(told) == 3, "other hours are not even read"


def test_marks_in_the_archive_are_no_events():
    mark = Record(control_record(Marker("0" * 32, READER_ARCHIVE)), T0, "shard-0", "1")
    assert list(archived_records(archive([mark]), T0, T0)) == []


def test_a_damaged_object_is_told():
    objects = archive([a_record(1)])
    (key,) = objects.held
    objects.put(key, b"nope")
    with pytest.raises(DamagedArchiveError):
        list(archived_records(objects, T0, T0))


def test_whoever_a_draft_links_to_a_person_is_found_however_late():
    batch = [
        a_record(1, userId="stranger", anonymousId="other"),
        a_record(2, anonymousId="other", traits={"email": "b@example.com"}),
        a_record(3, anonymousId="c", traits={"email": "b@example.com"}),
        a_record(4, userId="ann", anonymousId="c"),
        a_record(5, userId="bob"),
    ]
    passes = []

    def records():
        passes.append(1)
        return iter(batch)

    before, after = folded_of_people([side(), side(WITH_EMAIL)], records, [Identifier("user_id", "ann")])
    assert [one["event_count"] for one in after.profiles] == [4]
    assert after.profiles[0]["identifiers"]["user_id"] == ["ann", "stranger"]
    assert [one["event_count"] for one in before.profiles] == [2, 2], "the active version knows them as two"
    assert len(passes) > 2
    assert before.tally["events_in"] == 4


@given(st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_archive_gives_in_a_preview_what_it_gives_in_a_rebuild(random):
    """With copies, duplicates, and several events of one arrival, in whatever objects they stand."""
    records = any_records(random)
    world = World(random, records, BUILDER)
    world.mortals = 0
    world.plan(LATER)
    world.rebuild()
    everyone = {one for some in contributions_in(BUILDER, records) for one in some.identifiers}
    (found,) = folded_of_people(
        [Side(BUILDER)], lambda: archived_records(world.objects, 0, LATER - 1), everyone
    )
    rebuilt = {one["profile_id"]: one for one in map(shown_of, world.shown(NEW))}
    # What has expired since is not in the new version.
    assert {one["profile_id"]: one for one in found.profiles if one["profile_id"] in rebuilt} == rebuilt


def test_events_of_several_people_are_found():
    batch = [a_record(number, userId=f"u{number}") for number in range(4)]
    (only,) = folded_of_people(
        [side()], lambda: iter(batch), [Identifier("user_id", "u1"), Identifier("user_id", "u3")]
    )
    assert sorted(one["identifiers"]["user_id"][0] for one in only.profiles) == ["u1", "u3"]


def test_a_record_that_stands_in_two_objects_counts_once():
    overlapping = archive([a_record(1, userId="ann")], [a_record(1, userId="ann"), a_record(2, userId="ann")])
    (only,) = folded_of_people(
        [side()], lambda: archived_records(overlapping, T0, T0), [Identifier("user_id", "ann")]
    )
    assert [one["event_count"] for one in only.profiles] == [2]
