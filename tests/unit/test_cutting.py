"""Cutting: nothing is lost or moved, nothing is more than allowed, and no part could take the next item."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.core.cutting import cut


@given(st.lists(st.integers(0, 12)), st.integers(1, 20), st.none() | st.integers(1, 4))
def test_parts_are_as_large_as_they_may_be(sizes, bytes_max, count_max):
    items = list(enumerate(sizes))
    parts = list(cut(items, lambda one: one[1], bytes_max, count_max))
    assert [one for part in parts for one in part] == items
    for part in parts:
        assert part
        assert len(part) == 1 or sum(size for _, size in part) <= bytes_max
        assert count_max is None or len(part) <= count_max
    for part, (following, *_) in pairwise(parts):
        is_full = len(part) == count_max
        assert is_full or sum(size for _, size in [*part, following]) > bytes_max
