"""Cutting what there is into parts that a call, or an object, can carry."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def cut(
    items: Iterable[T], size: Callable[[T], int], bytes_max: int, count_max: int | None = None
) -> Iterator[list[T]]:
    """Cut items into lists of at most so many bytes, and so many items; a larger item is alone."""
    part: list[T] = []
    held_bytes = 0
    for item in items:
        size_bytes = size(item)
        if part and (len(part) == count_max or held_bytes + size_bytes > bytes_max):
            yield part
            part, held_bytes = [], 0
        part.append(item)
        held_bytes += size_bytes
    if part:
        yield part
