"""Decisions in, conditional writes out: the second half of a plan, in which nothing is decided any more."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from shared.core.compile import Builder, Contribution
from shared.core.identity.resolve import Ownership
from shared.core.life import Life
from shared.core.profile import Profile
from shared.core.retention import children_until, expires_at
from shared.core.snapshot import Pointer, Tombstone
from shared.core.writes import Bury, Extend, Note, Plan, Point, Put, Remove


class Burial(msgspec.Struct):
    """A profile that ended, by expiry or by breaking, and what is left in its place."""

    life: Life
    arrival: int
    tombstone: Tombstone


@dataclass(frozen=True, slots=True)
class Decided:
    """What has become of everybody whom a group of contributions concerns."""

    builder: Builder
    rev_floor: int
    ownership: Ownership
    lives: Mapping[str, Life]
    buried: Mapping[str, Burial]
    removes: list[Remove]
    deltas: Mapping[str, Sequence[Contribution]]
    tally: Counter[str]
    notes: list[Note]
    is_unverified: bool

    def writes(self, rest: Sequence[Contribution]) -> Plan:
        """Return the writes that make it so; `rest` are the contributions that it does not take in."""
        plan = Plan(rest=rest, tally=self.tally, notes=self.notes, removes=self.removes)
        plan.folded_deltas = self._folded_deltas(rest)
        for life in self.lives.values():
            if life.changed:
                self._put(plan, life)
        for burial in self.buried.values():
            stored = burial.life.stored
            expected = None if stored is None else stored.rev
            beside = () if stored is None else stored.parked
            plan.buries.append(Bury(burial.tombstone, expected, burial.arrival, beside))
            self._release(plan, burial.life.profile, burial.tombstone)
        self._point(plan)
        written = {put.profile.id: put.profile for put in plan.puts}
        self._extend_merged(plan, written)
        plan.repairs = [one for one in self.ownership.repairs if one.target in written]
        # What was attached and then removed within this plan leaves no write that says nobody owned it.
        plan.is_unverified = self.is_unverified or any(
            self.ownership.owner(one) is None for one in self.ownership.attached
        )
        return plan

    def _folded_deltas(self, rest: Sequence[Contribution]) -> list[str]:
        """Take off their profiles all deltas of which nothing is left to be planned; return their names.

        Also of a plan that had no room for everything: a life that it ends must not pass them on.
        """
        if not self.deltas:
            return []
        left_over = set(map(id, rest))
        done = {name for name, parked in self.deltas.items() if left_over.isdisjoint(map(id, parked))}
        folded: list[str] = []
        for life in self.lives.values():
            mine = [name for name in life.profile.parked if name in done]
            if mine:
                profile = life.change(self.builder)
                profile.parked = tuple(name for name in profile.parked if name not in mine)
                folded += mine
        for burial in self.buried.values():
            mine = [name for name in burial.tombstone.parked if name in done]
            if mine:
                left = tuple(name for name in burial.tombstone.parked if name not in mine)
                burial.tombstone = msgspec.structs.replace(burial.tombstone, parked=left)
                folded += mine
        return folded

    def _put(self, plan: Plan, life: Life) -> None:
        profile, retention = settled(self.builder, life, plan.tally), self.builder.definition.retention
        expected = None if life.stored is None else life.stored.rev
        profile.rev = self.rev_floor if expected is None else max(expected + 1, self.rev_floor)
        ends = expires_at(retention, profile.updated_at, known=life.known)
        if ends > profile.children_until:
            profile.children_until = children_until(retention, ends, known=life.known)
            if life.stored is not None:
                plan.extends.append(Extend(life.stored, profile.children_until))
        window_ms = self.builder.window_ms
        chunks = () if window_ms is None else life.history(window_ms)
        beside = () if life.stored is None else life.stored.parked
        is_quiet = life.stored is not None and life.stored.is_quiet
        plan.puts.append(Put(profile, expected, chunks, beside, is_quiet))

    def _extend_merged(self, plan: Plan, written: dict[str, Profile]) -> None:
        """Let pointers that a merge leaves where they are live as long as the profile that lists them now.

        Before they follow, which may never be; whoever merges it later extends what leads to its aliases.
        """
        for remove in self.removes:
            primary = written.get(remove.redirect) if remove.redirect else None
            if primary is not None and primary.children_until > remove.profile.children_until:
                plan.extends.append(Extend(remove.profile, primary.children_until))

    def _point(self, plan: Plan) -> None:
        relied_on: dict[str, tuple[int | None, int]] = {}
        for identifier, expected in self.ownership.expected.items():
            owner = self.ownership.owner(identifier)
            if owner is None:
                continue  # removed with its profile, or only looked at
            profile = self.lives[owner].profile
            first_seen = profile.identifiers[identifier]
            pointer = Pointer(owner, first_seen)
            plan.points.append(Point(identifier, pointer, expected, profile.children_until))
            if identifier in self.ownership.relied_on:
                for one, rev in self.ownership.relied_on[identifier].items():
                    relied_on[one] = rev, first_seen
        # What is written anyway has its own condition, and a transaction names each item once.
        written = {
            *(put.profile.id for put in plan.puts),
            *(bury.tombstone.id for bury in plan.buries),
            *(remove.profile.id for remove in plan.removes),
        }
        for one, (rev, taken_at) in relied_on.items():
            if one in written:
                continue
            if rev is None:
                # Whoever is about to create it has written its pointer already: it must find this instead.
                plan.buries.append(Bury(Tombstone(one, self.rev_floor, ()), None, taken_at))
            else:
                plan.checks[one] = rev

    def _release(self, plan: Plan, profile: Profile, tombstone: Tombstone) -> None:
        """Let the identifiers of a removed profile lead to its tombstone, and then go with it."""
        for identifier, first_seen in profile.identifiers.items():
            if (
                self.ownership.owner(identifier) is None
                and self.ownership.last_owner[identifier] == profile.id
            ):
                expected = self.ownership.expected.get(identifier, (profile.id,))
                pointer = Pointer(tombstone.id, first_seen)
                plan.released.append(Point(identifier, pointer, expected, 0))


def settled(builder: Builder, life: Life, tally: Counter[str]) -> Profile:
    """Return the profile of a life with everything folded; what its memory forgot is counted."""
    profile = life.settle(builder)
    if profile.memory.evicted:
        tally["dedup_evictions"] += profile.memory.evicted
        profile.memory.evicted = 0
    return profile
