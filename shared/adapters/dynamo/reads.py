"""Reads of profiles and pointers, and what this process knows of them."""

from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from typing import Final

from shared.adapters.dynamo.access import Access
from shared.adapters.dynamo.client import GET_KEYS_MAX, chunks
from shared.adapters.dynamo.items import pointer_of
from shared.adapters.dynamo.layout import Listed, listed
from shared.adapters.dynamo.overflow import chunk_names, missing, whole
from shared.adapters.dynamo.state import UnknownFormatError
from shared.adapters.dynamo.transactions import removed
from shared.adapters.dynamo.units import size_of
from shared.adapters.dynamo.wire import Item
from shared.adapters.lru import Lru
from shared.app.damage import DamagedError
from shared.app.ports import SegmentGoneError
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile
from shared.core.snapshot import Pointer, Stored
from shared.core.writes import Plan

PROFILES_CACHED_MAX: Final = 4096
POINTERS_CACHED_MAX: Final = 16_384
CACHED_BYTES_MAX: Final = 32 * 1024
LISTED_KEPT_MAX: Final = 16_384


class Reads:
    """Reads in batches. What the cache holds answers reads that need not be fresh.

    The cache holds live profiles and pointers only, as this process read or wrote them last: what is absent
    may appear at any time. What a stored revision lists is known for good.
    """

    def __init__(
        self,
        access: Access,
        executor: Executor,
        *,
        cache: bool,
    ) -> None:
        self._client, self._builder, self._tables, self._keyspace, self._items, self._bodies = access
        self._executor = executor
        self.pointed: Lru[Identifier, Pointer] = Lru(POINTERS_CACHED_MAX if cache else 0)
        self.cached: Lru[str, Profile] = Lru(PROFILES_CACHED_MAX if cache else 0)
        self._listed: Lru[tuple[str, int], Listed] = Lru(LISTED_KEPT_MAX)
        """What revisions list, each for good: a write needs what the very one that it replaces lists."""
        self._sizes: Lru[str, int] = Lru(LISTED_KEPT_MAX)
        """The bytes of items as they were last seen: by them, the units of changing one are counted."""

    def pointers(
        self, identifiers: Collection[Identifier], *, fresh: bool
    ) -> dict[Identifier, Pointer | None]:
        """Return where identifiers lead. Raises `DamagedError`."""
        found: dict[Identifier, Pointer | None] = dict.fromkeys(identifiers)
        if not fresh:
            found.update((one, self.pointed.get(one)) for one in identifiers)
        wanted = {one: self._keyspace.pointer(one) for one, pointer in found.items() if pointer is None}
        damaged: list[Identifier] = []
        for item in self._read(self._tables.identifiers, list(wanted.values()), fresh=fresh):
            identifier = self._keyspace.identifier(item)
            try:
                found[identifier] = pointer = pointer_of(item)
            except UnknownFormatError:
                damaged.append(identifier)
            else:
                self.pointed.put(identifier, pointer)
        if damaged:
            raise DamagedError(damaged)
        return found

    def profiles(self, ids: Collection[str], *, fresh: bool) -> dict[str, Stored | None]:
        """Return what is stored under ids, without segments. Raises `DamagedError`."""
        found: dict[str, Stored | None] = dict.fromkeys(ids)
        if not fresh:
            found.update((one, self.cached.get(one)) for one in ids)
        wanted = [self._keyspace.profile(one) for one, stored in found.items() if stored is None]
        damaged: list[str] = []
        for item in self._read(self._tables.profiles, wanted, fresh=fresh):
            try:
                stored = self.stored(item)
            except UnknownFormatError:
                damaged.append(self._keyspace.profile_id(item))
            else:
                if stored is not None:
                    found[stored.id] = stored
        if damaged:
            raise DamagedError(damaged)
        return found

    def _read(self, table: str, keys: Sequence[Item], *, fresh: bool) -> list[Item]:
        if len(keys) <= GET_KEYS_MAX:
            return self._client.get(table, keys, consistent=fresh)
        parts = self._executor.map(
            lambda some: self._client.get(table, some, consistent=fresh), chunks(keys, GET_KEYS_MAX)
        )
        return [item for part in parts for item in part]

    def stored(self, item: Item) -> Stored | None:
        """Decode an item, with its chunks; None if the profile goes away while they are read.

        Chunks that are missing belong to a revision that has been replaced: the item is read again. Raises
        `UnknownFormatError`.
        """
        for _ in range(2):
            names = chunk_names(item)
            profile_id = self._keyspace.profile_id(item)
            parts = self._bodies.read(profile_id, names) if names else {}
            if not missing(names, parts):
                stored = self._items.stored(whole(item, parts) if names else item)
                if isinstance(stored, Profile):
                    self.keep(stored, listed(self._builder, stored, names, size_of(item)))
                return stored
            again = self._client.get(
                self._tables.profiles, [self._keyspace.profile(profile_id)], consistent=True
            )
            if not again:
                return None
            item = again[0]
        raise SegmentGoneError(f"{profile_id} is being rewritten")

    def keep(self, profile: Profile, lists: Listed) -> None:
        """Take note that this is what is stored now, and what it lists."""
        self._listed.put((profile.id, profile.rev), lists)
        self._sizes.put(profile.id, lists.size)
        if lists.size <= CACHED_BYTES_MAX:
            self.cached.put(profile.id, profile)
        else:
            self.cached.drop(profile.id)

    def listed_at(self, profile_id: str, rev: int | None) -> Listed:
        """Return what a stored revision lists; nothing if that is not known."""
        known = None if rev is None else self._listed.get((profile_id, rev))
        return Listed() if known is None else known

    def size_of(self, profile_id: str) -> int:
        """Return the bytes of a profile's item as it was last seen; 0 if it was not."""
        return self._sizes.get(profile_id) or 0

    def forget(self, plan: Plan) -> None:
        """Drop from the cache all that a plan that failed relied on."""
        for put in plan.puts:
            self.cached.drop(put.profile.id)
        for profile_id in (*plan.checks, *(one for one, _ in removed(plan))):
            self.cached.drop(profile_id)
        for point in (*plan.points, *plan.released):
            self.pointed.drop(point.identifier)
