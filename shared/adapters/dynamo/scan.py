"""Scans of the table of profiles: all items of some versions, several segments of the table at a time.

A key of this table cannot be asked for by its beginning: a scan reads the whole table, whatever it keeps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Queue
from threading import Event
from typing import Any, Final

from shared.adapters.dynamo.keys import SEPARATOR
from shared.adapters.dynamo.wire import Item, Wire
from shared.contract import PROFILES_PK, PROFILES_SK, SK_PROFILE

SEGMENTS: Final = 8
PAGES_WAITING_MAX: Final = 16
"""Pages of up to 1 MB that were read and are not yet looked at."""

Page = list[Item]


def profile_items(
    client: Any, table: str, prefixes: Sequence[str], segments: int = SEGMENTS, **more: Any
) -> Iterator[Item]:
    """Yield the items of profiles whose partition key begins with one of the prefixes, in no order.

    `more` are further arguments of the scan; its `FilterExpression` and `ExpressionAttributeValues` add to
    what is filtered by.
    """
    begins = " OR ".join(f"begins_with({PROFILES_PK}, :prefix{number})" for number in range(len(prefixes)))
    expression = f"{PROFILES_SK} = :profile AND ({begins})"
    if "FilterExpression" in more:
        expression += f" AND {more.pop('FilterExpression')}"
    values: dict[str, Wire] = {
        ":profile": {"S": SK_PROFILE},
        **{f":prefix{number}": {"S": prefix} for number, prefix in enumerate(prefixes)},
        **more.pop("ExpressionAttributeValues", {}),
    }
    arguments = {
        "TableName": table,
        "FilterExpression": expression,
        "ExpressionAttributeValues": values,
        "TotalSegments": segments,
        **more,
    }
    for page in _pages(client, arguments, segments):
        yield from page


def version_prefix(builder: str, version: int) -> str:
    """Return how the partition keys of a version's profiles begin."""
    return f"{builder}{SEPARATOR}{version}{SEPARATOR}"


def _pages(client: Any, arguments: Mapping[str, Any], segments: int) -> Iterator[Page]:
    """Read all segments at once, a bounded number of pages ahead of whoever takes them."""
    pages: Queue[Page | None] = Queue(PAGES_WAITING_MAX)
    enough = Event()

    def read(segment: int) -> None:
        try:
            for page in client.get_paginator("scan").paginate(**arguments, Segment=segment):
                if enough.is_set():
                    return
                if page["Items"]:
                    pages.put(page["Items"])
        finally:
            pages.put(None)

    with ThreadPoolExecutor(segments, "kith-scanner") as pool:
        readers = [pool.submit(read, segment) for segment in range(segments)]
        try:
            yield from _until_all_ended(pages.get, segments)
        finally:
            enough.set()
            while not all(one.done() for one in readers):  # they may wait for room
                with suppress(Empty):
                    pages.get(timeout=0.1)
    for one in readers:
        one.result()


def _until_all_ended(take: Callable[[], Page | None], segments: int) -> Iterator[Page]:
    while segments:
        page = take()
        if page is None:
            segments -= 1
        else:
            yield page
