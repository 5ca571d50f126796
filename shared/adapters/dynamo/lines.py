"""Profiles of several versions as they are shown: what Verify compares a sample of."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.store import DynamoStore
from shared.app.damage import DamagedError, readable
from shared.app.ports import Clock, SegmentGoneError
from shared.core.compile import Builder
from shared.core.profile import Profile, canonical, missing_segments


class DynamoLines:
    """Implements `ProfileLines` for versions with these compiled definitions."""

    def __init__(self, client: Any, builders: Mapping[int, Builder], tables: Tables, clock: Clock) -> None:
        self._builders = builders
        self._stores = {
            version: DynamoStore(
                client, builder, version, tables.profiles, tables.identifiers, clock, cache=False
            )
            for version, builder in builders.items()
        }

    def canonical(self, version: int, ids: Collection[str]) -> dict[str, bytes]:
        """Return the canonical forms of those profiles that are there, by id.

        Not of those just rewritten, nor of those that cannot be read: a rebuild is what mends them.
        """
        builder, store = self._builders[version], self._stores[version]
        lines: dict[str, bytes] = {}
        found, _ = readable(partial(store.profiles, fresh=True), ids)
        for profile_id, stored in found.items():
            if not isinstance(stored, Profile):
                continue
            names = missing_segments(builder, stored)
            try:
                whole = store.load(builder, stored, names) if names else stored
            except (SegmentGoneError, DamagedError):
                continue
            lines[profile_id] = canonical(builder, whole)
        return lines
