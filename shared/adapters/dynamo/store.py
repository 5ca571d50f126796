"""The profile store on DynamoDB: executes plans as few conditional writes, reads in batches.

What a plan means is decided in `core/plan.py`. What holds here: the write of a profile's item is the only
commit point. What a profile lists is written before it; what nothing lists any more goes after it, and what
goes wrong then costs storage until its TTL, nothing else.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from shared.adapters.dynamo.bodies import Bodies
from shared.adapters.dynamo.cache import Lru
from shared.adapters.dynamo.client import (
    GET_KEYS_MAX,
    CanceledError,
    Client,
    Condition,
    ConditionFailedError,
    ThrottledError,
    chunks,
)
from shared.adapters.dynamo.deltas import DELTA_BYTES_MAX, contributions_of, delta
from shared.adapters.dynamo.items import KIND, REDIRECT, Items, pointer_of, seconds
from shared.adapters.dynamo.keys import Keyspace, delta_name
from shared.adapters.dynamo.layout import Layout, Listed, NewSegment, listed
from shared.adapters.dynamo.overflow import ITEM_BYTES_MAX, chunk_names, missing, overflow, whole
from shared.adapters.dynamo.transactions import (
    Tables,
    actions_of,
    at_revision,
    is_lost_race,
    item_bytes_max,
    leading_to,
    may_point,
)
from shared.adapters.dynamo.units import Units, size_of
from shared.adapters.dynamo.wire import Item
from shared.app.ports import Clock, Committed, Conflict, Failed, Result, SegmentGoneError
from shared.contract import DEDUP_WINDOW_H, TTL_ATTRIBUTE
from shared.core.compile import Builder, Contribution
from shared.core.identity.identifiers import Identifier
from shared.core.plan import Extend, Plan, Put, Remove
from shared.core.profile import Profile, missing_segments
from shared.core.snapshot import Pointer, Stored

WRITERS: Final = 16
FOLLOWERS: Final = 8
"""Threads for writes at once, and for what comes before and after one."""
HOUR_MS: Final = 3_600_000
GRAVE_MS: Final = (DEDUP_WINDOW_H + 24) * HOUR_MS
"""How long tombstones, and pointers and redirects that nobody needs, live: the window, and slack."""
DELTA_MS: Final = 400 * 24 * HOUR_MS
"""How long a delta may wait for the next writer of its profile: longer than any profile lives by default."""
PROFILES_CACHED_MAX: Final = 4096
POINTERS_CACHED_MAX: Final = 16_384
LISTED_KEPT_MAX: Final = 16_384
CACHED_BYTES_MAX: Final = 32 * 1024
POINTER_BYTES: Final = 200
"""About what a pointer takes, for counting units of updates."""
_ERRORS: Final = (BotoCoreError, ClientError, ThrottledError)


class _Prepared(NamedTuple):
    """A profile's write: its item, what that replaces, and what is already written beside it."""

    put: Put
    item: Item
    size: int
    before: Listed
    after: Listed
    new: dict[str, NewSegment]
    written: set[str]

    @property
    def id(self) -> str:
        return self.put.profile.id

    @property
    def larger_size(self) -> int:
        """What a put is billed for: the larger of the new item and the one that it replaces."""
        return max(self.size, self.before.size)


