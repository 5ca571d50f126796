"""Masking: what of a builder's environment must be seen in no log, error or preview."""

import json
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
MASKED_LENGTH_MIN: Final = 4
"""Shorter values are no secrets, and masking them would tear up every line."""


class Mask:
    """Replaces values wherever they stand in a text, also as JSON, URLs and `repr` write them.

    Of a value of several lines each line is masked as well: what prints it prints them one by one.
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value) if len(form) >= MASKED_LENGTH_MIN}
        # The longest first: one may be part of another.
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text without the values."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text


def _forms(value: str) -> Iterator[str]:
    for part in (value, *value.splitlines()):
        yield part
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield repr(part)[1:-1]
        # Half a surrogate pair has no form in a URL.
        text = part.encode(errors="replace")
        yield quote(text)
        yield quote(text, safe="")
        yield quote_plus(text)
