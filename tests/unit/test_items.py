"""Items: whatever the engine knows of a profile survives its item, and a person can read it."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.dynamo.deltas import contributions_of, delta
from shared.adapters.dynamo.items import CLOSED, QUIET, Items, pointer_of
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.dynamo.overflow import chunk_names, overflow, whole
from shared.adapters.dynamo.parts import MEMORY, part_name, pile_of
from shared.adapters.dynamo.piles import Extent
from shared.adapters.dynamo.state import NAME_BYTES, UnknownFormatError
from shared.adapters.dynamo.units import read_units, size_of, write_units
from shared.adapters.dynamo.wire import from_wire, to_wire
from shared.contract import PROFILES_DUE
from shared.core.aggregations.base import LIST_LENGTH_MAX, Segment
from shared.core.compile import Builder
from shared.core.definition import Attribute, Definition, IdentifierType
from shared.core.history import Head
from shared.core.identity.identifiers import Identifier
from shared.core.memory import Memory, MemorySegment
from shared.core.profile import Computed, Merge, Profile, Quiet, canonical, fold, new_profile
from shared.core.retention import children_until
from shared.core.snapshot import Pointer, Redirect, Tombstone
from shared.core.times import format_time
from shared.core.writes import Point, Remove
from tests.generators import any_event_id, any_keyed_values, any_number, any_text, any_time
from tests.laws.kit import added
from tests.people import T0, a_definition, an_event
from tests.people import contributions_of as contributions_from

TYPES = ("string", "number", "boolean", "datetime", "ip")
AGGREGATIONS = {
    "first": TYPES,
    "last": TYPES,
    "first_last": TYPES,
    "list": TYPES,
    "unique_list": TYPES,
    "count": TYPES,
    "min": ("number", "datetime"),
    "max": ("number", "datetime"),
    "sum": ("number",),
}
BUILDER = Builder(
    Definition(
        "everything",
        (IdentifierType("user_id", (("userId",),), known=True), IdentifierType("cookie_id", (("c",),))),
        tuple(
            Attribute(f"{name}_{kind}", name, kind, (("x",),))
            for name, kinds in AGGREGATIONS.items()
            for kind in kinds
        ),
    )
)
KEYSPACE = Keyspace("everything", 7)
ITEMS = Items(BUILDER, KEYSPACE)
some = settings(max_examples=60, deadline=None)
any_id = st.binary(min_size=16, max_size=16).map(bytes.hex)
any_identifier = st.builds(Identifier, st.sampled_from(["user_id", "cookie_id"]), any_text())
any_trace = st.tuples(st.integers(0, 2**22), st.integers(0, 2**64 - 1))
any_key = st.tuples(any_time(), any_event_id(), st.just(0))
any_trait = st.recursive(
    st.booleans() | any_number() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def any_heads(own):
    one = st.builds(Head, st.just(own) | any_id, any_id)
    return st.lists(one, max_size=3, unique=True).map(sorted).map(tuple)


def any_computed(profile):
    return st.builds(
        Computed,
        traits=st.dictionaries(st.text(min_size=1), st.none() | any_trait, max_size=3),
        basis=st.just(profile.heads) | any_heads(profile.id),
        published_id=st.none() | st.text(min_size=1),
        destination_id=st.none() | st.text(min_size=1),
        table_name=st.none() | st.text(min_size=1),
    )


@st.composite
def any_profile(draw):
    """Any profile: everything of it drawn on its own, more wildly than events could make it."""
    identifiers = draw(st.dictionaries(any_identifier, any_time(), min_size=1, max_size=4))
    profile = new_profile(BUILDER, draw(any_id), min(identifiers), draw(any_time()))
    profile.identifiers = identifiers
    profile.updated_at = draw(any_time())
    profile.event_count = draw(st.integers(0, 2**40))
    for column in draw(st.sets(st.integers(0, len(BUILDER.attributes) - 1), max_size=4)):
        keyed = draw(any_keyed_values(BUILDER.attributes[column].type, max_size=4))
        if keyed:
            profile.attributes[column] = added(BUILDER.aggregations[column], None, keyed)
    names = st.text(min_size=1)
    profile.traits = draw(st.dictionaries(names, st.tuples(any_key, st.none() | any_trait), max_size=4))
    profile.memory = Memory(draw(st.lists(any_trace, max_size=5)))
    profile.merges = tuple(
        draw(
            st.lists(
                st.builds(Merge, any_id, any_time(), st.lists(st.just("email"), max_size=2).map(tuple)),
                max_size=2,
            )
        )
    )
    profile.aliases = tuple(draw(st.lists(any_id, max_size=2)))
    profile.parked = tuple(sorted(draw(st.sets(st.text(min_size=1), max_size=2))))
    profile.bytes_max = draw(st.integers(0, 2**40))
    profile.children_until = draw(any_time())
    profile.rev = draw(st.integers(0, 2**62))
    profile.heads = draw(any_heads(profile.id))
    profile.computed = draw(st.none() | any_computed(profile))
    return profile


def content(profile: Profile):
    """All that a profile is, comparably, whatever its item is kept until."""
    split = [
        None if state is None else aggregation.split(state)
        for aggregation, state in zip(BUILDER.aggregations, profile.attributes, strict=True)
    ]
    fields = {name: getattr(profile, name) for name in profile.__struct_fields__}
    del fields["kept_until"]
    return fields | {"attributes": split, "memory": (profile.memory.traces(), profile.memory.segments)}


@some
@given(any_profile())
def test_a_profile_survives_its_item(profile):
    stored = ITEMS.stored(ITEMS.profile(profile))
    found, meant = content(stored), content(profile)
    found["attributes"], meant["attributes"] = str(found["attributes"]), str(meant["attributes"])
    assert found == meant
    assert canonical(BUILDER, stored) == canonical(BUILDER, profile)


@settings(some, max_examples=20)
@given(any_profile())
def test_a_profile_survives_its_chunks(profile):
    item = ITEMS.profile(profile)
    slim, chunks = overflow(item, "1")
    assert list(chunks) == chunk_names(slim)
    restored = whole(slim, chunks)
    del restored["chunks"]
    assert restored == item


@pytest.mark.parametrize("kind", TYPES)
@some
@given(data=st.data())
def test_parts_of_lists_and_of_a_memory_survive_their_segment(kind, data):
    parts = {MEMORY: sorted(data.draw(st.lists(any_trace, max_size=30)))}
    for name in (f"list_{kind}", f"unique_list_{kind}"):
        column = [one.name for one in BUILDER.attributes].index(name)
        keyed = data.draw(any_keyed_values(kind))
        parts[pile_of(column)] = BUILDER.aggregations[column].reduce(keyed)
    parts = {pile: pieces for pile, pieces in parts.items() if pieces}
    assert ITEMS.parts(ITEMS.body(parts)) == parts


@some
@given(
    any_id, st.integers(0, 2**62), st.sets(any_trace, max_size=5), st.sets(st.text(min_size=1), max_size=2)
)
def test_a_tombstone_survives_its_item(profile_id, rev, traces_, parked):
    tombstone = Tombstone(profile_id, rev, tuple(sorted(traces_)), tuple(sorted(parked)))
    assert ITEMS.stored(ITEMS.tombstone(tombstone, 1)) == tombstone


def test_a_redirect_survives_its_item_and_never_expires_by_itself():
    profile = new_profile(BUILDER, "0" * 32, Identifier("user_id", "u"), 0)
    item = ITEMS.redirect(Remove(profile, 1, 2, "f" * 32))
    assert ITEMS.stored(item) == Redirect("0" * 32, 2, "f" * 32)
    assert "expires_at" not in item


@some
@given(any_identifier, any_id, any_time())
def test_a_pointer_survives_its_item(identifier, profile_id, first_seen):
    point = Point(identifier, Pointer(profile_id, first_seen), (), 0)
    item = ITEMS.pointer(point, 1500)
    assert pointer_of(item) == point.pointer
    assert KEYSPACE.identifier(item) == identifier
    assert item["expires_at"] == {"N": "2"}, "never before the moment itself"


def test_an_item_is_kept_for_as_long_as_its_profile_lives_and_never_less_long_than_it_was_stored_for():
    profile = new_profile(BUILDER, "0" * 32, Identifier("user_id", "u"), 0)
    profile.identifiers = {profile.founder: 0}
    item = ITEMS.profile(profile)
    expiry_s = int(item["expires_at"]["N"])
    item["expires_at"] = {"N": str(expiry_s + 5)}
    stored = ITEMS.stored(item)
    assert ITEMS.profile(stored)["expires_at"] == {"N": str(expiry_s + 5)}
    stored.updated_at += 60_000
    assert ITEMS.profile(stored)["expires_at"] == {"N": str(expiry_s + 60)}


def test_references_to_segments_survive():
    profile = new_profile(BUILDER, "0" * 32, Identifier("user_id", "u"), 0)
    profile.identifiers = {profile.founder: 0}
    names = [one.name for one in BUILDER.attributes]
    bodies = {"00" * NAME_BYTES: Extent(1, 5, 70), "ff" * NAME_BYTES: Extent(0, 71, 71)}
    for column in (names.index("list_string"), names.index("unique_list_string")):
        state = BUILDER.aggregations[column].add(None, [(1, "a", 0)], ["x"])
        state.segments = tuple(
            Segment(part_name(name, pile_of(column)), LIST_LENGTH_MAX, *extent)
            for name, extent in bodies.items()
        )
        profile.attributes[column] = state
    name, extent = "ff" * NAME_BYTES, bodies["ff" * NAME_BYTES]
    profile.memory = Memory([(1, 2)], (MemorySegment(part_name(name, MEMORY), 48, *extent),))
    assert content(ITEMS.stored(ITEMS.profile(profile))) == content(profile)


def test_an_item_is_plain_to_read():
    builder = Builder(a_definition())
    event = an_event(
        messageId="m",
        type="identify",
        event="Order",
        userId="u",
        anonymousId="c",
        timestamp="2026-09-21T10:00:00Z",
        traits={"name": "Ann", "address": {"city": "Graz"}, "gone": None},
        properties={"page": "/a", "tags": ["x", "y"], "total": "12.50"},
    )
    [contribution] = contributions_from(builder, [event])
    profile = new_profile(builder, "0" * 32, contribution.identifiers[0], contribution.arrival)
    profile.identifiers = dict.fromkeys(contribution.identifiers, contribution.arrival)
    profile.event_count = 1
    fold(builder, profile, [contribution])
    item = Items(builder, Keyspace("people", 1)).profile(profile)
    del item["state"]
    assert {name: from_wire(wire) for name, wire in item.items()} == {
        "pk": f"people#1#{'0' * 32}",
        "sk": "profile",
        "founder": "user_id#u",
        "identifiers": {"cookie_id": ["c"], "user_id": ["u"]},
        "traits": {"name": "Ann", "address.city": "Graz"},
        "attributes": {
            "events": 1,
            "first_page": "/a",
            "largest": Decimal("12.5"),
            "last_at": "2026-09-21T10:00:00.000Z",
            "new_tags": ["x", "y"],
            "pages": [{"value": "/a", "at": "2026-09-21T10:00:00.000Z"}],
            "smallest": Decimal("12.5"),
            "spent": Decimal("12.5"),
            "tags": ["x", "y"],
        },
        "created_at": "2026-09-21T14:13:20.000Z",
        "updated_at": "2026-09-21T14:13:20.000Z",
        "event_count": 1,
        "rev": 0,
        "expires_at": 1824128000,
    }


def test_what_is_empty_is_left_out():
    profile = new_profile(BUILDER, "0" * 32, Identifier("user_id", "u"), 0)
    profile.identifiers = {profile.founder: 0}
    item = ITEMS.profile(profile)
    assert not {"attributes", "traits", "parked"} & item.keys()
    assert content(ITEMS.stored(item)) == content(profile)


@pytest.mark.parametrize("name", [QUIET, CLOSED])
def test_an_item_tells_of_a_request_for_quiet_unless_that_is_damaged(name):
    profile = new_profile(BUILDER, "0" * 32, Identifier("user_id", "u"), 0)
    profile.identifiers, profile.rev = {profile.founder: 0}, 7
    item = ITEMS.profile(profile)
    quiet = ITEMS.stored(item | {name: {"S": format_time(T0)}})
    assert quiet.quiet == Quiet(7, T0, is_closed=name == CLOSED)
    for damaged in ({"S": "soon"}, {"S": ""}, {"N": "1"}, {"M": {}}):
        assert content(ITEMS.stored(item | {name: damaged})) == content(profile)
    assert ITEMS.profile(quiet) == item, "the next write takes it off"


@pytest.mark.parametrize("state", [b"", b"\x03\x90"])
def test_an_item_of_an_unknown_format_is_refused(state):
    profile = new_profile(BUILDER, "0" * 32, Identifier("user_id", "u"), 0)
    profile.identifiers = {profile.founder: 0}
    with pytest.raises(UnknownFormatError):
        ITEMS.stored(ITEMS.profile(profile) | {"state": {"B": state}})


@some
@given(st.lists(st.tuples(any_number(), any_trait), min_size=1, max_size=3))
def test_parked_contributions_survive_exactly(numbers):
    builder = Builder(a_definition())
    parked = contributions_from(
        builder, [an_event(messageId=f"m{at}", userId="u", anonymousId="c") for at in range(len(numbers))]
    )
    for contribution, (number, trait) in zip(parked, numbers, strict=True):
        contribution.traits = {"trait": trait, "none": None}
        contribution.values[0] = number
        contribution.values[1] = [number, number]
    assert contributions_of(delta(parked)) == parked


@some
@given(any_trait)
def test_json_survives_the_wire(value):
    assert from_wire(to_wire(value)) == value


def test_units_follow_the_documented_rules():
    item = {
        "pk": {"S": "é"},  # 2 + 2
        "n": {"N": "-12.50"},  # 1 + 3 (3 significant digits, and a sign)
        "b": {"B": b"123"},  # 1 + 3
        "t": {"BOOL": True},  # 1 + 1
        "l": {"L": [{"S": "a"}, {"NULL": True}]},  # 1 + 3 + 2 + 2
        "m": {"M": {"k": {"S": "v"}}},  # 1 + 3 + 1 + 2
        "s": {"SS": ["ab", "c"]},  # 1 + 3
    }
    assert size_of(item) == 4 + 5 + 4 + 2 + 8 + 7 + 4
    assert [write_units(size) for size in (0, 1024, 1025)] == [1, 1, 2]
    assert [read_units(size, consistent=False) for size in (0, 4096, 4097)] == [0.5, 0.5, 1]
    assert read_units(4097, consistent=True) == 2


def test_children_live_longer_than_their_profile():
    retention = BUILDER.definition.retention
    assert children_until(retention, 10**12, known=False) > 10**12


@some
@given(any_profile())
def test_an_item_says_so_exactly_while_its_profile_is_due_or_events_wait_beside_it(profile):
    item = ITEMS.profile(profile)
    expected = profile.is_due or bool(profile.heads and profile.parked)
    assert (item.get(PROFILES_DUE) == {"N": "30"}) == (PROFILES_DUE in item) == expected


@some
@given(any_profile())
def test_a_profile_without_history_and_result_is_stored_as_one_was_before_there_were_any(profile):
    profile.heads, profile.computed = (), None
    item = ITEMS.profile(profile)
    assert item.keys().isdisjoint({PROFILES_DUE, "computed"})
    profile.heads = (Head(profile.id, "00" * 16),)
    longer = ITEMS.profile(profile)["state"]["B"]
    assert longer.startswith(item["state"]["B"])
    assert len(longer) == len(item["state"]["B"]) + 1 + 1 + 16 + 1
