"""Maximum: the largest value.

state   the value
merge   max(a, b)
units   those of the value
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from shared.core.aggregations.base import Key


class Max:
    """The largest number, or the latest datetime among the values. Idempotent."""

    name: ClassVar[str] = "max"
    types: ClassVar[frozenset[str]] = frozenset({"number", "datetime"})
    takes_arrays: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ("",)

    def add(self, state: Any, _keys: Sequence[Key], values: Sequence[Any]) -> Any:
        """Return the state with more values."""
        largest = max(values)
        return largest if state is None or largest > state else state

    def merge(self, a: Any, b: Any) -> Any:
        """Return the state of both sets of values."""
        if a is None or b is None:
            return b if a is None else a
        return max(a, b)

    def copy(self, state: Any) -> Any:
        """Return the state: nothing changes it."""
        return state

    def present(self, state: Any) -> Iterable[tuple[str, Any]]:
        """Return the largest value."""
        return (("", state),)

    def split(self, state: Any) -> tuple[dict[str, Any], None]:
        """Return {"": value} and nothing else."""
        return {"": state}, None

    def join(self, readable: dict[str, Any], _rest: Any) -> Any:
        """Return the state that `split` took apart."""
        return readable[""]
