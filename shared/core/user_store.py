"""The store as user code sees it: `kith.Store`, on questions that somebody else answers."""

import math
import re
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from kith import StoreError
from shared.core.containers import decode_any
from shared.core.made_json import json_kept

KEY_BYTES_MAX: Final = 512
VALUE_BYTES_MAX: Final = 64 * 1024
"""JSON text of a value."""
FOREVER: Final = -1
MISSING: Final = -2
TTL_S: Final = 31 * 86_400
TTL_S_MAX: Final = 100 * 366 * 86_400
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_TTL: Final = re.compile(r"([0-9]{1,9})([smhdw])")


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question to the store. A value is set for `ttl_s`; unless, `if_missing`, there is one already."""

    what: Literal["get", "set", "delete"]
    key: str
    value: msgspec.Raw = msgspec.Raw(b"null")
    ttl_s: int = FOREVER
    if_missing: bool = False


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """Its answer: the value that there is now, and for how many seconds; or why there is no answer.

    `ttl_s` is -1 for ever, and -2 if there is none.
    """

    value: msgspec.Raw = msgspec.Raw(b"null")
    ttl_s: int = MISSING
    error: str | None = None


class UserStore:
    """Implements `kith.Store`."""

    def __init__(self, ask: Callable[[Ask], Told]) -> None:
        self._ask = ask

    def get(self, key: str, /) -> Any:
        """Return a value; None if there is none."""
        return _value(self._told(Ask("get", _key(key))))

    def get_with_ttl(self, key: str, /) -> tuple[Any, int] | None:
        """Return a value, and for how many seconds it is still kept, -1 for ever; None if there is none."""
        told = self._told(Ask("get", _key(key)))
        return None if told.ttl_s == MISSING else (_value(told), told.ttl_s)

    def set(self, key: str, value: Any, /, ttl: float | str | None = None) -> None:
        """Keep a value, in place of an older one."""
        self._told(Ask("set", _key(key), _text(value), ttl_seconds(ttl)))

    def delete(self, key: str, /) -> None:
        """Remove a value, if there is one."""
        self._told(Ask("delete", _key(key)))

    def ttl(self, key: str, /) -> int:
        """Return for how many seconds a value is still kept; -1 for ever, -2 if there is none."""
        return self._told(Ask("get", _key(key))).ttl_s

    def get_or_set(self, key: str, value: Any | Callable[[], Any], /, ttl: float | str | None = None) -> Any:
        """Return the value that there is; else keep the one given, or what the function given returns."""
        ttl_s = ttl_seconds(ttl)
        told = self._told(Ask("get", _key(key)))
        if told.ttl_s == MISSING:
            made = value() if callable(value) else value
            told = self._told(Ask("set", key, _text(made), ttl_s, if_missing=True))
        return _value(told)

    def _told(self, ask: Ask) -> Told:
        told = self._ask(ask)
        if told.error is not None:
            raise StoreError(told.error)
        return told


def ttl_seconds(ttl: float | str | None) -> int:
    """Read for how long a value is kept, in whole seconds, -1 for ever; ValueError if that cannot be told."""
    if ttl is None:
        return TTL_S
    seconds: float | None = None
    if isinstance(ttl, str):
        if ttl == "forever":
            return FOREVER
        match = _TTL.fullmatch(ttl)
        seconds = int(match[1]) * _UNITS_S[match[2]] if match else None
    elif not isinstance(ttl, bool) and isinstance(ttl, int | float):
        if ttl == FOREVER:
            return FOREVER
        seconds = ttl
    if seconds is None or not 0 < seconds <= TTL_S_MAX:
        raise ValueError('`ttl` must be a number of seconds over 0, a text such as "7d", or "forever"')
    return math.ceil(seconds)


def _key(key: Any) -> str:
    if not isinstance(key, str) or not 0 < len(key.encode(errors="replace")) <= KEY_BYTES_MAX:
        raise ValueError(f"a key must be text of 1 to {KEY_BYTES_MAX} bytes")
    key.encode()  # half a surrogate pair is no text: UnicodeEncodeError is a ValueError
    return key


def _text(value: Any) -> msgspec.Raw:
    text = json_kept(value)
    if len(text) > VALUE_BYTES_MAX:
        raise ValueError(f"a value is at most {VALUE_BYTES_MAX} bytes of JSON")
    return msgspec.Raw(text)


def _value(told: Told) -> Any:
    return decode_any(told.value)
