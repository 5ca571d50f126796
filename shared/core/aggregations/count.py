"""Count: how many values there were.

state   an int
merge   a + b
units   events (or, with `from`, events that have the value)
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from shared.core.aggregations.base import VALUE_TYPES, Key, Value


class Count:
    """The number of values added, whatever they are."""

    name: ClassVar[str] = "count"
    types: ClassVar[frozenset[str]] = VALUE_TYPES
    takes_arrays: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ("",)

    def add(self, state: int | None, keys: Sequence[Key], _values: Sequence[Value]) -> int:
        """Return the state with more values."""
        return (state or 0) + len(keys)

    def merge(self, a: int | None, b: int | None) -> int | None:
        """Return the state of both sets of values."""
        if a is None or b is None:
            return b if a is None else a
        return a + b

    def copy(self, state: int) -> int:
        """Return the state: nothing changes it."""
        return state

    def present(self, state: int) -> Iterable[tuple[str, int]]:
        """Return the count."""
        return (("", state),)

    def split(self, state: int) -> tuple[dict[str, Any], None]:
        """Return {"": count} and nothing else."""
        return {"": state}, None

    def join(self, readable: dict[str, Any], _rest: Any) -> int:
        """Return the state that `split` took apart."""
        count: int = readable[""]
        return count
