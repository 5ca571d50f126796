"""The canonical form of a profile is the canonical JSON of what it presents."""

import json
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.canonical import canonical_json
from shared.core.compile import Builder
from shared.core.definition import Attribute
from shared.core.plan import plan
from shared.core.profile import canonical, present
from shared.core.snapshot import Snapshot
from tests.people import T0, a_definition, an_event, any_stream, contributions_of


def profiles_of(builder, events):
    contributions = sorted(contributions_of(builder, events), key=lambda one: one.order)
    return [put.profile for put in plan(builder, contributions, Snapshot(), 1, 10**6).puts]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_canonical_is_the_canonical_json_of_what_is_presented(seed):
    builder = Builder(a_definition())
    for profile in profiles_of(builder, any_stream(Random(seed))):
        assert canonical(builder, profile) == canonical_json(present(builder, profile))


def test_a_count_of_datetimes_is_a_number():
    counted = Attribute("visits", "count", "datetime", (("timestamp",),))
    builder = Builder(a_definition(attributes=(counted,)))
    (profile,) = profiles_of(builder, [an_event(messageId="1", userId="u", timestamp=T0, arrival=T0)])
    assert json.loads(canonical(builder, profile))["attributes"] == {"visits": 1}
