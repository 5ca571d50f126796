"""First: the value of the smallest key.

state   (key, value)
merge   the one with the smaller key
units   those of the value
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from shared.core.aggregations.base import VALUE_TYPES, Key, Keyed, Value

FirstState = Keyed


class First:
    """The earliest value by event time."""

    name: ClassVar[str] = "first"
    types: ClassVar[frozenset[str]] = VALUE_TYPES
    takes_arrays: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ("",)

    def add(self, state: FirstState | None, keys: Sequence[Key], values: Sequence[Value]) -> FirstState:
        """Return the state with more values."""
        first = keys[0], values[0]
        return first if state is None or first < state else state

    def merge(self, a: FirstState | None, b: FirstState | None) -> FirstState | None:
        """Return the state of both sets of values."""
        if a is None or b is None:
            return b if a is None else a
        return min(a, b)

    def copy(self, state: FirstState) -> FirstState:
        """Return the state: nothing changes it."""
        return state

    def present(self, state: FirstState) -> Iterable[tuple[str, Value]]:
        """Return the value."""
        return (("", state[1]),)

    def split(self, state: FirstState) -> tuple[dict[str, Any], Key]:
        """Return {"": value} and the value's key."""
        key, value = state
        return {"": value}, key

    def join(self, readable: dict[str, Any], rest: Any) -> FirstState:
        """Return the state that `split` took apart."""
        time, event_id, index = rest
        return (time, event_id, index), readable[""]
