"""What one would otherwise write: the nine attributes, by hand, in straightforward Python.

    python -m benchmarks.peers EVENTS OUT

It decodes only the fields it needs, as the types it expects, stitches by dictionaries, counts each messageId
once, and takes events in order of time. It keeps no exact sums, expires nobody, forgives no wrong type, and
cannot go on from where it ended: it is a script, and a fast one.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec


class Campaign(msgspec.Struct):
    """context.campaign."""

    source: str | None = None


class Page(msgspec.Struct):
    """context.page."""

    url: str | None = None
    path: str | None = None


class Context(msgspec.Struct):
    """The context of an event."""

    ip: str | None = None
    page: Page | None = None
    campaign: Campaign | None = None


class Properties(msgspec.Struct):
    """The properties of an event."""

    total: float | None = None


class Event(msgspec.Struct):
    """The fields of an event that the nine attributes need."""

    timestamp: str
    messageId: str  # noqa: N815 - as the event calls it
    event: str | None = None
    userId: str | None = None  # noqa: N815 - likewise
    anonymousId: str | None = None  # noqa: N815 - likewise
    properties: Properties | None = None
    context: Context | None = None


def find(parents: dict[str, str], one: str) -> str:
    """Return who stands for an identifier's person."""
    while parents[one] != one:
        parents[one] = parents[parents[one]]
        one = parents[one]
    return one


def identifiers_of(event: Event) -> list[str]:
    """Return the identifiers of an event, told apart by their first letter."""
    found = []
    if event.userId:
        found.append("u" + event.userId)
    if event.anonymousId:
        found.append("a" + event.anonymousId)
    return found


def add(profile: dict[str, Any], event: Event) -> None:
    """Fold an event into its profile; events come in order of time."""
    context = event.context
    if context is not None:
        if context.campaign is not None and context.campaign.source:
            profile.setdefault("source_first", context.campaign.source)
            profile["source_last"] = context.campaign.source
        if context.page is not None:
            if context.page.url:
                profile.setdefault("first_page", context.page.url)
                profile["last_page"] = context.page.url
            if context.page.path:
                profile["pages"][context.page.path] = None
        if context.ip:
            profile["ip"] = context.ip
    if event.properties is not None and event.properties.total is not None:
        total = event.properties.total
        if event.event == "Order Completed":
            profile["spent"] += total
        if "largest" not in profile or total > profile["largest"]:
            profile["largest"] = total
    profile["last_at"] = event.timestamp
    profile["events"] += 1


def fold(lines: list[bytes]) -> list[bytes]:
    """Return one line of JSON per person."""
    decode = msgspec.json.Decoder(Event).decode
    events = sorted(map(decode, lines), key=lambda event: event.timestamp)
    parents: dict[str, str] = {}
    for event in events:
        identifiers = identifiers_of(event)
        for one in identifiers:
            parents.setdefault(one, one)
        if len(identifiers) > 1:
            parents[find(parents, identifiers[0])] = find(parents, identifiers[1])
    profiles: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for event in events:
        identifiers = identifiers_of(event)
        if not identifiers or event.messageId in seen:
            continue
        seen.add(event.messageId)
        person = find(parents, identifiers[0])
        profile = profiles.get(person)
        if profile is None:
            profile = profiles[person] = {"identifiers": set(), "pages": {}, "spent": 0.0, "events": 0}
        profile["identifiers"].update(identifiers)
        add(profile, event)
    encode = msgspec.json.Encoder(order="sorted").encode
    return sorted(
        encode({**one, "identifiers": sorted(one["identifiers"]), "pages": list(one["pages"])})
        for one in profiles.values()
    )


def main() -> None:
    """Fold a file of events into a file of profiles."""
    source, target = map(Path, sys.argv[1:])
    with source.open("rb") as file:
        folded = fold(list(file))
    target.write_bytes(b"\n".join(folded) + b"\n")


if __name__ == "__main__":
    main()
