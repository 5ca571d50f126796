"""Plans as conditional writes: one per profile where that is enough, one transaction where it is not."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from shared.adapters.dynamo.access import Access
from shared.adapters.dynamo.client import CanceledError, Change, Condition, ConditionFailedError
from shared.adapters.dynamo.deltas import rewritten
from shared.adapters.dynamo.followups import FollowUps
from shared.adapters.dynamo.items import pointer_of
from shared.adapters.dynamo.layout import Layout, Listed, NewSegment, listed
from shared.adapters.dynamo.overflow import ITEM_BYTES_MAX, chunk_names, overflow
from shared.adapters.dynamo.reads import Reads
from shared.adapters.dynamo.transactions import (
    ABSENT,
    actions_of,
    as_seen,
    at_revision,
    is_lost_race,
    item_bytes_max,
    reason_of,
    removed,
)
from shared.adapters.dynamo.units import size_of
from shared.adapters.dynamo.wire import Item
from shared.app.ports import Clock, Committed, Conflict, Failed, Result
from shared.contract import PROFILES_DUE
from shared.core.profile import Profile
from shared.core.snapshot import Stored
from shared.core.writes import Plan, Put


class Prepared(NamedTuple):
    """A profile's write: its item, what that replaces, and the bodies that must be written before it."""

    put: Put
    item: Item
    size: int
    before: Listed
    after: Listed
    new: dict[str, NewSegment]
    names: set[str]
    bodies: list[Item]

    @property
    def id(self) -> str:
        """The id of the profile."""
        return self.put.profile.id

    @property
    def larger_size(self) -> int:
        """What a put is billed for: the larger of the new item and the one that it replaces."""
        return max(self.size, self.before.size)

    def write(self) -> tuple[Item | Change, Condition]:
        """Return what is written: the whole item, or what changes of it; and on what condition.

        Where the profile would not be due any more, what is parked meanwhile must be seen: that makes it due.
        """
        expected, beside = self.put.expected, self.put.beside
        folded = self.put.folded
        if folded is None or (self.put.profile.heads and PROFILES_DUE not in self.item):
            return self.item, as_seen(expected, beside)
        return rewritten(self.item, folded), at_revision(expected)


