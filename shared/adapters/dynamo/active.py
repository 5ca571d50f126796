"""The active version's profiles, as a rebuild asks for them: whose identifiers, and who founded them."""

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.client import GET_KEYS_MAX, Client, chunks
from shared.adapters.dynamo.items import KIND, REDIRECT, created_at_of, founder_of, pointer_of, updated_at_of
from shared.adapters.dynamo.keys import Keyspace, body_name
from shared.adapters.dynamo.overflow import CHUNKS, chunk_names, missing, whole
from shared.adapters.dynamo.state import UnknownFormatError, reads_items
from shared.adapters.dynamo.wire import Item
from shared.app.ports import Clock
from shared.app.rebuild.ports import ActiveProfile
from shared.contract import PROFILES_PK
from shared.core.compile import Builder
from shared.core.identity.identifiers import Identifier
from shared.core.retention import expires_at

READERS: Final = 16
REDIRECTS_MAX: Final = 8
_NAMES: Final = (PROFILES_PK, KIND, REDIRECT, "founder", "created_at", "updated_at", "identifiers", CHUNKS)


class DynamoActiveProfiles:
    """Implements `ActiveProfiles` for one version of one builder. Reads may be stale by some moments.

    Whether a profile is live, it says itself: its TTL may be later, when a rebuild has written it.
    """

    def __init__(self, client: Any, builder: Builder, version: int, tables: Tables, clock: Clock) -> None:
        self._client = Client(client, clock)
        self._builder = builder
        self._tables = tables
        self._keyspace = Keyspace(builder.name, version)
        self._readers = ThreadPoolExecutor(READERS, "kith-active")

    def owners(self, identifiers: Collection[Identifier], at: int) -> dict[Identifier, ActiveProfile]:
        """Return whose identifiers these are, of those that belong to a profile live at a time (ms UTC).

        What is stored of the active version and cannot be read is nobody's: the new version mends it.
        """
        keys = [self._keyspace.pointer(one) for one in identifiers]
        pointed: dict[Identifier, str] = {}
        for item in self._get(self._tables.identifiers, keys, ()):
            with suppress(UnknownFormatError):
                pointed[self._keyspace.identifier(item)] = pointer_of(item).profile_id
        items = self._profiles(set(pointed.values()))
        owners: dict[str, ActiveProfile | None] = {}
        found: dict[Identifier, ActiveProfile] = {}
        for identifier, target in pointed.items():
            end = _end(items, target)
            if end is None or KIND in end:
                continue
            profile_id = self._keyspace.profile_id(end)
            if profile_id not in owners:
                with suppress(UnknownFormatError):
                    owners[profile_id] = self._owner(end, profile_id, at)
            owner = owners.get(profile_id)
            if owner is not None:
                found[identifier] = owner
        return found

    def _owner(self, item: Item, profile_id: str, at: int) -> ActiveProfile | None:
        """Return what a rebuild wants to know of a profile, if it is live. Raises `UnknownFormatError`."""
        founder, created_at, updated_at = _said(item)
        is_live = self._is_live(item, profile_id, updated_at, at)
        return ActiveProfile(profile_id, founder, created_at) if is_live else None

    def _is_live(self, item: Item, profile_id: str, updated_at: int, at: int) -> bool:
        retention = self._builder.definition.retention
        if_known, if_other = (expires_at(retention, updated_at, known=known) >= at for known in (True, False))
        if if_known == if_other:
            return if_known
        names = chunk_names(item)
        if names:
            keys = [self._keyspace.body(profile_id, name) for name in names]
            parts = self._get(self._tables.profiles, keys, ())
            chunks_read = {body_name(one): one for one in parts}
            if missing(names, chunks_read):  # just rewritten, and so live
                return True
            item = whole(item, chunks_read)
        is_known = not self._builder.known.isdisjoint(_identifier_types(item))
        return if_known if is_known else if_other

    def _profiles(self, ids: set[str]) -> dict[str, Item]:
        """Return the items under ids, and where redirects among them lead."""
        items: dict[str, Item] = {}
        for _ in range(REDIRECTS_MAX):
            keys = [self._keyspace.profile(one) for one in ids if one not in items]
            if not keys:
                break
            read = self._get(self._tables.profiles, keys, _NAMES)
            items.update((self._keyspace.profile_id(item), item) for item in read)
            ids = {target for item in read if (target := _target(item)) is not None}
        return items

    def _get(self, table: str, keys: Sequence[Item], names: Sequence[str]) -> list[Item]:
        parts: Iterable[list[Item]] = self._readers.map(
            lambda some: self._client.get(table, some, consistent=False, names=names),
            chunks(keys, GET_KEYS_MAX),
        )
        return [item for part in parts for item in part]


@reads_items
def _said(item: Item) -> tuple[Identifier, int, int]:
    """Decode founder, created_at and updated_at (ms UTC) of a profile."""
    return founder_of(item), created_at_of(item), updated_at_of(item)


@reads_items
def _identifier_types(item: Item) -> set[str]:
    return set(item["identifiers"]["M"])


def _end(items: dict[str, Item], target: str) -> Item | None:
    """Return the item that an id leads to, through redirects."""
    for _ in range(REDIRECTS_MAX):
        item = items.get(target)
        further = None if item is None else _target(item)
        if further is None:
            return item
        target = further
    return None


def _target(item: Item) -> str | None:
    """Return where an item redirects to; None if it does not, or cannot be read."""
    target: str | None = item.get(REDIRECT, {}).get("S")
    return target
