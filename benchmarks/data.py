"""What the benchmarks read: events drawn from a seed, the same at every run."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from shared.core.times import format_time

START_S = 1_767_225_600  # 2026-01-01T00:00:00Z
EVENTS_PER_PERSON = 10

_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"
_CATEGORIES = ("shoes", "shirts", "hats", "coats")
_EVENTS = ("Product Viewed", "Order Completed", "Product Added")
_SOURCES = ("search", "mail", "social")

BUILDER_YAML = """\
name: peer
identifiers:
  user_id: {from: userId, known: true}
  cookie_id: {from: anonymousId}
attributes:
  source: {from: context.campaign.source, type: string, aggregation: first_last}
  first_page: {from: context.page.url, type: string, aggregation: first}
  last_page: {from: context.page.url, type: string, aggregation: last}
  pages: {from: context.page.path, type: string, aggregation: unique_list}
  spent: {from: properties.total, type: number, aggregation: sum, when: {event: Order Completed}}
  largest: {from: properties.total, type: number, aggregation: max}
  last_at: {from: timestamp, type: datetime, aggregation: max}
  ip: {from: context.ip, type: ip, aggregation: last}
  events: {aggregation: count}
"""
"""The nine attributes of the Python peer, as a builder."""


def events(count: int, people: int, seed: int = 1) -> Iterator[bytes]:
    """Yield lines of JSON of about 1 KB: shop events of people with two cookies each, known half the time."""
    random = Random(seed)  # noqa: S311 - the same draw at every run is what is wanted
    for number in range(count):
        person = random.randrange(people)
        at = datetime.fromtimestamp(START_S + number * 2, tz=UTC).isoformat(timespec="milliseconds")
        at = at.replace("+00:00", "Z")
        page = random.randrange(500)
        event: dict[str, Any] = {
            "type": "track",
            "messageId": f"{random.getrandbits(128):032x}",
            "timestamp": at,
            "sentAt": at,
            "receivedAt": at,
            "anonymousId": f"cookie-{person}-{random.randrange(2)}",
            "event": random.choice(_EVENTS),
            "properties": {
                "total": round(random.random() * 100, 2),
                "sku": f"sku-{page}",
                "category": random.choice(_CATEGORIES),
                "name": f"Product {page}",
            },
            "context": {
                "ip": f"192.0.2.{person % 250}",
                "page": {
                    "url": f"https://shop.example.com/p/{page}",
                    "path": f"/p/{page}",
                    "title": f"Product {page} at the shop of examples",
                    "referrer": "https://search.example.com/",
                },
                "campaign": {"source": random.choice(_SOURCES), "medium": "cpc", "name": "winter"},
                "userAgent": _AGENT,
                "locale": "en-GB",
                "library": {"name": "analytics.js", "version": "4.1.0"},
                "screen": {"width": 1920, "height": 1080, "density": 1},
            },
            "integrations": {"All": True},
            "writeKey": "x" * 32,
        }
        if random.random() < 0.5:
            event["userId"] = f"user-{person}"
        yield json.dumps(event).encode() + b"\n"


def write_events(path: Path, count: int) -> None:
    """Write `count` events of a tenth as many people."""
    with path.open("wb") as file:
        file.writelines(events(count, count // EVENTS_PER_PERSON))


def clickstream(
    seconds: int, visitors: int, starts_per_s: float, seed: int = 1, start_s: int = START_S
) -> Iterator[tuple[int, bytes]]:
    """Yield (arrival in ms UTC, JSON) of the sessions of returning visitors, in order of arrival.

    A session has 10 to 20 events, some seconds apart; half of the visitors are logged in, one session in ten
    ends with an order.
    """
    random = Random(seed)  # noqa: S311 - the same draw at every run is what is wanted
    waiting: list[tuple[int, int, int, int]] = []
    at_ms, number = start_s * 1000, 0
    while True:
        at_ms += int(random.expovariate(starts_per_s) * 1000)
        while waiting and (waiting[0][0] <= at_ms or at_ms > (start_s + seconds) * 1000):
            due, visitor, left, bought = heappop(waiting)
            number += 1
            yield due, _visit(random, due, number, visitor, orders=bool(bought) and left == 1)
            if left > 1:
                heappush(waiting, (due + int(random.expovariate(1 / 15) * 1000), visitor, left - 1, bought))
        if at_ms > (start_s + seconds) * 1000:
            return
        heappush(
            waiting, (at_ms, random.randrange(visitors), random.randint(10, 20), int(random.random() < 0.1))
        )


def _visit(random: Random, at_ms: int, number: int, visitor: int, *, orders: bool) -> bytes:
    """Return one event of a session."""
    at = format_time(at_ms)
    page = random.randrange(5000)
    kind, name = random.choice((("page", None), ("page", None), ("track", "Product Viewed")))
    if orders:
        kind, name = "track", "Order Completed"
    event: dict[str, Any] = {
        "type": kind,
        "messageId": str(UUID(int=random.getrandbits(128), version=4)),
        "timestamp": at,
        "originalTimestamp": at,
        "sentAt": at,
        "anonymousId": str(UUID(int=visitor * 0x9E3779B97F4A7C15_F39CC0605CEDC835 % 2**128, version=4)),
        "properties": {"category": random.choice(_CATEGORIES), "name": f"Product {page % 300}"},
        "context": {
            "ip": f"192.0.2.{visitor % 250}",
            "locale": "en-GB",
            "page": {"url": f"https://shop.example.com/products/{page}", "referrer": "https://example.com/"},
            "campaign": {"source": random.choice(_SOURCES), "medium": "cpc", "name": "winter"},
            "userAgent": _AGENT,
            "device": {"type": "mobile"},
        },
    }
    if name:
        event["event"] = name
    if orders:
        event["properties"]["total"] = round(random.random() * 100, 2)
    if visitor % 2:
        event["userId"] = f"user-{visitor}"
    if number % 20 == 0 and visitor % 2:
        event["type"] = "identify"
        event["traits"] = {"name": f"Visitor {visitor}", "plan": "free", "email": f"v{visitor}@example.com"}
    return msgspec.json.encode(event)
