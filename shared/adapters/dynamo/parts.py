"""Names of segments: a body item holds parts of several piles, and each pile refers to its own part.

    {name of the body item}.{number of the pile}

The core sees a part as a segment of that name, unique within its profile; the store writes, reads and deletes
bodies. Piles are numbered: the memory, then the columns of the builder's attributes.
"""

from typing import Final

MEMORY: Final = 0
"""The number of the memory; that of an attribute is its column and one more."""
_SEPARATOR: Final = "."


def pile_of(column: int) -> int:
    """Return the number of an attribute's pile."""
    return column + 1


def part_name(body: str, pile: int) -> str:
    """Return the name of a pile's part of a body item."""
    return f"{body}{_SEPARATOR}{pile}"


def body_of(part: str) -> str:
    """Return the name of the body item that holds a part."""
    return part.partition(_SEPARATOR)[0]