class DynamoStore:
    """Implements `ProfileStore` for one version of one builder.

    With `cache`, reads that need not be fresh are answered from what this process read or wrote last. That
    pays where the same people come back to the same process: a stale profile costs a failed write.
    """

    def __init__(
        self,
        client: Any,
        builder: Builder,
        version: int,
        profiles_table: str,
        identifiers_table: str,
        clock: Clock,
        *,
        cache: bool = True,
    ) -> None:
        self._builder = builder
        self._tables = Tables(profiles_table, identifiers_table)
        self._clock = clock
        self._client = Client(client, clock)
        self._keyspace = Keyspace(builder.name, version)
        self._items = Items(builder, self._keyspace)
        self._bodies = Bodies(self._client, profiles_table, self._keyspace, self._items)
        self._writers = ThreadPoolExecutor(WRITERS, "kith-writer")
        self._followers = ThreadPoolExecutor(FOLLOWERS, "kith-follower")
        self._pointers: Lru[Identifier, Pointer] = Lru(POINTERS_CACHED_MAX if cache else 0)
        self._profiles: Lru[str, Profile] = Lru(PROFILES_CACHED_MAX if cache else 0)
        self._listed: Lru[tuple[str, int], Listed] = Lru(LISTED_KEPT_MAX)
        self.unfinished = 0
        """Follow-ups that failed: they cost storage until its TTL, nothing else."""

    @property
    def units(self) -> Units:
        """Request units and calls so far."""
        return self._client.units

    # Reads

    def pointers(
        self, identifiers: Collection[Identifier], *, fresh: bool
    ) -> dict[Identifier, Pointer | None]:
        """Return where identifiers lead."""
        found: dict[Identifier, Pointer | None] = dict.fromkeys(identifiers)
        if not fresh:
            found.update((one, self._pointers.get(one)) for one in identifiers)
        wanted = {one: self._keyspace.pointer(one) for one, pointer in found.items() if pointer is None}
        for item in self._read(self._tables.identifiers, list(wanted.values()), fresh=fresh):
            identifier, pointer = self._keyspace.identifier(item), pointer_of(item)
            found[identifier] = pointer
            self._pointers.put(identifier, pointer)
        return found

    def profiles(self, ids: Collection[str], *, fresh: bool) -> dict[str, Stored | None]:
        """Return what is stored under ids, without segments."""
        found: dict[str, Stored | None] = dict.fromkeys(ids)
        if not fresh:
            found.update((one, self._profiles.get(one)) for one in ids)
        wanted = [self._keyspace.profile(one) for one, stored in found.items() if stored is None]
        for item in self._read(self._tables.profiles, wanted, fresh=fresh):
            stored = self._stored(item)
            if stored is not None:
                found[stored.id] = stored
        return found

    def load(self, builder: Builder, profile: Profile, names: Collection[str]) -> Profile:
        """Return a copy of a profile with some of its segments loaded. Raises `SegmentGoneError`."""
        return self._bodies.load(builder, profile, names)

    def deltas(self, names: Collection[str]) -> dict[str, list[Contribution]]:
        """Return parked contributions by name."""
        keys = [self._keyspace.delta(name) for name in names]
        items = self._read(self._tables.profiles, keys, fresh=True)
        return {delta_name(self._keyspace, item): contributions_of(item) for item in items}

    # Writes

    def commit(self, plans: Sequence[Plan]) -> list[Result]:
        """Write plans, each on its own, at once."""
        if len(plans) == 1:
            return [self._commit(plans[0])]
        return list(self._writers.map(self._commit, plans))

    def park(self, profile_id: str, name: str, contributions: Sequence[Contribution]) -> bool:
        """Leave contributions beside a live profile; False when it is not live, or they are too many."""
        item = {**self._keyspace.delta(name), **delta(contributions)}
        item[TTL_ATTRIBUTE] = seconds(self._now() + DELTA_MS)
        if size_of(item) > DELTA_BYTES_MAX:
            return False
        self._client.write(self._tables.profiles, [item], [])
        self._profiles.drop(profile_id)
        is_live = Condition(
            f"attribute_exists(pk) AND attribute_not_exists({KIND})",
            {":one": {"N": "1"}, ":name": {"SS": [name]}},
        )
        key = self._keyspace.profile(profile_id)
        return self._client.update(self._tables.profiles, key, "ADD rev :one, parked :name", is_live, 0)

    def _commit(self, plan: Plan) -> Result:
        try:
            result = self._write(plan)
        except SegmentGoneError:  # a rival has rewritten the profile whose segments were to be merged
            self._forget(plan)
            return Conflict()
        except _ERRORS as error:
            self._forget(plan)
            return Failed(_reason(error))
        if isinstance(result, Committed):
            self._follow_up(plan)
        return result

    def _write(self, plan: Plan) -> Result:
        for one in plan.extends:
            self._extend(one)
        if plan.is_creation and plan.puts[0].expected is None:
            return self._create(plan)
        if plan.is_structural:
            return self._transact(plan)
        return self._put_each(plan.puts)

    def _put_each(self, puts: Iterable[Put]) -> Result:
        """Write profiles that do not depend on each other. Those written stay: their memory tells a retry."""
        found: dict[str, Stored | None] = {}
        for put in puts:
            prepared = self._prepare(put, ITEM_BYTES_MAX)
            try:
                self._put(prepared)
            except ConditionFailedError as error:
                found[prepared.id] = self._lost(prepared, error.found)
            else:
                self._won(prepared)
        return Conflict(found) if found else Committed()

    def _create(self, plan: Plan) -> Result:
        """Write a new profile, then the pointer to it: a crash in between is found out by its id."""
        prepared, point = self._prepare(plan.puts[0], ITEM_BYTES_MAX), plan.points[0]
        try:
            self._put(prepared)
        except ConditionFailedError as error:
            return Conflict({prepared.id: self._lost(prepared, error.found)})
        item = self._items.pointer(point, point.until)
        try:
            self._client.put(self._tables.identifiers, item, may_point(point), size_of(item))
        except ConditionFailedError:
            # Meanwhile the identifier went to another profile: this one must not stay behind.
            mine = at_revision(prepared.put.profile.rev)
            self._client.delete(
                self._tables.profiles, self._keyspace.profile(prepared.id), mine, prepared.size
            )
            self._lost(prepared, None)
            self._pointers.drop(point.identifier)
            return Conflict()
        self._won(prepared)
        self._pointers.put(point.identifier, point.pointer)
        return Committed()

    def _transact(self, plan: Plan) -> Result:
        """Write all of a plan in one transaction."""
        bytes_max = item_bytes_max(plan, ITEM_BYTES_MAX)
        prepared = [self._prepare(put, bytes_max) for put in plan.puts]
        actions = actions_of(
            plan,
            [(one.item, one.larger_size) for one in prepared],
            self._tables,
            self._items,
            self._keyspace,
            {profile_id: self._listed_at(profile_id, rev).size for profile_id, rev in _removed(plan)},
            self._now() + GRAVE_MS,
        )
        try:
            self._client.transact([action for _, action in actions])
        except CanceledError as error:
            self._forget(plan)
            if not is_lost_race(error):
                return Failed(_reason(error))
            found: dict[str, Stored | None] = {}
            rivals: dict[str, Item | None] = {}
            for (profile_id, _), (code, item) in zip(actions, error.reasons, strict=True):
                if profile_id is not None and code == "ConditionalCheckFailed":
                    rivals[profile_id] = item
                    found[profile_id] = None if item is None else self._stored(item)
            for one in prepared:
                self._withdraw(one, rivals.get(one.id), is_known=one.id in rivals)
            return Conflict(found)
        for one in prepared:
            self._won(one)
        for point in plan.points:
            self._pointers.put(point.identifier, point.pointer)
        for profile_id, _ in _removed(plan):
            self._profiles.drop(profile_id)
        return Committed()

    def _prepare(self, put: Put, bytes_max: int) -> _Prepared:
        """Lay a profile out, and write what its item will list."""
        profile = put.profile
        before = self._listed_at(profile.id, put.expected)
        layout = Layout(
            self._items,
            self._builder,
            before,
            put.expected or 0,
            self._bodies.contents(profile.id),
            self._bodies.known(profile.id),
        )
        layout.lay_out(profile)
        item = self._items.profile(profile)
        size = size_of(item)
        bodies = {name: one.item for name, one in layout.new.items()}
        if size > bytes_max:
            item, parts = overflow(item)
            bodies.update(parts)
            size = size_of(item)
        if bodies:
            self._bodies.write(profile.id, bodies, profile.children_until)
        after = listed(self._builder, profile, chunk_names(item), size)
        return _Prepared(put, item, size, before, after, layout.new, set(bodies))

    def _put(self, prepared: _Prepared) -> None:
        self._client.put(
            self._tables.profiles, prepared.item, at_revision(prepared.put.expected), prepared.larger_size
        )

    def _won(self, prepared: _Prepared) -> None:
        """Take note of what is stored now, and delete what it replaced."""
        profile = prepared.put.profile
        self._listed.put((profile.id, profile.rev), prepared.after)
        self._keep(profile, prepared.size)
        for name, one in prepared.new.items():
            self._bodies.remember(profile.id, name, one.pieces, one.item)
        replaced = prepared.before.names - prepared.after.names
        if replaced:
            self._best_effort(lambda: self._bodies.delete(profile.id, replaced))

    def _lost(self, prepared: _Prepared, found: Item | None) -> Stored | None:
        """Take note of what is stored instead, and delete what was written for nothing."""
        self._profiles.drop(prepared.id)
        self._withdraw(prepared, found, is_known=True)
        return None if found is None else self._stored(found)

    def _withdraw(self, prepared: _Prepared, found: Item | None, *, is_known: bool) -> None:
        """Delete the bodies of a lost write, unless they may be listed by what is stored instead.

        Their names hold the revision that they were to replace. That revision is gone, so nobody can come
        to list them from now on; a twin of this write may have done so before.
        """
        if not prepared.written or not is_known:
            return
        stored = None if found is None else self._stored(found)
        kept: set[str] = set()
        if isinstance(stored, Profile):
            kept = self._listed_at(stored.id, stored.rev).names
        self._best_effort(lambda: self._bodies.delete(prepared.id, prepared.written - kept))

    # What comes before and after a write

    def _extend(self, extend: Extend) -> None:
        """Let a profile's pointers and segments live longer, before the profile itself does."""
        profile, until = extend.profile, seconds(extend.until)
        leads_here = leading_to((profile.id, *profile.aliases))
        later = Condition(
            f"({leads_here.expression}) AND {TTL_ATTRIBUTE} < :until", {**leads_here.values, ":until": until}
        )
        exists = Condition(f"attribute_exists(pk) AND {TTL_ATTRIBUTE} < :until", {":until": until})
        segments = self._listed_at(profile.id, profile.rev).names.union(
            missing_segments(self._builder, profile)
        )
        keys = [(self._tables.identifiers, self._keyspace.pointer(one), later) for one in profile.identifiers]
        keys += [(self._tables.profiles, self._keyspace.body(profile.id, one), exists) for one in segments]
        self._update_all(f"SET {TTL_ATTRIBUTE} = :until", keys)

    def _follow_up(self, plan: Plan) -> None:
        """Do what may be done late: readers and writers pass over it until then."""
        puts = {put.profile.id: put.profile for put in plan.puts}
        for remove in plan.removes:
            self._best_effort(lambda one=remove: self._clear(one, puts))  # type: ignore[misc]
        for bury in plan.buries:
            names = self._listed_at(bury.tombstone.id, bury.expected).names
            if names:
                self._best_effort(lambda one=bury, which=names: self._bodies.delete(one.tombstone.id, which))  # type: ignore[misc]
        if plan.repairs:
            moves = [(one.identifier, (one.expected,), puts[one.target]) for one in plan.repairs]
            self._best_effort(lambda: self._move(moves))
        if plan.released:
            self._best_effort(lambda: self._release(plan))
        if plan.folded_deltas:
            keys = [(self._keyspace.delta(name), 0) for name in plan.folded_deltas]
            self._best_effort(lambda: self._client.write(self._tables.profiles, [], keys))

    def _clear(self, remove: Remove, puts: dict[str, Profile]) -> None:
        """Delete what a merged profile listed; where it left a redirect, move its pointers first."""
        gone = remove.profile
        names = self._listed_at(gone.id, remove.expected).names
        if names:
            self._bodies.delete(gone.id, names)
        if remove.redirect is None:
            return
        primary = puts.get(remove.redirect)
        if primary is None:
            return  # merged on within the same plan; the redirect stays until its pointers are repaired
        self._move([(one, (gone.id, *gone.aliases), primary) for one in gone.identifiers])
        until = seconds(self._now() + GRAVE_MS)
        is_redirect = Condition(f"{KIND} = :kind", {":kind": {"S": REDIRECT}, ":until": until})
        key = self._keyspace.profile(gone.id)
        self._client.update(self._tables.profiles, key, f"SET {TTL_ATTRIBUTE} = :until", is_redirect, 0)

    def _move(self, moves: Iterable[tuple[Identifier, tuple[str, ...], Profile]]) -> None:
        """Let pointers lead to the profile that lists them, where they still lead to one merged into it."""
        updates = []
        for identifier, sources, primary in moves:
            leads_there = leading_to(sources)
            values = {":to": {"S": primary.id}, ":until": seconds(primary.children_until)}
            condition = Condition(leads_there.expression, {**leads_there.values, **values})
            updates.append((self._tables.identifiers, self._keyspace.pointer(identifier), condition))
            self._pointers.drop(identifier)
        self._update_all(f"SET profile_id = :to, {TTL_ATTRIBUTE} = :until", updates)

    def _release(self, plan: Plan) -> None:
        """Let the pointers of removed profiles lead to their tombstones, and go with them."""
        until = self._now() + GRAVE_MS

        def release(at: int) -> None:
            point = plan.released[at]
            item = self._items.pointer(point, until)
            with suppress(ConditionFailedError):  # a successor has it already
                self._client.put(self._tables.identifiers, item, may_point(point), size_of(item))
            self._pointers.drop(point.identifier)

        for _ in self._followers.map(release, range(len(plan.released))):
            pass

    def _update_all(self, expression: str, updates: Iterable[tuple[str, Item, Condition]]) -> None:
        """Update many small items; one whose condition does not hold needs no update."""

        def update(one: tuple[str, Item, Condition]) -> None:
            table, key, condition = one
            self._client.update(table, key, expression, condition, POINTER_BYTES)

        for _ in self._followers.map(update, updates):
            pass

    def _best_effort(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _ERRORS:
            self.unfinished += 1

    # What is known

    def _read(self, table: str, keys: Sequence[Item], *, fresh: bool) -> list[Item]:
        if len(keys) <= GET_KEYS_MAX:
            return self._client.get(table, keys, consistent=fresh)
        parts = self._writers.map(
            lambda some: self._client.get(table, some, consistent=fresh), chunks(keys, GET_KEYS_MAX)
        )
        return [item for part in parts for item in part]

    def _stored(self, item: Item) -> Stored | None:
        """Decode an item, with its chunks; None if the profile goes away while they are read.

        Chunks that are missing belong to a revision that has been replaced: the item is read again.
        """
        for _ in range(2):
            names = chunk_names(item)
            profile_id = self._keyspace.profile_id(item)
            parts = self._bodies.read(profile_id, names) if names else {}
            if not missing(names, parts):
                stored = self._items.stored(whole(item, parts) if names else item)
                if isinstance(stored, Profile):
                    size = size_of(item)
                    self._listed.put((stored.id, stored.rev), listed(self._builder, stored, names, size))
                    self._keep(stored, size)
                return stored
            again = self._client.get(
                self._tables.profiles, [self._keyspace.profile(profile_id)], consistent=True
            )
            if not again:
                return None
            item = again[0]
        raise SegmentGoneError(f"{profile_id} is being rewritten")

    def _keep(self, profile: Profile, size: int) -> None:
        if size <= CACHED_BYTES_MAX:
            self._profiles.put(profile.id, profile)
        else:
            self._profiles.drop(profile.id)

    def _listed_at(self, profile_id: str, rev: int | None) -> Listed:
        known = None if rev is None else self._listed.get((profile_id, rev))
        return Listed() if known is None else known

    def _forget(self, plan: Plan) -> None:
        """Drop from the cache all that a plan that failed relied on."""
        for put in plan.puts:
            self._profiles.drop(put.profile.id)
        for profile_id in (*plan.checks, *(one for one, _ in _removed(plan))):
            self._profiles.drop(profile_id)
        for point in plan.points:
            self._pointers.drop(point.identifier)

    def _now(self) -> int:
        return self._clock.now_us() // 1000


def _removed(plan: Plan) -> list[tuple[str, int | None]]:
    """Return the ids that a plan buries or removes, with the revisions that are stored."""
    buried: list[tuple[str, int | None]] = [(one.tombstone.id, one.expected) for one in plan.buries]
    return buried + [(one.profile.id, one.expected) for one in plan.removes]


def _reason(error: Exception) -> str:
    """Say what went wrong, without any value of an item."""
    if isinstance(error, ClientError):
        return str(error.response["Error"]["Code"])
    if isinstance(error, CanceledError):
        return "/".join(sorted({code for code, _ in error.reasons if code != "None"}))
    return type(error).__name__
