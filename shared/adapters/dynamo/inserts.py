"""Items that are inserted, and never written over: PartiQL INSERT, 25 in a BatchExecuteStatement.

A put that comes late, when its caller has long made it again, would bring back what has changed since; an
insert finds that the item exists. It takes as many write units, but the right of `dynamodb:PartiQLInsert`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from shared.adapters.dynamo.units import size_of
from shared.adapters.dynamo.wire import Item
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
    """Some items could not be inserted; the message says with which codes."""


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


def statement(one: Insert) -> dict[str, Any]:
    """Return an insert as a statement of a call."""
    # Names of attributes are Kith's own; whatever events say is a parameter.
    members = ", ".join(f"'{name}': ?" for name in one.item)
    return {
        "Statement": f'INSERT INTO "{one.table}" VALUE {{{members}}}',
        "Parameters": list(one.item.values()),
    }


def left(inserts: Sequence[Insert], answer: Mapping[str, Any]) -> list[Insert]:
    """Return the inserts of a call that are to be tried again. Raises `NotInsertedError`."""
    codes = [one.get("Error", {}).get("Code", EXISTS) for one in answer["Responses"]]
    refused = sorted({code for code in codes if code != EXISTS and code not in PASSING})
    if refused:
        raise NotInsertedError(", ".join(refused))
    return [one for one, code in zip(inserts, codes, strict=True) if code != EXISTS]
