"""Markers: how somebody outside learns that a reader of the stream has dealt with all up to a moment.

    put_markers (on every open shard) -> the reader acknowledges each -> are_acknowledged

A reader acknowledges a marker only once all that stands before it on its shard is safe; a closed shard
is read to its end before its children begin. With several invocations at work per shard (`parallelization`)
that holds for the marker's own lane alone. A lane has the records of some partition keys, which ones Lambda
does not tell: so many markers with keys of their own are put on a shard that each of its lanes meets one.
The archiver has always one lane.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, Protocol

from shared import contract
from shared.core.control import Marker, control_record

MARKERS_OF_A_LANE: Final = 24
"""Markers on a shard with several lanes, for each of them: that none of ten lanes is left out by chance is
as certain as 1 - 10 * 0.9 ** 240, all but one in ten thousand million."""
ROUNDS_MAX: Final = 20
"""Listings of the shards; each that finds a new one is followed by another."""


class ShardsChangingError(Exception):
    """The stream got new shards faster than markers could be put on them; trying again helps."""


class Shards(Protocol):
    """The shards of the stream."""

    def open_shards(self) -> dict[str, str]:
        """Return the shards that take records now, each with the first hash key of its range."""

    def put(self, data: Sequence[bytes], hash_key: str) -> list[str]:
        """Put records, each with a partition key of its own, on the open shard that a hash key belongs to.

        Return the id of the shard that each went to: where it is closed meanwhile, others go to its child.
        """


class Listed(Protocol):
    """An object in a listing."""

    @property
    def key(self) -> str:
        """Its name."""


class Objects(Protocol):
    """The objects of the archive bucket."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""

    def list(self, prefix: str) -> Iterable[Listed]:
        """List objects."""


class Markers:
    """Acknowledges markers: an object says that a reader has met the marker of a shard."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def acknowledge(self, marker: Marker, shard: str) -> None:
        """Note that all before the marker on a shard is dealt with; as often as the marker is met."""
        self._objects.put(_key(marker.token, shard, marker.number), b"")


def markers_for(lanes: int) -> int:
    """Return how many markers a shard gets for a reader with so many lanes on it."""
    return 1 if lanes == 1 else MARKERS_OF_A_LANE * lanes


def put_markers(shards: Shards, token: str, reader: str, count: int = 1) -> list[str]:
    """Put so many markers for a reader on every open shard; return the ids of the shards that have all.

    A stream may change meanwhile: it is listed until every shard that is open then has its marker. Raises
    ShardsChangingError when that takes too long.
    """
    data = [control_record(Marker(token, reader, number)) for number in range(count)]
    numbers: dict[str, set[int]] = {}
    for _ in range(ROUNDS_MAX):
        marked = {shard for shard, some in numbers.items() if len(some) == count}
        unmarked = {shard: key for shard, key in shards.open_shards().items() if shard not in marked}
        if not unmarked:
            return sorted(marked)
        for hash_key in unmarked.values():
            # Where a listed shard was closed meanwhile, records go to a child of it, and that is noted.
            for number, shard in enumerate(shards.put(data, hash_key)):
                numbers.setdefault(shard, set()).add(number)
    raise ShardsChangingError


def are_acknowledged(objects: Objects, token: str, shards: Collection[str], count: int = 1) -> bool:
    """Tell whether all so many markers on each of these shards are acknowledged."""
    found = {listed.key for listed in objects.list(f"{contract.PREFIX_MARKERS}{token}/")}
    return found.issuperset(_key(token, shard, number) for shard in shards for number in range(count))


def _key(token: str, shard: str, number: int) -> str:
    return f"{contract.PREFIX_MARKERS}{token}/{shard}" + (f"/{number:03d}" if number else "")
