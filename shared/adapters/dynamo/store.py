"""The profile store on DynamoDB: executes plans as few conditional writes, reads in batches.

What a plan means is decided in `core/plan.py`. What holds here: the write of a profile's item is the only
commit point. What a profile lists is written before it; what nothing lists any more goes after it, and what
goes wrong then costs storage until its TTL, nothing else.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from botocore.exceptions import ClientError

from shared.adapters.dynamo.access import Access, Tables
from shared.adapters.dynamo.bodies import Bodies
from shared.adapters.dynamo.client import Client, Condition, ConditionFailedError, chunks
from shared.adapters.dynamo.deltas import DELTA_BYTES_MAX, contributions_of, delta
from shared.adapters.dynamo.failures import FailureItems
from shared.adapters.dynamo.followups import FollowUps
from shared.adapters.dynamo.histories import Histories
from shared.adapters.dynamo.inserts import STATEMENTS_MAX
from shared.adapters.dynamo.items import CLOSED, KIND, PARKED, QUIET, Items, seconds
from shared.adapters.dynamo.keys import Keyspace, delta_name
from shared.adapters.dynamo.reads import Reads
from shared.adapters.dynamo.state import UnknownFormatError
from shared.adapters.dynamo.units import Units, size_of
from shared.adapters.dynamo.wire import Item, Wire
from shared.adapters.dynamo.writes import Prepared, Writes
from shared.app.damage import DamagedError
from shared.app.functions.failing import Failing
from shared.app.ports import Clock, Committed, Conflict, Damaged, Failed, Result, SegmentGoneError
from shared.contract import PROFILES_DUE, TTL_ATTRIBUTE
from shared.core.compile import Builder, Contribution
from shared.core.definition import debounce_s
from shared.core.history import Head
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile
from shared.core.retention import DAY_MS
from shared.core.snapshot import Pointer, Stored
from shared.core.times import format_time
from shared.core.writes import Plan

T = TypeVar("T")

WRITERS: Final = 16
FOLLOWERS: Final = 8
"""Threads for plans, and for what comes before and after their writes: two pools, as one would wait for
itself."""
DELTA_MS: Final = 400 * DAY_MS
"""How long a delta may wait for the next writer of its profile: longer than a profile lives by default."""

IS_OPEN: Final = f"attribute_exists(pk) AND attribute_not_exists({KIND}) AND attribute_not_exists({CLOSED})"
"""Of a profile that is live, and that nobody is about to remove."""


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
        tables = Tables(profiles_table, identifiers_table)
        keyspace = Keyspace(builder.name, version)
        items = Items(builder, keyspace)
        self._clock = clock
        self._tables = tables
        self._keyspace = keyspace
        self._debounce_s = None if builder.window_ms is None else debounce_s(builder.definition)
        self._client = Client(client, clock)
        self._writers = ThreadPoolExecutor(WRITERS, "kith-writer")
        followers = ThreadPoolExecutor(FOLLOWERS, "kith-follower")
        self._bodies = Bodies(self._client, profiles_table, keyspace, items)
        access = Access(self._client, builder, tables, keyspace, items, self._bodies)
        self._reads = Reads(access, self._writers, cache=cache)
        self._follow_ups = FollowUps(access, self._reads, followers, clock)
        self._writes = Writes(access, self._reads, self._follow_ups, clock)
        self._histories = Histories(self._client, builder, profiles_table, keyspace)
        self._failures = FailureItems(self._client, profiles_table, keyspace)

    @property
    def units(self) -> Units:
        """Request units and calls so far."""
        return self._client.units

    @property
    def unfinished(self) -> int:
        """Follow-ups that failed so far: they cost storage until its TTL, nothing else."""
        return self._follow_ups.unfinished

    def pointers(
        self, identifiers: Collection[Identifier], *, fresh: bool
    ) -> dict[Identifier, Pointer | None]:
        """Return where identifiers lead."""
        return self._reads.pointers(identifiers, fresh=fresh)

    def profiles(self, ids: Collection[str], *, fresh: bool) -> dict[str, Stored | None]:
        """Return what is stored under ids, without segments."""
        return self._reads.profiles(ids, fresh=fresh)

    def stored(self, item: Item) -> Stored | None:
        """Decode an item of the profiles table that was read by a scan; None if it is gone meanwhile.

        Raises `DamagedError`.
        """
        try:
            return self._reads.stored(item)
        except UnknownFormatError:
            raise DamagedError([self._keyspace.profile_id(item)]) from None

    def load(self, builder: Builder, profile: Profile, names: Collection[str]) -> Profile:
        """Return a copy of a profile with some of its segments loaded.

        Raises `SegmentGoneError` or `DamagedError`.
        """
        try:
            return self._bodies.load(builder, profile, names)
        except UnknownFormatError:
            raise DamagedError([profile.id]) from None

    def deltas(self, names: Collection[str]) -> dict[str, list[Contribution]]:
        """Return parked contributions by name. Raises `DamagedError`."""
        keys = [self._keyspace.delta(name) for name in names]
        found: dict[str, list[Contribution]] = {}
        damaged: list[str] = []
        for item in self._client.get(self._tables.profiles, keys, consistent=True):
            name = delta_name(self._keyspace, item)
            try:
                found[name] = contributions_of(item)
            except UnknownFormatError:
                damaged.append(name)
        if damaged:
            raise DamagedError(damaged)
        return found

    def chunks(self, profile: Profile, since_ms: int) -> dict[Head, bytes]:
        """Return the chunks of a profile's history, as far back as events since then may be.

        Raises `HistoryGoneError` and `HistoryTooLargeError`.
        """
        return self._histories.chunks(profile, since_ms)

    def failing(self, profile_id: str) -> Failing | None:
        """Return what is kept of the failures of a profile's function."""
        return self._failures.get(profile_id)

    def failed(self, profile_id: str, failing: Failing) -> None:
        """Keep the failures of a profile's function."""
        self._failures.put(profile_id, failing, self._clock.now_us() // 1000)

    def commit(self, plans: Sequence[Plan]) -> list[Result]:
        """Write plans, each on its own, at once."""
        if len(plans) == 1:
            return [self._commit(plans[0], self._prepared(plans[0]), is_alone=True)]
        prepared = list(self._writers.map(self._prepared, plans))
        is_alone = not self._write_beside(plans, prepared)
        return list(self._writers.map(partial(self._commit, is_alone=is_alone), plans, prepared))

    def park(self, profile_id: str, name: str, contributions: Sequence[Contribution]) -> bool:
        """Leave contributions beside a live profile that is not closed; False if that cannot be."""
        parked = delta(contributions)
        if parked is None:
            return False
        item = {**self._keyspace.delta(name), **parked}
        item[TTL_ATTRIBUTE] = seconds(self._clock.now_us() // 1000 + DELTA_MS)
        if size_of(item) > DELTA_BYTES_MAX:
            return False
        self._client.write(self._tables.profiles, [item], [])
        self._reads.cached.drop(profile_id)
        change = f"ADD {PARKED} :name"
        values: dict[str, Wire] = {":name": {"SS": [name]}}
        if self._debounce_s is not None:  # whoever runs the function folds it, if nobody does before
            change = f"SET {PROFILES_DUE} = :due {change}"
            values[":due"] = {"N": str(self._debounce_s)}
        key = self._keyspace.profile(profile_id)
        size = self._reads.size_of(profile_id) + len(name)
        return self._client.update(self._tables.profiles, key, change, Condition(IS_OPEN, values), size)

    def ask_for_quiet(self, ids: Collection[str], removed: Collection[str], at: int) -> dict[str, Profile]:
        """Ask all others to leave profiles to this process; return those for which this call did so."""
        found: dict[str, Profile] = {}
        self._follow_ups.best_effort(lambda: self._ask(ids, removed, at, found))
        return found

    def _ask(
        self, ids: Collection[str], removed: Collection[str], at: int, found: dict[str, Profile]
    ) -> None:
        values: dict[str, Wire] = {":at": {"S": format_time(at)}, ":one": {"N": "1"}}
        condition = Condition(f"{IS_OPEN} AND attribute_not_exists({QUIET})", values)
        for one in sorted(ids):  # of two who want the same ones, one gets all
            change = f"SET {CLOSED if one in removed else QUIET} = :at ADD rev :one"
            key, size = self._keyspace.profile(one), self._reads.size_of(one)
            self._reads.cached.drop(one)
            try:
                item = self._client.updated(self._tables.profiles, key, change, condition, size)
            except ConditionFailedError as error:
                if error.found is not None and KIND not in error.found:
                    return
                continue
            with suppress(SegmentGoneError, UnknownFormatError):  # whoever reads it finds out
                stored = self._reads.stored(item)
                if isinstance(stored, Profile):
                    found[one] = stored

    def _prepared(self, plan: Plan) -> list[Prepared] | Result:
        """Lay out the profiles of a plan, or say why that cannot be."""
        return _tried(plan, partial(self._writes.prepare, plan))

    def _write_beside(self, plans: Sequence[Plan], prepared: Sequence[list[Prepared] | Result]) -> bool:
        """Write what the profiles of many plans will list; False when it is left to each plan.

        All together, as these are many small items; but one that cannot be written must not stop the others.
        """
        try:
            items = [
                item
                for plan, each in zip(plans, prepared, strict=True)
                if isinstance(each, list)
                for item in self._beside(plan, each)
            ]
            for _ in self._writers.map(self._insert, chunks(items, STATEMENTS_MAX)):
                pass
        except Exception:  # noqa: BLE001 - whatever it is, the plan that it is about fails of it
            return False
        return True

    def _beside(self, plan: Plan, prepared: Sequence[Prepared]) -> list[Item]:
        """Return what the profiles of a plan will list: chunks of histories, and bodies."""
        return self._histories.items(plan) + [item for one in prepared for item in one.bodies]

    def _insert(self, items: Sequence[Item]) -> None:
        self._client.insert(self._tables.profiles, items)

    def _commit(self, plan: Plan, prepared: list[Prepared] | Result, *, is_alone: bool) -> Result:
        """Write a plan; `is_alone` if what its profiles will list is still to be written."""
        result = prepared
        if isinstance(result, list):
            result = _tried(plan, partial(self._write, plan, result, is_alone=is_alone))
        if isinstance(result, Committed):
            self._follow_ups.follow(plan)
        else:
            self._reads.forget(plan)
        return result

    def _write(self, plan: Plan, prepared: Sequence[Prepared], *, is_alone: bool) -> Result:
        if is_alone:
            self._insert(self._beside(plan, prepared))
        for one in plan.extends:
            self._follow_ups.extend(one)
        return self._writes.write(plan, prepared)


def _tried(plan: Plan, work: Callable[[], T]) -> T | Result:
    """Return what some work on a plan gives, or what it comes to when it cannot be done."""
    try:
        return work()
    except SegmentGoneError:
        return Conflict()
    except UnknownFormatError:
        return Damaged(_ids(plan))
    except Exception as error:  # noqa: BLE001 - what one plan cannot do must not stop the others
        return Failed(_reason(error))


def _ids(plan: Plan) -> list[str]:
    """Return the ids of the profiles that a plan writes or removes."""
    written = [*(put.profile.id for put in plan.puts), *(bury.tombstone.id for bury in plan.buries)]
    return [*written, *(remove.profile.id for remove in plan.removes)]


def _reason(error: Exception) -> str:
    """Say what went wrong, without any value of an item."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
