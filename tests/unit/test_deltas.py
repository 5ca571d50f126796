"""What an update of a profile's item leaves stored, beside which events are parked at any moment."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.dynamo.deltas import rewritten
from shared.adapters.dynamo.items import CLOSED, PARKED, QUIET
from shared.adapters.dynamo.overflow import overflow
from tests.simulation import expressions
from tests.unit.test_items import ITEMS, any_profile

NO_CONDITION = expressions.used_by(None)


@settings(max_examples=25, deadline=None)  # profiles take long to draw
@given(any_profile(), any_profile(), st.data())
def test_a_profile_that_is_rewritten_is_stored_as_if_it_were_replaced_and_lists_what_was_parked_since(
    before, after, data
):
    after.id = before.id
    names = st.sets(st.text(min_size=1), max_size=3)
    folded, kept, since = data.draw(names), data.draw(names), data.draw(names)
    kept -= folded
    quiet = data.draw(st.sampled_from([{}, {QUIET: {"S": "now"}}, {CLOSED: {"S": "now"}}]))
    stored = either_form(before, data) | listed(folded | kept | since - folded) | quiet
    item = either_form(after, data)
    change = rewritten(item | listed(kept), sorted(folded))
    left = expressions.updated(change.expression, change.names, change.values, NO_CONDITION, stored)
    assert left == item | listed(kept | since - folded)


def either_form(profile, data):
    """A profile's item that lists nothing, with its bulk or without."""
    profile.parked = ()
    item = ITEMS.profile(profile)
    return overflow(item, "attempt")[0] if data.draw(st.booleans()) else item


def listed(names):
    return {PARKED: {"SS": sorted(names)}} if names else {}
