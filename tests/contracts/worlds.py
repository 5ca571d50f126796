"""Stores under contract: each world makes stores on one storage, and shows all that is stored there."""

import time

from shared.adapters.dynamo.items import pointer_of
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.dynamo.store import DynamoStore
from shared.adapters.memory_store import MemoryStore
from shared.contract import PROFILES_SK, SK_DELTA_PREFIX, SK_PROFILE
from shared.core.profile import Profile, canonical, missing_segments
from shared.core.snapshot import Redirect
from tests import clocks
from tests.contracts.engines import create_tables, new_client


class FakeClock(clocks.FakeClock):
    """Starts now: engines have a clock of their own, by which they delete what has expired."""

    def __init__(self):
        super().__init__(time.time_ns() // 1000)


class MemoryWorld:
    def __init__(self):
        self._store = MemoryStore()

    def store(self, _builder, **_options):
        return self._store

    def reset(self):
        self._store = MemoryStore()

    def stored(self, _builder):
        return dict(self._store.stored)

    def pointers(self):
        return dict(self._store.pointed)

    def deltas(self):
        return set(self._store.parked)


class DynamoWorld:
    """Tables on an engine; `reset` is a new version of the builder."""

    def __init__(self, endpoint, suffix):
        self.endpoint = endpoint
        self.profiles_table, self.identifiers_table = create_tables(endpoint, suffix)
        self.client = new_client(endpoint)
        self.version = 1

    def store(self, builder, client=None, *, cache=True):
        return DynamoStore(
            client or self.client,
            builder,
            self.version,
            self.profiles_table,
            self.identifiers_table,
            FakeClock(),
            cache=cache,
        )

    def reset(self):
        self.version += 1

    def items(self, table, name="people"):
        """All items of this version."""
        prefix = {":prefix": {"S": f"{name}#{self.version}#"}}
        pages = self.client.get_paginator("scan").paginate(
            TableName=table,
            FilterExpression="begins_with(pk, :prefix)",
            ExpressionAttributeValues=prefix,
            ConsistentRead=True,
        )
        return [item for page in pages for item in page["Items"]]

    def stored(self, builder):
        store = self.store(builder, cache=False)
        keyspace = Keyspace(builder.name, self.version)
        ids = [
            keyspace.profile_id(item)
            for item in self.items(self.profiles_table)
            if item[PROFILES_SK]["S"] == SK_PROFILE
        ]
        found = {}
        for one, stored in store.profiles(ids, fresh=True).items():
            found[one] = stored
            if isinstance(stored, Profile) and (names := missing_segments(builder, stored)):
                found[one] = store.load(builder, stored, names)
        return found

    def pointers(self):
        keyspace = Keyspace("people", self.version)
        return {keyspace.identifier(item): pointer_of(item) for item in self.items(self.identifiers_table)}

    def deltas(self):
        return {
            item[PROFILES_SK]["S"]
            for item in self.items(self.profiles_table)
            if item[PROFILES_SK]["S"].startswith(SK_DELTA_PREFIX)
        }


def live(world, builder):
    """All live profiles, with their segments."""
    return [one for one in world.stored(builder).values() if isinstance(one, Profile)]


def lines(world, builder):
    """The canonical lines of all live profiles, sorted by id."""
    return [canonical(builder, one) for one in sorted(live(world, builder), key=lambda one: one.id)]


def assert_consistent(world, builder):
    """Every identifier of a live profile leads to it, perhaps through redirects, and to no other."""
    pointers = world.pointers()
    stored = world.stored(builder)
    for profile in stored.values():
        if isinstance(profile, Profile):
            for identifier in profile.identifiers:
                assert _end(stored, pointers[identifier]) == profile.id, (identifier.type, profile.id)
    for identifier, pointer in pointers.items():
        target = stored.get(_end(stored, pointer))
        if isinstance(target, Profile):
            assert identifier in target.identifiers


def _end(stored, pointer):
    target = pointer.profile_id
    while isinstance(stored.get(target), Redirect):
        target = stored[target].target
    return target


def assert_children_outlive_their_profiles(world, builder):
    """No pointer and no body item of a live profile goes before the profile may."""
    expiries = {
        item["pk"]["S"]: int(item["expires_at"]["N"])
        for item in world.items(world.profiles_table)
        if item["sk"]["S"] == SK_PROFILE and "kind" not in item
    }
    prefix = f"{builder.name}#{world.version}#"
    for item in world.items(world.identifiers_table):
        expiry = expiries.get(prefix + item["profile_id"]["S"], 0)
        assert int(item["expires_at"]["N"]) >= expiry
    for item in world.items(world.profiles_table):
        if item["sk"]["S"] != SK_PROFILE and item["pk"]["S"] in expiries:
            assert int(item["expires_at"]["N"]) >= expiries[item["pk"]["S"]]
