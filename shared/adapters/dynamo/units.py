"""Request units, counted by DynamoDB's documented rules for the items actually read and written."""

from collections.abc import Mapping
from threading import Lock
from typing import Any, Final

from shared.adapters.dynamo.wire import Item

WRITE_UNIT_BYTES: Final = 1024
READ_UNIT_BYTES: Final = 4096
CONTAINER_BYTES: Final = 3
"""What an L or M takes beside its elements, and one more byte for each of them."""


def size_of(item: Item) -> int:
    """Return the bytes that DynamoDB counts for an item: names in UTF-8 and values."""
    # Hot: every write needs it. Whole collections are looked at in one go, not value by value.
    return len("".join(item).encode()) + sum(map(_size, item.values()))


def _size(wire: Mapping[str, Any]) -> int:  # noqa: PLR0911 - one return per type
    letter: str
    value: Any
    ((letter, value),) = wire.items()
    if letter == "S":
        text: str = value
        return len(text) if text.isascii() else len(text.encode())
    if letter == "N":
        digits: int = len(value.strip("-0.").replace(".", ""))
        return (digits + 1) // 2 + 1 + int(value.startswith("-"))
    if letter == "B":
        data: bytes = value
        return len(data)
    if letter == "L":
        return CONTAINER_BYTES + len(value) + sum(map(_size, value))
    if letter == "M":
        names = len("".join(value).encode())
        return CONTAINER_BYTES + len(value) + names + sum(map(_size, value.values()))
    if letter == "SS":
        return sum(len(str(one).encode()) for one in value)
    return 1  # BOOL and NULL


def write_units(size: int) -> int:
    """Return what writing, deleting, or failing to write an item of this many bytes takes."""
    return max(1, -(-size // WRITE_UNIT_BYTES))


def read_units(size: int, *, consistent: bool) -> float:
    """Return what reading an item of this many bytes takes; 0 bytes for one that is not there."""
    units = max(1, -(-size // READ_UNIT_BYTES))
    return units if consistent else units / 2


class Units:
    """Request units consumed and calls made so far, of all threads."""

    def __init__(self) -> None:
        self.reads = 0.0
        self.writes = 0.0
        self.calls = 0
        self._lock = Lock()

    def read(self, units: float) -> None:
        """Count one call that read."""
        with self._lock:
            self.reads += units
            self.calls += 1

    def write(self, units: float) -> None:
        """Count one call that wrote, or tried to."""
        with self._lock:
            self.writes += units
            self.calls += 1
