"""Items that are inserted, and never written over: PartiQL INSERT, 25 in a BatchExecuteStatement.

A put that comes late, when its caller has long made it again, would bring back what has changed since; an
insert finds that the item exists. It takes as many write units, but the right of `dynamodb:PartiQLInsert`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from shared.adapters.dynamo.attempts import until_done
from shared.adapters.dynamo.pace import UNBOUNDED, Pace
from shared.adapters.dynamo.units import Units, size_of, write_units
from shared.adapters.dynamo.wire import Item
from shared.app.ports import Clock
from shared.core.cutting import cut

STATEMENTS_MAX: Final = 25
CALL_BYTES_MAX: Final = 2**20
"""Bytes of items in one call; a larger item is alone in its own."""
EXISTS: Final = "DuplicateItem"
PASSING: Final = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "ThrottlingError",
        "TransactionConflict",
    }
)
"""What a single insert may fail with and be tried again."""


class NotInsertedError(Exception):
    """Some items are refused for good; the message says with which codes."""


class Insert(NamedTuple):
    """An item for a table, and its size in bytes."""

    table: str
    item: Item
    size: int


def insert(table: str, item: Item) -> Insert:
    """Return the insert of an item."""
    return Insert(table, item, size_of(item))


def calls(inserts: Iterable[Insert]) -> Iterator[list[Insert]]:
    """Yield the inserts of one call after the other."""
    return cut(inserts, lambda one: one.size, CALL_BYTES_MAX, STATEMENTS_MAX)


class Inserter:
    """Inserts, at a pace, and counts units."""

    def __init__(
        self, client: Any, clock: Clock, units: Units, attempts_max: int, pace: Pace = UNBOUNDED
    ) -> None:
        self._client = client
        self._clock = clock
        self._units = units
        self._attempts_max = attempts_max
        self._pace = pace

    def insert(self, inserts: Sequence[Insert]) -> None:
        """Insert what fits into one call; an item that exists is there, whoever put it there.

        Raises `NotInsertedError` and `ThrottledError`.
        """
        until_done(self._call, inserts, self._clock, self._attempts_max)

    def _call(self, inserts: Sequence[Insert]) -> list[Insert]:
        wanted = _units_of(inserts)
        self._pace.take(wanted)
        answer = self._client.batch_execute_statement(Statements=list(map(_statement, inserts)))
        left = _left(inserts, answer)
        self._units.write(wanted - _units_of(left))
        return left


def _units_of(inserts: Sequence[Insert]) -> int:
    return sum(write_units(one.size) for one in inserts)


def _statement(one: Insert) -> dict[str, Any]:
    """Return an insert as a statement of a call."""
    # Names of attributes are Kith's own; whatever events say is a parameter.
    members = ", ".join(f"'{name}': ?" for name in one.item)
    return {
        "Statement": f'INSERT INTO "{one.table}" VALUE {{{members}}}',
        "Parameters": list(one.item.values()),
    }


def _left(inserts: Sequence[Insert], answer: Mapping[str, Any]) -> list[Insert]:
    """Return the inserts of a call that are to be tried again. Raises `NotInsertedError`."""
    codes = [one.get("Error", {}).get("Code", EXISTS) for one in answer["Responses"]]
    refused = sorted({code for code in codes if code != EXISTS and code not in PASSING})
    if refused:
        raise NotInsertedError(", ".join(refused))
    return [one for one, code in zip(inserts, codes, strict=True) if code != EXISTS]
