"""The store of user code: values by key, of one version of a builder, each for its time."""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from shared.core.user_store import FOREVER, KEY_BYTES_MAX, VALUE_BYTES_MAX, Ask, Told


class Held(NamedTuple):
    """A value, as JSON text, and until when (seconds since 1970) it is one; None: for good."""

    text: bytes
    expires_at: int | None

    def is_live(self, now_s: float) -> bool:
        """Say whether it is still a value: what removes those that are not may come late."""
        return self.expires_at is None or self.expires_at > now_s


class StoreUnavailableError(Exception):
    """The store cannot be reached now."""


class UserValues(Protocol):
    """Where values are kept, by a key that names builder and version. All raise StoreUnavailableError."""

    def get(self, key: str) -> Held | None:
        """Return what is kept, live or not."""
        ...

    def put(self, key: str, held: Held) -> None:
        """Keep a value, in place of another."""
        ...

    def put_if_dead(self, key: str, held: Held, now_s: float) -> Held | None:
        """Keep a value unless a live one is there; return that one."""
        ...

    def delete(self, key: str) -> None:
        """Remove what is kept."""
        ...


class StoreDesk:
    """Answers questions of the code of one version of a builder, and of no other; `now` gives ms UTC."""

    def __init__(self, values: UserValues, builder: str, version: int, now: Callable[[], int]) -> None:
        self._values = values
        self._prefix = f"{builder}#{version}#"
        self._now = now

    def __call__(self, ask: Ask) -> Told:
        """Answer; what user code asks for is checked here, for its own checks may have been gone around."""
        if not 0 < len(ask.key.encode()) <= KEY_BYTES_MAX or len(bytes(ask.value)) > VALUE_BYTES_MAX:
            return Told(error="the key or the value is too large")
        try:
            return self._answer(ask, self._prefix + ask.key)
        except StoreUnavailableError as error:
            return Told(error=f"the store cannot be reached: {error}")

    def _answer(self, ask: Ask, key: str) -> Told:
        now_s = self._now() / 1000
        if ask.what == "get":
            held = self._values.get(key)
            return _told(held if held and held.is_live(now_s) else None, now_s)
        if ask.what == "delete":
            self._values.delete(key)
            return Told()
        held = Held(bytes(ask.value), None if ask.ttl_s == FOREVER else math.ceil(now_s + ask.ttl_s))
        if ask.if_missing:
            return _told(self._values.put_if_dead(key, held, now_s) or held, now_s)
        self._values.put(key, held)
        return _told(held, now_s)


class MemoryUserValues:
    """Implements `UserValues` in this process: for commands and tests."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def get(self, key: str) -> Held | None:
        """Return what is kept, live or not."""
        return self._held.get(key)

    def put(self, key: str, held: Held) -> None:
        """Keep a value, in place of another."""
        self._held[key] = held

    def put_if_dead(self, key: str, held: Held, now_s: float) -> Held | None:
        """Keep a value unless a live one is there; return that one."""
        there = self._held.get(key)
        if there is not None and there.is_live(now_s):
            return there
        self._held[key] = held
        return None

    def delete(self, key: str) -> None:
        """Remove what is kept."""
        self._held.pop(key, None)


def _told(held: Held | None, now_s: float) -> Told:
    if held is None:
        return Told()
    # It ends with a whole second, less than one late: nobody is told of more than they gave.
    left_s = FOREVER if held.expires_at is None else max(1, math.floor(held.expires_at - now_s))
    return Told(msgspec.Raw(held.text), left_s)
