"""What a profile function gets and returns."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypedDict

from kith.context import Context
from kith.events import Event


class Events(Protocol):
    """A profile's events in order of their time, from as far back as the builder's window reaches.

    They may be gone through as often as wanted, and are never all in memory at once: each time, every event
    is decoded anew.
    """

    def __iter__(self) -> Iterator[Event]:
        """Go through the events, from the first one on."""
        ...


class User(Protocol):
    """Whose events they are."""

    @property
    def profile_id(self) -> str:
        """Kith's key of the profile."""
        ...

    @property
    def user_id(self) -> str | None:
        """The user id that was seen first."""
        ...

    @property
    def anonymous_id(self) -> str | None:
        """The anonymous id that was seen first."""
        ...

    @property
    def traits(self) -> Mapping[str, Any]:
        """Traits of `identify` events; nested ones by dotted name."""
        ...

    @property
    def identifiers(self) -> Mapping[str, Sequence[str]]:
        """All identifiers, by type."""
        ...


class ProfileResult(TypedDict, total=False):
    """What a profile function makes of a profile."""

    traits: dict[str, Any]
    """They are laid over those of `identify` events for as long as the function returns them."""
    profile_id: str | int | None
    """Kept as `published_id`: the key of the row that destinations write."""
    destination_id: str | int | None
    """Which destination writes the row."""
    table_name: str | int | None
    """Into which table."""


ProfileFunction = Callable[
    [Events, User, Context],
    ProfileResult | dict[str, Any] | Awaitable[ProfileResult | dict[str, Any] | None] | None,
]
"""`profile` in `profile.py`, plain or async. None: nothing is laid over the profile."""
