"""What a rebuild needs from the world, beside the registry, the consumers and the shards of the stream."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from shared.core.identity.identifiers import Identifier
from shared.core.writes import Plan

MayGoOn = Callable[[], bool]
"""Says whether there is time for more: a worker that runs out of it stops, and is called again."""


class ListedObject(Protocol):
    """An object as a listing shows it."""

    @property
    def key(self) -> str:
        """Its key."""
        ...

    @property
    def size(self) -> int:
        """Its bytes."""
        ...


class Objects(Protocol):
    """The objects of the archive bucket."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object, over an older one of the same key."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one of this key; say whether it was written."""
        ...

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and its tag; None if there is no such object."""
        ...

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return some bytes of an object, fewer where it ends; KeyError if there is no such object."""
        ...

    def list(self, prefix: str, after: str = "") -> Iterator[ListedObject]:
        """Yield the objects below a prefix, by key; only those whose key comes after `after`."""
        ...

    def delete_all(self, keys: Iterable[str]) -> None:
        """Delete objects, those that exist."""
        ...


class Loader(Protocol):
    """Writes finished profiles of a version that nothing else writes yet.

    Every item is only ever inserted: where there is one already, that one stays. So a worker that was
    thought dead cannot undo what the version's consumer has folded meanwhile.
    """

    def insert(self, plans: Sequence[Plan]) -> None:
        """Write what plans put, bury, point and release, in any order.

        Raises whatever the store raises when it does not take them; then all may be inserted again.
        """
        ...


class ActiveProfile(NamedTuple):
    """A live profile of the active version, as far as a rebuild is concerned."""

    profile_id: str
    founder: Identifier
    created_at: int


class ActiveProfiles(Protocol):
    """The profiles of the active version."""

    def owners(self, identifiers: Collection[Identifier], at: int) -> dict[Identifier, ActiveProfile]:
        """Return whose identifiers these are, of those that belong to a profile live at a time (ms UTC)."""
        ...


class ProfileLines(Protocol):
    """The profiles of any version, as they are shown."""

    def canonical(self, version: int, ids: Collection[str]) -> dict[str, bytes]:
        """Return the canonical forms of those profiles that are there, by id."""
        ...


class Swept(NamedTuple):
    """How far a version's items are deleted: where to go on (None: all is looked at), how many went."""

    cursor: str | None
    deleted: int


class VersionItems(Protocol):
    """All items of one version in the tables of profiles and identifiers."""

    def sweep(self, builder: str, version: int, cursor: str, may_go_on: MayGoOn) -> Swept:
        """Delete a version's items from `cursor` on (at first empty) for as long as there is time."""
        ...
