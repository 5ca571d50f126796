"""First and last: the values of the smallest and of the largest key, as `X_first` and `X_last`.

state   ((key, value) of the first, (key, value) of the last)
merge   the smaller of the firsts, the larger of the lasts
units   those of the value
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from shared.core.aggregations.base import VALUE_TYPES, Key, Keyed, Value

FirstLastState = tuple[Keyed, Keyed]


class FirstLast:
    """The earliest and the latest value by event time."""

    name: ClassVar[str] = "first_last"
    types: ClassVar[frozenset[str]] = VALUE_TYPES
    takes_arrays: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ("_first", "_last")

    def add(
        self, state: FirstLastState | None, keys: Sequence[Key], values: Sequence[Value]
    ) -> FirstLastState:
        """Return the state with more values."""
        first, last = (keys[0], values[0]), (keys[-1], values[-1])
        if state is None:
            return first, last
        return (
            min(first, state[0]),
            max(last, state[1]),
        )

    def merge(self, a: FirstLastState | None, b: FirstLastState | None) -> FirstLastState | None:
        """Return the state of both sets of values."""
        if a is None or b is None:
            return b if a is None else a
        return min(a[0], b[0]), max(a[1], b[1])

    def copy(self, state: FirstLastState) -> FirstLastState:
        """Return the state: nothing changes it."""
        return state

    def present(self, state: FirstLastState) -> Iterable[tuple[str, Value]]:
        """Return the first value and the last one; of a single value, it twice."""
        (_, first), (_, last) = state
        return ("_first", first), ("_last", last)

    def split(self, state: FirstLastState) -> tuple[dict[str, Any], tuple[Key, ...]]:
        """Return {"_first": value, "_last": value} and their two keys; of a single value, its one key."""
        (first_key, first), (last_key, last) = state
        keys = (first_key,) if first_key == last_key else (first_key, last_key)
        return {"_first": first, "_last": last}, keys

    def join(self, readable: dict[str, Any], rest: Any) -> FirstLastState:
        """Return the state that `split` took apart."""
        keys: list[Key] = [(time, event_id, index) for time, event_id, index in rest]
        return (keys[0], readable["_first"]), (keys[-1], readable["_last"])
