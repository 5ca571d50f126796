"""Events as sources send them, and the JSON that they are made of."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from shared.core.times import format_time
from tests.generators import any_time

TRANSPORT_FIELDS = ("sentAt", "receivedAt")
KNOWN_FIELDS = (
    *("type", "event", "messageId", "timestamp", "originalTimestamp", *TRANSPORT_FIELDS),
    *("userId", "anonymousId", "previousId", "groupId", "properties", "traits", "context"),
)


def any_text() -> st.SearchStrategy[str]:
    """Any text that JSON can carry: NUL and all of Unicode, but no lone surrogates."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def any_number() -> st.SearchStrategy[int | Decimal]:
    return st.integers() | st.decimals(allow_nan=False, allow_infinity=False)


def any_json() -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | any_number() | any_text()
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text(), inner, max_size=4),
        max_leaves=8,
    )


def any_timestamp() -> st.SearchStrategy[str | int]:
    """A time as sources write it: ISO 8601, or epoch milliseconds."""
    return any_time().map(format_time) | st.integers(10**11, 10**13)


def any_event() -> st.SearchStrategy[dict[str, Any]]:
    """The body of an event such as a decent source sends."""
    return st.fixed_dictionaries(
        {"type": st.sampled_from(("identify", "track", "page", "screen", "group", "alias"))},
        optional={
            "event": any_text(),
            "messageId": st.uuids().map(str),
            "timestamp": any_timestamp(),
            "sentAt": any_timestamp(),
            "receivedAt": any_timestamp(),
            "userId": any_text(),
            "anonymousId": any_text(),
            "properties": st.dictionaries(any_text(), any_json(), max_size=4),
            "traits": st.dictionaries(any_text(), any_json(), max_size=4),
        },
    )


def any_odd_event() -> st.SearchStrategy[dict[str, Any]]:
    """An object whose fields are of any type, wanted or not."""
    return st.dictionaries(st.sampled_from(KNOWN_FIELDS) | any_text(), any_json() | any_timestamp())
