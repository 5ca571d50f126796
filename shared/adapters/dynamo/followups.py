"""What comes before and after the write of a plan. All of it may fail, and may be done again."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from shared.adapters.dynamo.access import Access
from shared.adapters.dynamo.attempts import ThrottledError
from shared.adapters.dynamo.client import Condition, ConditionFailedError
from shared.adapters.dynamo.items import KIND, REDIRECT, seconds
from shared.adapters.dynamo.parts import body_of
from shared.adapters.dynamo.reads import Reads
from shared.adapters.dynamo.transactions import leading_to, may_point
from shared.adapters.dynamo.units import size_of
from shared.adapters.dynamo.wire import Item
from shared.app.damage import DamagedError
from shared.app.ports import Clock
from shared.contract import TTL_ATTRIBUTE
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile, missing_segments
from shared.core.retention import GRAVE_MS
from shared.core.writes import Extend, Plan, Remove

POINTER_BYTES: Final = 200
"""About what a pointer takes, for counting the units of updates."""
ERRORS: Final = (BotoCoreError, ClientError, ThrottledError, DamagedError)
"""What a call may raise when DynamoDB does not answer, or does not want to, or what it answers is damaged."""


class FollowUps:
    """Extends, moves, releases and deletes what plans leave to be done."""

    def __init__(
        self,
        access: Access,
        reads: Reads,
        executor: Executor,
        clock: Clock,
    ) -> None:
        self._client, self._builder, self._tables, self._keyspace, self._items, self._bodies = access
        self._reads = reads
        self._executor = executor
        self._clock = clock
        self.unfinished = 0

    def extend(self, extend: Extend) -> None:
        """Let a profile's pointers and segments live longer, before the profile itself does."""
        profile, until = extend.profile, seconds(extend.until)
        leads_here = leading_to((profile.id, *profile.aliases))
        later = Condition(
            f"({leads_here.expression}) AND {TTL_ATTRIBUTE} < :until", {**leads_here.values, ":until": until}
        )
        exists = Condition(f"attribute_exists(pk) AND {TTL_ATTRIBUTE} < :until", {":until": until})
        segments = self._reads.listed_at(profile.id, profile.rev).names.union(
            map(body_of, missing_segments(self._builder, profile))
        )
        keys = [(self._tables.identifiers, self._keyspace.pointer(one), later) for one in profile.identifiers]
        keys += [(self._tables.profiles, self._keyspace.body(profile.id, one), exists) for one in segments]
        self._update_all(f"SET {TTL_ATTRIBUTE} = :until", keys)

    def follow(self, plan: Plan) -> None:
        """Do what may be done late: readers and writers pass over it until then."""
        puts = {put.profile.id: put.profile for put in plan.puts}
        if plan.released:
            self.best_effort(lambda: self._release(plan))
        for remove in plan.removes:
            self.best_effort(partial(self._clear, remove, puts))
        for bury in plan.buries:
            names = self._reads.listed_at(bury.tombstone.id, bury.expected).names
            if names:
                self.best_effort(partial(self._bodies.delete, bury.tombstone.id, names))
        if plan.repairs:
            moves = [(one.identifier, (one.expected,), puts[one.target]) for one in plan.repairs]
            self.best_effort(lambda: self._move(moves))
        if plan.folded_deltas:
            keys = [(self._keyspace.delta(name), 0) for name in plan.folded_deltas]
            self.best_effort(lambda: self._client.write(self._tables.profiles, [], keys))

    def _clear(self, remove: Remove, puts: dict[str, Profile]) -> None:
        """Delete what a merged profile listed; where it left a redirect, move its pointers first."""
        gone = remove.profile
        names = self._reads.listed_at(gone.id, remove.expected).names
        if names:
            self._bodies.delete(gone.id, names)
        if remove.redirect is None:
            return
        primary = puts.get(remove.redirect)
        if primary is not None:  # else the plan broke it, and its pointers are released already
            left = self._move([(one, (gone.id, *gone.aliases), primary) for one in gone.identifiers])
            # Once it is mended, a damaged pointer leads where it led: here, and on from here.
            self._reads.pointers(left, fresh=True)
        until = seconds(self.grave_until())
        is_redirect = Condition(f"{KIND} = :kind", {":kind": {"S": REDIRECT}, ":until": until})
        key = self._keyspace.profile(gone.id)
        self._client.update(self._tables.profiles, key, f"SET {TTL_ATTRIBUTE} = :until", is_redirect, 0)

    def _move(self, moves: Sequence[tuple[Identifier, tuple[str, ...], Profile]]) -> list[Identifier]:
        """Let pointers lead to the profile that lists them, where they still lead to one merged into it.

        Returns those that do not. Their TTL is that profile's already, and may be later by now.
        """
        updates = []
        for identifier, sources, primary in moves:
            leads_there = leading_to(sources)
            condition = Condition(leads_there.expression, {**leads_there.values, ":to": {"S": primary.id}})
            updates.append((self._tables.identifiers, self._keyspace.pointer(identifier), condition))
            self._reads.pointed.drop(identifier)
        moved = self._update_all("SET profile_id = :to", updates)
        return [identifier for (identifier, _, _), is_moved in zip(moves, moved, strict=True) if not is_moved]

    def _release(self, plan: Plan) -> None:
        """Let the pointers of removed profiles go with their tombstones, which they lead to already."""
        until = self.grave_until()
        astray = {one.identifier for one in plan.astray}
        released = [one for one in plan.released if one.identifier not in astray]

        def release(at: int) -> None:
            point = released[at]
            item = self._items.pointer(point, until)
            with suppress(ConditionFailedError):  # a successor has it already
                self._client.put(self._tables.identifiers, item, may_point(point), size_of(item))
            self._reads.pointed.drop(point.identifier)

        for _ in self._executor.map(release, range(len(released))):
            pass

    def _update_all(self, expression: str, updates: Iterable[tuple[str, Item, Condition]]) -> list[bool]:
        """Update many small items; False for one whose condition does not hold: it needs no update."""

        def update(one: tuple[str, Item, Condition]) -> bool:
            table, key, condition = one
            return self._client.update(table, key, expression, condition, POINTER_BYTES)

        return list(self._executor.map(update, updates))

    def best_effort(self, work: Callable[[], object]) -> None:
        """Do something whose failure costs storage until its TTL, nothing else."""
        try:
            work()
        except ERRORS:
            self.unfinished += 1

    def grave_until(self) -> int:
        """Return until when what is removed now stays behind, ms UTC."""
        return self._clock.now_us() // 1000 + GRAVE_MS
