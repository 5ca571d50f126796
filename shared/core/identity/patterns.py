"""Patterns of block lists, by RE2: whatever they say, matching takes time linear in the value.

With Python's `re` one pattern like `(a+)+b` and one value of forty letters would stall a shard.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

_PROBE: Final = "\0kith\0"
"""A pattern and a value that matches it: a set that RE2 has no room for matches nothing at all."""


class BadPatternError(ValueError):
    """What RE2 does not take; the message says why."""


def check(pattern: str) -> None:
    """Raise `BadPatternError` for what is no pattern of RE2."""
    import re2  # noqa: PLC0415  # see below

    try:
        re2.compile(pattern, _options())
    except UnicodeEncodeError:
        raise BadPatternError("it is no Unicode text") from None
    except re2.error as error:
        said = error.args[0]
        raise BadPatternError(said.decode(errors="replace") if isinstance(said, bytes) else said) from None


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Compile patterns that `check` took into the question whether any matches a whole text, ignoring case.

    Raises `BadPatternError` if they are too large together. The question is not for text that is no Unicode.
    """
    if not patterns:
        return lambda _text: False
    # Imported where needed: not every builder has patterns, and it would delay every cold start.
    import re2  # noqa: PLC0415

    matching = re2.Set.FullMatchSet(_options())
    match: Callable[[str], list[int] | None] = matching.Match
    try:
        for pattern in (*patterns, _PROBE):
            matching.Add(pattern)
        matching.Compile()
        has_room = bool(match(_PROBE))
    except re2.error:
        has_room = False
    if not has_room:
        raise BadPatternError("they are too large together")
    return lambda text: bool(match(text))


@cache
def _options() -> Any:
    import re2  # noqa: PLC0415  # see above

    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    return options
