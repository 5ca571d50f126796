"""The measure of a profile is never below what its canonical form takes, and not far above it."""

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.aggregations.base import NotLoadedError, Segment
from shared.core.compile import Builder
from shared.core.definition import Attribute
from shared.core.identity.identifiers import Identifier
from shared.core.measure import canonical_bytes_max
from shared.core.plan import plan
from shared.core.profile import canonical, new_profile
from shared.core.snapshot import Snapshot
from tests.generators import any_keyed_values
from tests.laws.kit import added
from tests.people import T0, a_definition, an_event, any_stream, contributions_of

TYPES = ["string", "number", "boolean", "datetime", "ip"]
CASES = [
    (aggregation, kind)
    for aggregation in ("first", "last", "first_last", "list", "unique_list", "min", "max", "sum", "count")
    for kind in TYPES
    if not (aggregation in ("min", "max") and kind not in ("number", "datetime"))
    and not (aggregation == "sum" and kind != "number")
]


def profiles_of(builder, events):
    contributions = sorted(contributions_of(builder, events), key=lambda one: one.order)
    return [put.profile for put in plan(builder, contributions, Snapshot(), 1, 10**6).puts]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_no_profile_is_larger_than_its_measure(seed):
    builder = Builder(a_definition())
    for profile in profiles_of(builder, any_stream(Random(seed))):
        assert canonical_bytes_max(builder, profile) >= len(canonical(builder, profile))


@pytest.mark.parametrize(("aggregation", "kind"), CASES)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_no_value_of_any_type_takes_more_than_is_measured(aggregation, kind, data):
    name = data.draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
    builder = Builder(a_definition(attributes=(Attribute(name, aggregation, kind, (("a",),)),)))
    founder = Identifier("user_id", data.draw(st.text(st.characters(exclude_categories=["Cs"]))))
    profile = new_profile(builder, "0" * 32, founder, T0)
    profile.identifiers[founder] = T0
    keyed = data.draw(any_keyed_values(kind))
    if keyed:
        profile.attributes[0] = added(builder.aggregations[0], None, keyed)
    if aggregation == "sum" and keyed:
        profile.attributes[0] = Decimal(f"{9 * 10**60}.5")
    assert canonical_bytes_max(builder, profile) >= len(canonical(builder, profile))


def test_the_measure_of_plain_texts_is_close():
    pages = [f"https://shop.example.com/category/{number}" for number in range(1000)]
    builder = Builder(a_definition())
    (profile,) = profiles_of(
        builder, [an_event(messageId="1", userId="u", properties={"pages": pages, "tags": pages})]
    )
    assert canonical_bytes_max(builder, profile) < 1.1 * len(canonical(builder, profile))


def test_what_is_not_loaded_cannot_be_measured():
    builder = Builder(a_definition())
    (profile,) = profiles_of(builder, [an_event(messageId="1", userId="u", properties={"page": "/a"})])
    state = next(one for one in profile.attributes if hasattr(one, "entries"))
    state.segments = (Segment("s", 10, 0),)
    with pytest.raises(NotLoadedError):
        canonical_bytes_max(builder, profile)