class Writes:
    """Writes plans of one version of one builder."""

    def __init__(
        self,
        access: Access,
        reads: Reads,
        follow_ups: FollowUps,
        clock: Clock,
    ) -> None:
        self._access = access
        self._client, self._builder, self._tables, self._keyspace, self._items, self._bodies = access
        self._reads = reads
        self._follow_ups = follow_ups
        self._clock = clock

    def prepare(self, plan: Plan) -> list[Prepared]:
        """Lay out the profiles of a plan. Nothing is written yet, neither they nor their bodies.

        Raises `SegmentGoneError` when a rival has rewritten a profile whose segments were to be merged, and
        whatever the client raises when DynamoDB does not answer.
        """
        is_together = plan.is_structural and not plan.is_creation
        bytes_max = item_bytes_max(plan, ITEM_BYTES_MAX) if is_together else ITEM_BYTES_MAX
        return [self._prepare(put, bytes_max) for put in plan.puts]

    def write(self, plan: Plan, prepared: Sequence[Prepared]) -> Result:
        """Write a plan, whole, once the bodies of its profiles are written.

        Raises `SegmentGoneError` when what was found instead is being rewritten, and whatever the client
        raises when DynamoDB does not answer.
        """
        if plan.is_creation:
            return self._create(plan, prepared)
        if plan.is_structural:
            return self._transact(plan, prepared)
        return self._put_each(prepared)

    def _put_each(self, prepared: Iterable[Prepared]) -> Result:
        """Write profiles that do not depend on each other. Those written stay: their memory tells a retry."""
        found: dict[str, Stored | None] = {}
        for one in prepared:
            try:
                self._put(one)
            except ConditionFailedError as error:
                found[one.id] = self._lost(one, error.found)
            else:
                self._won(one)
        return Conflict(found) if found else Committed()

    def _create(self, plan: Plan, prepared: Sequence[Prepared]) -> Result:
        """Write the pointer to a new profile, then the profile: a crash in between leaves nothing there."""
        point = plan.points[0]
        item = self._items.pointer(point, point.until)
        try:
            # Not even over a pointer just like it: by now that may have been extended.
            self._client.put(self._tables.identifiers, item, ABSENT, size_of(item))
        except ConditionFailedError:  # somebody else was faster, or an earlier attempt at just this
            self._reads.pointed.drop(point.identifier)
            self._delete_bodies(prepared[0])
            return Conflict()
        result = self._put_each(prepared)
        if isinstance(result, Committed):
            self._reads.pointed.put(point.identifier, point.pointer)
        return result

    def _transact(self, plan: Plan, prepared: Sequence[Prepared]) -> Result:
        """Write all of a plan in one transaction."""
        actions = actions_of(
            plan,
            [(*one.write(), one.larger_size) for one in prepared],
            self._access,
            {profile_id: self._reads.listed_at(profile_id, rev).size for profile_id, rev in removed(plan)},
            self._follow_ups.grave_until(),
        )
        try:
            self._client.transact([action for _, action in actions])
        except CanceledError as error:
            if not is_lost_race(error):
                return Failed(reason_of(error))
            return self._canceled(prepared, [profile_id for profile_id, _ in actions], error)
        for one in prepared:
            self._won(one)
        for point in plan.points:
            self._reads.pointed.put(point.identifier, point.pointer)
        for point in plan.astray:
            self._reads.pointed.drop(point.identifier)
        for profile_id, _ in removed(plan):
            self._reads.cached.drop(profile_id)
        return Committed()

    def _canceled(
        self, prepared: Iterable[Prepared], ids: Sequence[str | None], error: CanceledError
    ) -> Conflict:
        """Take note of what a transaction has lost to. `ids` are those of profiles, by its actions.

        Raises `UnknownFormatError` where a pointer is damaged: if a profile's word was taken for where it
        leads, that shows here alone.
        """
        rivals: dict[str, Item | None] = {}
        pointers: list[Item] = []
        for profile_id, (code, item) in zip(ids, error.reasons, strict=True):
            if profile_id is not None and code == "ConditionalCheckFailed":
                rivals[profile_id] = item
            elif item is not None:
                pointers.append(item)
        found = {one: None if item is None else self._reads.stored(item) for one, item in rivals.items()}
        for one in prepared:
            self._withdraw(one, rivals.get(one.id), is_known=one.id in rivals)
        for item in pointers:
            pointer_of(item)
        return Conflict(found)

    def _prepare(self, put: Put, bytes_max: int) -> Prepared:
        """Lay a profile out."""
        profile = put.profile
        before = self._reads.listed_at(profile.id, put.expected)
        attempt = f"{put.expected} {profile.rev} {self._clock.now_us()}"
        layout = Layout(
            self._items,
            self._builder,
            before,
            attempt,
            self._bodies.contents(profile.id),
            self._bodies.known(profile.id),
        )
        item, size = layout.lay_out(profile)
        bodies = {name: one.item for name, one in layout.new.items()}
        if size > bytes_max:
            item, parts = overflow(item, attempt)
            bodies.update(parts)
            size = size_of(item)
        after = listed(self._builder, profile, chunk_names(item), size)
        until = max(profile.children_until, profile.kept_until)
        beside = self._bodies.items(profile.id, bodies, until)
        return Prepared(put, item, size, before, after, layout.new, set(bodies), beside)

    def _put(self, prepared: Prepared) -> None:
        target, condition = prepared.write()
        if isinstance(target, Change):
            self._client.change(self._tables.profiles, target, condition, prepared.larger_size)
        else:
            self._client.put(self._tables.profiles, target, condition, prepared.larger_size)

    def _won(self, prepared: Prepared) -> None:
        """Take note of what is stored now, and delete what it replaced."""
        profile = prepared.put.profile
        self._reads.keep(profile, prepared.after)
        for one in prepared.new.values():
            self._bodies.remember(profile.id, one.parts)
        replaced = prepared.before.names - prepared.after.names
        if replaced:
            self._follow_ups.best_effort(lambda: self._bodies.delete(profile.id, replaced))

    def _lost(self, prepared: Prepared, found: Item | None) -> Stored | None:
        """Take note of what is stored instead, and delete what was written for nothing."""
        self._reads.cached.drop(prepared.id)
        self._withdraw(prepared, found, is_known=True)
        return None if found is None else self._reads.stored(found)

    def _withdraw(self, prepared: Prepared, found: Item | None, *, is_known: bool) -> None:
        """Delete the bodies of a lost write, unless they may be listed by what is stored instead.

        Their names are those of this attempt alone. It has lost, so nobody can come to list them from now
        on; it may have won before, when its answer was lost and the call made again.
        """
        if not prepared.names or not is_known:
            return
        stored = None if found is None else self._reads.stored(found)
        kept: set[str] = set()
        if isinstance(stored, Profile):
            kept = self._reads.listed_at(stored.id, stored.rev).names
        self._delete_bodies(prepared, kept)

    def _delete_bodies(self, prepared: Prepared, kept: Collection[str] = ()) -> None:
        names = prepared.names.difference(kept)
        if names:
            self._follow_ups.best_effort(lambda: self._bodies.delete(prepared.id, names))
