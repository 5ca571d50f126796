"""What a rebuild writes to and looks at, on stores in memory."""

from collections.abc import Collection, Sequence

from shared.adapters.memory_store import MemoryStore
from shared.app.rebuild.ports import ActiveProfile, Swept
from shared.core.compile import Builder
from shared.core.history import Head
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile, canonical, expiry
from shared.core.retention import GRAVE_MS
from shared.core.snapshot import Snapshot, profile_of
from shared.core.writes import Plan


class MemoryLoader:
    """Implements `Loader`. A store in memory forgets nothing, so all tombstones and pointers are kept.

    With `gone_before` (ms UTC), those whose TTL has passed by then are not, as in DynamoDB.
    """

    def __init__(self, store: MemoryStore, gone_before: int = 0) -> None:
        self.store = store
        self.gone_before = gone_before
        self.inserted: list[str] = []

    def insert(self, plans: Sequence[Plan]) -> None:
        for plan in plans:
            for put in plan.puts:
                self.inserted.append(put.profile.id)
                for chunk in put.chunks:
                    self.store.chunked.setdefault(Head(put.profile.id, chunk.name), chunk.data)
                self.store.stored.setdefault(put.profile.id, put.profile)
            graves = {bury.tombstone.id: bury.arrival + GRAVE_MS for bury in plan.buries}
            for bury in plan.buries:
                if graves[bury.tombstone.id] >= self.gone_before:
                    self.store.stored.setdefault(bury.tombstone.id, bury.tombstone)
            for point in plan.points:
                if point.until >= self.gone_before:
                    self.store.pointed.setdefault(point.identifier, point.pointer)
            for point in plan.released:
                if graves[point.pointer.profile_id] >= self.gone_before:
                    self.store.pointed.setdefault(point.identifier, point.pointer)


class MemoryActiveProfiles:
    """Implements `ActiveProfiles` on the store of the active version."""

    def __init__(self, builder: Builder, store: MemoryStore) -> None:
        self.builder = builder
        self.store = store

    def owners(self, identifiers: Collection[Identifier], at: int) -> dict[Identifier, ActiveProfile]:
        snapshot = Snapshot(self.store.pointed, self.store.stored)
        found = {}
        for one in identifiers:
            _, stored = profile_of(snapshot, self.store.pointed.get(one))
            if (
                isinstance(stored, Profile)
                and one in stored.identifiers
                and expiry(self.builder, stored) >= at
            ):
                found[one] = ActiveProfile(stored.id, stored.founder, stored.created_at)
        return found


class MemoryLines:
    """Implements `ProfileLines` on stores by version."""

    def __init__(self, builders: dict[int, Builder], stores: dict[int, MemoryStore]) -> None:
        self.builders = builders
        self.stores = stores

    def canonical(self, version: int, ids: Collection[str]) -> dict[str, bytes]:
        found = {one: self.stores[version].stored.get(one) for one in ids}
        return {
            one: canonical(self.builders[version], stored)
            for one, stored in found.items()
            if isinstance(stored, Profile)
        }


class MemoryItems:
    """Implements `VersionItems` on stores by version; one item a call, so that cursors are needed."""

    def __init__(self, stores: dict[int, MemoryStore]) -> None:
        self.stores = stores

    def sweep(self, builder: str, version: int, cursor: str, may_go_on) -> Swept:
        del builder
        store = self.stores[version]
        deleted = 0
        while may_go_on():
            if store.pointed:
                store.pointed.popitem()
            elif store.stored:
                store.stored.popitem()
            else:
                return Swept(None, deleted)
            deleted += 1
        return Swept(f"{cursor}.", deleted)
