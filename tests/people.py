"""A small world of people who share devices: definitions and streams of contributions for engine tests."""

import json
from random import Random

from shared.core.compile import Builder, Contribution
from shared.core.definition import Attribute, Condition, Definition, IdentifierType, Retention
from shared.core.event import Event, Position, event_of
from shared.core.identity.identifiers import DEFAULT_BLOCK

T0 = 1_790_000_000_000  # 2026-09-21T13:33:20Z
DAY = 86_400_000
HOUR = 3_600_000


def a_definition(**changes) -> Definition:
    """A builder that uses every aggregation, over the identifiers of a shop."""
    properties = {
        "name": "people",
        "identifiers": (
            IdentifierType("user_id", (("userId",),), known=True, limit=changes.pop("limit", None)),
            IdentifierType("email", (("traits", "email"),), normalize="lower"),
            IdentifierType("cookie_id", (("anonymousId",), ("previousId",))),
        ),
        "attributes": (
            Attribute("source", "first_last", "string", (("properties", "source"),)),
            Attribute("first_page", "first", "string", (("properties", "page"),)),
            Attribute("pages", "list", "string", (("properties", "page"), ("properties", "pages"))),
            Attribute("tags", "unique_list", "string", (("properties", "tags"),)),
            Attribute("new_tags", "unique_list", "string", (("properties", "tags"),), keep="newest"),
            Attribute(
                "spent", "sum", "number", (("properties", "total"),), (Condition(("event",), ("Order",)),)
            ),
            Attribute("largest", "max", "number", (("properties", "total"),)),
            Attribute("smallest", "min", "number", (("properties", "total"),)),
            Attribute("last_at", "last", "datetime", (("timestamp",),)),
            Attribute("events", "count"),
        ),
        "retention": Retention(13, 1),
        "block": DEFAULT_BLOCK,
    }
    return Definition(**(properties | changes))


def an_event(**changes) -> Event:
    """An event with a body; `arrival` and `position` may be given beside what the body says."""
    arrival = changes.pop("arrival", T0)
    position = changes.pop("position", Position("shard-0", "0", 0))
    body = json.loads(json.dumps(changes), parse_float=str)
    return event_of(body, len(json.dumps(body)), arrival, position)


def contributions_of(builder: Builder, events) -> list[Contribution]:
    """What the events give; those that build no profile are left out."""
    found = (builder.contribute(event, _Ignored()) for event in events)
    return [one for one in found if isinstance(one, Contribution)]


class _Ignored(dict):
    def __missing__(self, key):
        return 0


def any_stream(
    random: Random, size_max: int = 40, gap_ms: int = 40 * DAY, people: int = 4, size_min: int = 1
) -> list[Event]:
    """Events of a few people on shared devices, in order of arrival, with duplicates.

    `gap_ms` bounds the time between arrivals; with more than a month of it, profiles expire in between.
    Drawn from a seed, not by hypothesis: a hundred times as many streams for the time.
    """
    arrival = T0
    events = []
    for number in range(random.randint(size_min, size_max)):
        arrival += random.choice([random.randint(0, HOUR), random.randint(0, gap_ms)])
        events.append(_any_event(random, number, arrival, people))
    for copied in random.choices(events, k=random.randint(0, 4)):
        late = random.randint(0, 30 * HOUR)
        body = copied.body
        if random.random() < 0.3:  # the same id, and not quite the same event
            body = body | {
                "anonymousId": f"cookie-{random.randint(0, people)}",
                "properties": {"page": "/again"},
            }
        events.append(
            Event(body, copied.id, copied.time, copied.arrival + late, copied.size, copied.position)
        )
    return sorted(events, key=lambda event: (event.arrival, event.id))


def in_batches(random: Random, items: list, largest: int = 7) -> list[list]:
    """Cut a list into batches."""
    batches, start = [], 0
    while start < len(items):
        size = random.randint(1, largest)
        batches.append(items[start : start + size])
        start += size
    return batches


def _any_event(random: Random, number: int, arrival: int, people: int) -> Event:
    def some(values):
        return random.choice([None, *values])

    cookies = [f"cookie-{one}" for one in range(people + 2)]
    body = {
        "messageId": f"m{random.randint(0, 99):02}-{number}",
        "type": random.choice(["track", "identify", "page"]),
        "event": random.choice(["Order", "View"]),
        "userId": some([f"user-{one}" for one in range(people)]),
        "anonymousId": some(cookies),
        "previousId": some(cookies) if random.random() < 0.1 else None,
        "traits": {
            name: random.choice([None, "a", "b", 1, 2, {"deep": 3, "gone": None}, [1, {"x": 2}]])
            for name in random.sample(["name", "plan", "list"], random.randint(0, 3))
        },
        "properties": {
            "source": some(["ads", "mail", "social"]),
            "page": some(["/a", "/b", "/c"]),
            "pages": random.choices(["/d", "/e"], k=random.randint(0, 3)),
            "tags": random.choices("uvwxyz", k=random.randint(0, 3)),
            "total": some([0, 1, 25, "125.50", "75.25", "-0.01", "1e37", "1e-20"]),
        },
    }
    if random.random() < 0.2:
        body["traits"]["email"] = random.choice(["A@example.com", "b@example.com"])
    time = arrival - random.choice([0, 0, 1000, HOUR, 3 * DAY, arrival % DAY])
    return Event(body, body["messageId"], time, arrival, 400, Position("shard-0", f"{number:04}", 0))
