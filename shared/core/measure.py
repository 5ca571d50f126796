"""How large a profile's canonical form can be, without writing it: a tenth of the work or less."""

from decimal import Decimal
from typing import Any, Final

from shared.core.aggregations.base import require_loaded
from shared.core.aggregations.list import ListState
from shared.core.aggregations.unique_list import UniqueListState
from shared.core.canonical import canonical_json
from shared.core.compile import Builder
from shared.core.profile import Profile, present_traits
from shared.core.values import number_text

ESCAPED_BYTES_MAX: Final = 6
"""A character takes at most this in JSON: `\\u0001`; in UTF-8 it takes four."""
TIME_BYTES: Final = len('"2026-01-02T03:04:05.678Z"')
ENTRY_BYTES: Final = len('{"value":,"at":},') + TIME_BYTES
NAME_BYTES: Final = len('"":,') + len("_first")
FIXED_BYTES: Final = 512
"""Names, punctuation, times and counters that every profile has, with room to spare."""


def canonical_bytes_max(builder: Builder, profile: Profile) -> int:
    """Return an upper bound of the bytes of a profile's canonical form.

    Raises `NotLoadedError` when parts of long lists are not loaded.
    """
    total = FIXED_BYTES + len(canonical_json(present_traits(profile)))
    for kind, value in profile.identifiers:
        total += _text(kind) + _text(value) + NAME_BYTES
    for attribute, aggregation, state in zip(
        builder.attributes, builder.aggregations, profile.attributes, strict=True
    ):
        if state is None:
            continue
        total += _text(attribute.name) + NAME_BYTES
        if isinstance(state, ListState):
            require_loaded(state.segments)
            total += _values([value for _, value in state.entries]) + ENTRY_BYTES * len(state.entries)
        elif isinstance(state, UniqueListState):
            require_loaded(state.segments)
            total += _values(list(state.keys)) + len(state.keys)
        else:
            shown = [value for _, value in aggregation.present(state)]
            total += _values(shown) + (_text(attribute.name) + NAME_BYTES) * len(shown)
    return total


def _values(values: list[Any]) -> int:
    # Hot: most lists hold nothing but plain text, and that is told of all of it at once.
    if values and type(values[0]) is str:
        together = "".join(values)
        if _is_plain(together):
            return len(together) + len('""') * len(values)
    total = 0
    for value in values:
        kind = type(value)
        if kind is str:
            total += _text(value)
        elif kind is bool:
            total += len("false")
        else:
            total += max(TIME_BYTES, len(number_text(value) if kind is Decimal else str(value)))
    return total


def _text(text: str) -> int:
    return len('""') + len(text) * (1 if _is_plain(text) else ESCAPED_BYTES_MAX)


def _is_plain(text: str) -> bool:
    """Whether every character takes one byte in JSON."""
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text
