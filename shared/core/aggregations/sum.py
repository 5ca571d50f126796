"""Sum: the exact total of numbers.

state   a number, exact: an int, or a Decimal (not always normalised)
merge   a + b, without rounding
units   those of the number; no limit on its size
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, ClassVar, cast

from shared.core.aggregations.base import Key
from shared.core.values import EXACT, UNUSABLE, Number, canonical_number, number_text, parse_number


class Sum:
    """The total of all values; 2.50 and 2.50 are 5."""

    name: ClassVar[str] = "sum"
    types: ClassVar[frozenset[str]] = frozenset({"number"})
    takes_arrays: ClassVar[bool] = False
    suffixes: ClassVar[tuple[str, ...]] = ("",)

    def add(self, state: Number | None, _keys: Sequence[Key], values: Sequence[Any]) -> Number:
        """Return the state with more values."""
        total: Any = 0 if state is None else state
        for number in values:
            # Integers add natively: they never round. `+` on a Decimal would, in the thread's context.
            total = total + number if type(total) is int is type(number) else EXACT.add(total, number)
        return cast("Number", total)

    def merge(self, a: Number | None, b: Number | None) -> Number | None:
        """Return the state of both sets of numbers."""
        if a is None or b is None:
            return b if a is None else a
        return EXACT.add(a, b) if type(a) is Decimal or type(b) is Decimal else a + b

    def copy(self, state: Number) -> Number:
        """Return the state: nothing changes it."""
        return state

    def present(self, state: Number) -> Iterable[tuple[str, Number]]:
        """Return the canonical total, however many digits it has."""
        return (("", canonical_number(state)),)

    def split(self, state: Number) -> tuple[dict[str, Any], None]:
        """Return {"": total} and nothing else.

        A total over 38 digits, which no DynamoDB number can hold, stands there as its plain text.
        """
        total = canonical_number(state)
        return {"": number_text(total) if parse_number(total) is UNUSABLE else total}, None

    def join(self, readable: dict[str, Any], _rest: Any) -> Number:
        """Return the state that `split` took apart."""
        total: Number | str = readable[""]
        return canonical_number(Decimal(total)) if isinstance(total, str) else total
