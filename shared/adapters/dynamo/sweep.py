"""Deletes all items of one version: by a scan of whole tables, as no key leads to them, in slices of time."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.client import WRITE_ITEMS_MAX, Client, chunks
from shared.adapters.dynamo.keys import SEPARATOR
from shared.adapters.dynamo.pace import Pace
from shared.adapters.dynamo.units import size_of, write_units
from shared.adapters.dynamo.wire import Item
from shared.app.ports import Clock
from shared.app.rebuild.ports import MayGoOn, Swept
from shared.contract import IDENTIFIERS_PK, PROFILES_PK, PROFILES_SK, USER_STORE_PK

SEGMENTS: Final = 8
"""Parts of a table that are scanned at once."""


class _Cursor(msgspec.Struct):
    """Where a sweep goes on: in which table, and per segment after which key; None where it is done."""

    table: int = 0
    after: list[dict[str, str] | None] = msgspec.field(default_factory=lambda: [{} for _ in range(SEGMENTS)])


class DynamoVersionItems:
    """Implements `VersionItems`; deletes take about `units_per_s` write units, 0 for as many as there are.

    What user code keeps, in the table `user_store`, is a version's as well.
    """

    def __init__(
        self,
        client: Any,
        tables: Tables,
        clock: Clock,
        *,
        user_store: str | None = None,
        units_per_s: float = 0,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._raw = client
        self._client = Client(client, clock)
        self._pace = Pace(units_per_s, wait)
        self._tables = [
            (tables.identifiers, [IDENTIFIERS_PK]),
            (tables.profiles, [PROFILES_PK, PROFILES_SK]),
        ]
        if user_store:
            self._tables.append((user_store, [USER_STORE_PK]))

    def sweep(self, builder: str, version: int, cursor: str, may_go_on: MayGoOn) -> Swept:
        """Delete a version's items from `cursor` on (at first empty) for as long as there is time."""
        at = msgspec.json.decode(cursor, type=_Cursor) if cursor else _Cursor()
        prefix = f"{builder}{SEPARATOR}{version}{SEPARATOR}"
        deleted = 0
        while at.table < len(self._tables):
            with ThreadPoolExecutor(SEGMENTS, "kith-sweep") as sweepers:
                while any(one is not None for one in at.after):
                    if not may_go_on():
                        return Swept(msgspec.json.encode(at).decode(), deleted)
                    pages = sweepers.map(
                        lambda segment, table=at.table, after=at.after: self._page(
                            table, segment, after[segment], prefix, may_go_on
                        ),
                        range(SEGMENTS),
                    )
                    found = list(pages)
                    at.after = [after for after, _ in found]
                    deleted += sum(count for _, count in found)
            at = _Cursor(at.table + 1)
        return Swept(None, deleted)

    def _page(
        self, table: int, segment: int, after: dict[str, str] | None, prefix: str, may_go_on: MayGoOn
    ) -> tuple[dict[str, str] | None, int]:
        """Delete what one page of a scan finds; return where the next one begins, and how many that were.

        It begins where this one did, if there was no time for all.
        """
        if after is None:
            return None, 0
        name, keys = self._tables[table]
        start: dict[str, Item] = {"ExclusiveStartKey": _wire(after)} if after else {}
        answer = self._raw.scan(
            TableName=name,
            Segment=segment,
            TotalSegments=SEGMENTS,
            FilterExpression=f"begins_with({PROFILES_PK}, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": prefix}},
            ConsistentRead=True,
            **start,
        )
        # Whole items: a scan costs the same, and what a delete takes is a matter of their sizes.
        found = [({key: item[key] for key in keys}, size_of(item)) for item in answer["Items"]]
        deleted = 0
        for some in chunks(found, WRITE_ITEMS_MAX):
            if not may_go_on():
                return after, deleted
            self._pace.take(sum(write_units(size) for _, size in some))
            self._client.write(name, [], some)
            deleted += len(some)
        last = answer.get("LastEvaluatedKey")
        return ({key: wire["S"] for key, wire in last.items()} if last else None), deleted


def _wire(key: dict[str, str]) -> Item:
    return {name: {"S": value} for name, value in key.items()}
