"""What the Python code of a builder imports: the types of what it gets and returns, and the errors it raises.

    from kith import Context, Event, Result

    def transform(event: Event, context: Context) -> Result:
        if event.get("type") == "page":
            return "drop"
        return None

Importing it is never required. It imports nothing of Kith, so such code runs alike in a cloud, in `kith fold`
and in tests.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypedDict

__all__ = [
    "Context",
    "Event",
    "Function",
    "Log",
    "Metrics",
    "NoRetryError",
    "ProfileBuilder",
    "Result",
    "RetryError",
]


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


class RetryError(Exception):
    """Raise it for an event that cannot be transformed now: it waits, and is tried again as it was sent.

    It is tried again after 10, 100 and 1000 minutes, or after `delay_s` seconds, and then goes to quarantine.
    The event waits either way: `drop` is accepted for code written for Jitsu.
    """

    # Here as well, for classes made of this one that never call its `__init__`.
    delay_s: float | None = None
    drop: bool = False

    def __init__(self, message: str = "", delay_s: float | None = None, *, drop: bool = False) -> None:
        super().__init__(message)
        if delay_s is not None and not (math.isfinite(delay_s) and delay_s >= 0):
            raise ValueError("delay_s must be a number of seconds, 0 or more")
        self.delay_s = delay_s
        self.drop = drop


class NoRetryError(Exception):
    """Raise it for an event that can never be transformed: it goes to quarantine, as for any other error."""


class Log(Protocol):
    """Writes lines to the builder's log; values of `env` are masked in them."""

    def debug(self, message: object, /, **fields: object) -> None:
        """Write what helps to follow one event."""

    def info(self, message: object, /, **fields: object) -> None:
        """Write what is normal."""

    def warn(self, message: object, /, **fields: object) -> None:
        """Write what should be looked at."""

    def error(self, message: object, /, **fields: object) -> None:
        """Write what went wrong."""


class Metrics(Protocol):
    """Counts."""

    def count(self, name: str, value: int = 1, /) -> None:
        """Add to a counter; names are of up to 64 letters, digits, `_` and `.`."""


class ProfileBuilder(Protocol):
    """Which builder runs."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def version(self) -> int:
        """Its version; 0 where it is not published, as in `kith fold` and in tests."""
        ...


class Context(Protocol):
    """What a function may use beside the event."""

    @property
    def log(self) -> Log:
        """The builder's log."""
        ...

    @property
    def metrics(self) -> Metrics:
        """The builder's counters."""
        ...

    @property
    def env(self) -> Mapping[str, str]:
        """The variables under `env` in builder.yaml."""
        ...

    @property
    def profile_builder(self) -> ProfileBuilder:
        """Which builder runs."""
        ...


Function = Callable[[Event, Context], Result]
"""A function of a chain: `transform`, or each one of the list `chain`."""
