"""Events, and what becomes of them."""

from typing import Any, Literal, TypedDict


class Event(TypedDict, total=False):
    """An event as its source sent it, decoded from JSON.

    Numbers are `int` or `decimal.Decimal`, exactly as sent; every key may be missing. Events may have any
    other key as well: these are the ones that Segment's libraries send, and two that a builder may set.
    """

    type: str
    """`track`, `page`, `screen`, `identify`, `group` or `alias`."""
    messageId: str
    """Identifies the event: one that comes twice counts once."""
    timestamp: str
    """When it happened, ISO 8601."""
    originalTimestamp: str
    sentAt: str
    receivedAt: str
    event: str
    """The name of a `track` event."""
    name: str
    """The name of a `page` or `screen` event."""
    category: str
    properties: dict[str, Any]
    traits: dict[str, Any]
    context: dict[str, Any]
    userId: str
    anonymousId: str
    groupId: str
    previousId: str
    custom_id: str | int | None
    """If set, an identifier of type `custom_id`."""
    JITSU_PROFILE_ID: str | int | None
    """The same, by the name that it has in Jitsu."""


Result = (
    Event
    | dict[str, Any]
    | list[Event]
    | list[dict[str, Any]]
    | list[Event | dict[str, Any]]
    | Literal["drop", False]
    | None
)
"""What a function makes of an event.

None: it goes on as it came, whatever was done to the copy. A dict: it goes on as this. A list: each of these
goes on, in the event's place. `"drop"`, `False` or an empty list: it goes no further.
"""
