"""Minimum: the smallest value.

state   the value
merge   min(a, b)
units   those of the value
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from shared.core.aggregations.base import Key


class Min:
    """The smallest number, or the earliest datetime among the values. Idempotent."""

    name: ClassVar[str] = "min"
    types: ClassVar[frozenset[str]] = frozenset({"number", "datetime"})
    takes_arrays: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ("",)

    def add(self, state: Any, _keys: Sequence[Key], values: Sequence[Any]) -> Any:
        """Return the state with more values."""
        smallest = min(values)
        return smallest if state is None or smallest < state else state

    def merge(self, a: Any, b: Any) -> Any:
        """Return the state of both sets of values."""
        if a is None or b is None:
            return b if a is None else a
        return min(a, b)

    def copy(self, state: Any) -> Any:
        """Return the state: nothing changes it."""
        return state

    def present(self, state: Any) -> Iterable[tuple[str, Any]]:
        """Return the smallest value."""
        return (("", state),)

    def split(self, state: Any) -> tuple[dict[str, Any], None]:
        """Return {"": value} and nothing else."""
        return {"": state}, None

    def join(self, readable: dict[str, Any], _rest: Any) -> Any:
        """Return the state that `split` took apart."""
        return readable[""]
