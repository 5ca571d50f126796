"""Last: the value of the largest key.

state   (key, value)
merge   the one with the larger key
units   those of the value
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from shared.core.aggregations.base import VALUE_TYPES, Key, Keyed, Value

LastState = Keyed


class Last:
    """The latest value by event time."""

    name: ClassVar[str] = "last"
    types: ClassVar[frozenset[str]] = VALUE_TYPES
    takes_arrays: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ("",)

    def add(self, state: LastState | None, keys: Sequence[Key], values: Sequence[Value]) -> LastState:
        """Return the state with more values."""
        last = keys[-1], values[-1]
        return last if state is None or last > state else state

    def merge(self, a: LastState | None, b: LastState | None) -> LastState | None:
        """Return the state of both sets of values."""
        if a is None or b is None:
            return b if a is None else a
        return max(a, b)

    def copy(self, state: LastState) -> LastState:
        """Return the state: nothing changes it."""
        return state

    def present(self, state: LastState) -> Iterable[tuple[str, Value]]:
        """Return the value."""
        return (("", state[1]),)

    def split(self, state: LastState) -> tuple[dict[str, Any], Key]:
        """Return {"": value} and the value's key."""
        key, value = state
        return {"": value}, key

    def join(self, readable: dict[str, Any], rest: Any) -> LastState:
        """Return the state that `split` took apart."""
        time, event_id, index = rest
        return (time, event_id, index), readable[""]
