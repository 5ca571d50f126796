"""Markers: how somebody outside learns that a reader of the stream has dealt with all up to a moment.

    put_markers (one on every open shard) -> the reader acknowledges each -> are_acknowledged

A reader acknowledges a marker only once all that stands before it on its shard is safe; a closed shard
is read to its end before its children begin. With several invocations at work per shard (`parallelization`)
that holds for the marker's own lane alone; the archiver has always one.
"""

from collections.abc import Collection, Iterable
from typing import Final, Protocol

from shared import contract
from shared.core.control import Marker, control_record

ROUNDS_MAX: Final = 20
"""Listings of the shards; each that finds a new one is followed by another."""


class ShardsChangingError(Exception):
    """The stream got new shards faster than markers could be put on them; trying again helps."""


class Shards(Protocol):
    """The shards of the stream."""

    def open_shards(self) -> dict[str, str]:
        """Return the shards that take records now, each with the first hash key of its range."""

    def put(self, data: bytes, hash_key: str) -> str:
        """Put a record on the open shard that a hash key belongs to; return that shard's id."""


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

    def acknowledge(self, token: str, shard: str) -> None:
        """Note that all before the marker on a shard is dealt with; as often as the marker is met."""
        self._objects.put(_key(token, shard), b"")


def put_markers(shards: Shards, token: str, reader: str) -> list[str]:
    """Put a marker for a reader on every open shard; return the ids of the shards that have one.

    A stream may change meanwhile: it is listed until every shard that is open then has its marker. Raises
    ShardsChangingError when that takes too long.
    """
    data = control_record(Marker(token, reader))
    marked: set[str] = set()
    for _ in range(ROUNDS_MAX):
        unmarked = {shard: key for shard, key in shards.open_shards().items() if shard not in marked}
        if not unmarked:
            return sorted(marked)
        # Where a listed shard was closed meanwhile, the record goes to a child of it, and that is noted.
        marked.update(shards.put(data, hash_key) for hash_key in unmarked.values())
    raise ShardsChangingError


def are_acknowledged(objects: Objects, token: str, shards: Collection[str]) -> bool:
    """Tell whether the markers on all these shards are acknowledged."""
    found = {listed.key for listed in objects.list(f"{contract.PREFIX_MARKERS}{token}/")}
    return found.issuperset(_key(token, shard) for shard in shards)


def _key(token: str, shard: str) -> str:
    return f"{contract.PREFIX_MARKERS}{token}/{shard}"
