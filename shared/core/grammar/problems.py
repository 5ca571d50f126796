"""What is wrong with a definition: all of it at once, each with its line and what is allowed."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple

Location = tuple[str | int, ...]
"""Keys and indexes from the top of a definition to one place in it."""


class Problem(NamedTuple):
    """One thing wrong with a definition. Lines and columns count from 1."""

    line: int
    column: int
    path: str
    """Where: `attributes.total.aggregation`; blank for the whole text."""
    message: str
    """What is wrong, and what is allowed."""


class DefinitionError(Exception):
    """A text that is no definition, with everything that is wrong with it, in the order of its lines."""

    def __init__(self, problems: Iterable[Problem], source: str) -> None:
        self.problems = tuple(sorted(problems))
        self.source = source
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return one line per problem: `builder.yaml:12:5: attributes.total.type: what is wrong`."""
        return [
            f"{self.source}:{line}:{column}: {path}: {message}"
            if path
            else f"{self.source}:{line}:{column}: {message}"
            for line, column, path, message in self.problems
        ]


def dotted(location: Location) -> str:
    """Write a location as a reader of messages expects it: `identifiers.email.from.1`."""
    text = ".".join(str(step) for step in location)
    return text if text.isprintable() else repr(text)[1:-1]


def suggestion(word: str, allowed: Iterable[str]) -> str:
    """Return ` (did you mean ...?)` where one of the allowed words is close, else nothing."""
    close = get_close_matches(word.lower(), list(allowed), n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def listed(words: Iterable[str]) -> str:
    """Write words as a list: `a, b, c`."""
    return ", ".join(words)
