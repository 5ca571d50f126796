"""Groups and a snapshot in, writes out: everything that order decides is decided here, and nothing is done.

Contributions are taken one by one, in order of (arrival, event id): founded, attached, merged, expired,
limited, broken. What they change is folded into working copies, and comes out as conditional writes
(`decided.py`) that either all still fit what is stored or are planned again.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from shared.core.compile import Builder, Contribution
from shared.core.decided import Burial, Decided, settled
from shared.core.identity.identifiers import Identifier
from shared.core.identity.ids import profile_id
from shared.core.identity.limits import exceeds
from shared.core.identity.resolve import Ownership
from shared.core.life import Life
from shared.core.measure import canonical_bytes_max
from shared.core.memory import Memory, minute_of
from shared.core.profile import (
    CANONICAL_BYTES_MAX,
    IDENTIFIERS_MAX,
    Merge,
    Profile,
    count,
    counted_bytes,
    counts_since,
    merge,
    new_profile,
    removed_bytes,
)
from shared.core.snapshot import Snapshot, Tombstone
from shared.core.writes import Note, Plan, Put, Remove

ACTIONS_MAX: Final = 100
"""What one transaction of the store takes (DynamoDB's limit)."""

_NOTHING: Final = Snapshot()
"""What is stored where nothing is: no plan changes its snapshot."""


class Planner:
    """Plans one group of contributions. Use `plan`."""

    def __init__(
        self, builder: Builder, snapshot: Snapshot, rev_floor: int, actions_max: int | None = ACTIONS_MAX
    ) -> None:
        self.builder = builder
        self.snapshot = snapshot
        self.rev_floor = rev_floor
        self.actions_max = actions_max
        self.retention = builder.definition.retention
        self.ownership = Ownership(builder.name, snapshot)
        self.lives: dict[str, Life] = {}
        self.buried: dict[str, Burial] = {}
        self.merged: set[str] = set()
        """Stored profiles that are removed, whose ids this plan must not give again."""
        self.removes: list[Remove] = []
        self.is_unverified = False
        """Whether something has been decided by owners that no write need be conditional on."""
        self.folds = False
        """Whether any event has been folded: a plan that has no room for its first one would never end."""
        self.regular: dict[int, Life] = {}
        """Whose events with just these identifiers are; forgotten whenever somebody loses identifiers.

        By the identity of the tuple, which the builder gives again and again: what it holds takes longer to
        hash. `held` keeps the tuples, so that no other can take an identity over."""
        self.held: list[tuple[Identifier, ...]] = []
        self.tally: Counter[str] = Counter()
        self.notes: list[Note] = []

    def take(self, contribution: Contribution) -> bool:
        """Take one contribution; False, and nothing changed, when this plan has no room for it."""
        # Hot: most events come from somebody who has just sent one with the same identifiers.
        life = self.regular.get(id(contribution.identifiers))
        arrival = contribution.arrival
        if life is None or (arrival > life.fresh_until and life.has_expired(self.retention, arrival)):
            lives = self._owners(contribution.identifiers)
            life = self._regular_life(contribution, lives)
            if life is None:
                return self._take_irregular(contribution, lives)
        if not count(life.profile, contribution):
            self.tally["events_duplicate"] += 1
            return True
        life.pending.append(contribution)
        if life.profile.bytes_max > CANONICAL_BYTES_MAX:
            self._break_if_too_large(life, arrival)
        return True

    def _take_irregular(self, contribution: Contribution, lives: list[Life]) -> bool:
        minute = minute_of(contribution.arrival)
        identifiers = contribution.identifiers
        if (lives or self.ownership.graves) and self._is_duplicate(contribution, minute, lives):
            self.tally["events_duplicate"] += 1
            return True
        if self.builder.limits:
            identifiers = self._within_limits(contribution, identifiers)
            lives = self._owners(identifiers)
        has_room = self._has_room(identifiers, lives)
        if not has_room and self.folds:
            return False

        for life in lives[:]:
            if life.has_expired(self.retention, contribution.arrival):
                self._bury(life, contribution.arrival)
                self.tally["profiles_expired"] += 1
                lives.remove(life)
        if not lives:
            life = self._found(contribution, identifiers)
        elif len(lives) == 1:
            life = lives[0]
        else:
            life = self._merge(contribution, identifiers, lives, redirect=not has_room)
        self._attach(contribution, identifiers, life)
        count(life.profile, contribution)
        self.folds = True
        life.pending.append(contribution)
        if identifiers is contribution.identifiers:
            self.regular[id(identifiers)] = life
            self.held.append(identifiers)
        self._break_if_too_large(life, contribution.arrival)
        return True

    def _regular_life(self, contribution: Contribution, lives: list[Life]) -> Life | None:
        """Return the profile that has all of an event's identifiers, if it changes anyway and lives.

        Then the event changes nothing structural, and all others with just these identifiers are as regular.
        """
        if self.builder.limits or self.ownership.graves or not self.folds:
            return None
        life = lives[0] if len(lives) == 1 else None
        if life is None or not life.changed or life.has_expired(self.retention, contribution.arrival):
            return None
        mine = life.profile.identifiers
        for one in contribution.identifiers:
            if one not in mine:
                return None
        self.regular[id(contribution.identifiers)] = life
        self.held.append(contribution.identifiers)
        return life

    def _has_room(self, identifiers: Sequence[Identifier], lives: list[Life]) -> bool:
        """Whether one transaction still takes what this event changes, pointers of the merged included."""
        if self.actions_max is None:
            return True
        attached = sum(1 for one in identifiers if self.ownership.owner(one) is None)
        moved = sum(len(life.profile.identifiers) for life in lives) if len(lives) > 1 else 0
        if not (attached or moved or self.ownership.expected or self.snapshot.deltas):
            return True  # nothing structural: every put stands alone
        # An attached identifier takes a write, and a check of where its pointer led before.
        needed = len(lives) + 1 + 3 * attached + moved
        return self._actions() + needed <= self.actions_max

    def _owners(self, identifiers: Sequence[Identifier]) -> list[Life]:
        lives: list[Life] = []
        for identifier in identifiers:
            owner = self.ownership.owner(identifier)
            if owner is not None:
                life = self._life(owner)
                if life not in lives:
                    lives.append(life)
        return lives

    def _life(self, owner: str) -> Life:
        life = self.lives.get(owner)
        if life is None:
            stored = self.snapshot.profiles[owner]
            if not isinstance(stored, Profile):
                raise TypeError(f"profile {owner} owns an identifier but is not live")
            life = self.lives[owner] = Life(self.builder, stored, stored=True)
        return life

    def _is_duplicate(self, contribution: Contribution, minute: int, lives: list[Life]) -> bool:
        for life in lives:
            if life.profile.memory.remembers(contribution.hash, minute):
                return True
        graves = self.ownership.graves
        return bool(graves) and any(
            grave.remembers(contribution.hash, minute)
            for one in contribution.identifiers
            if (grave := graves.get(one)) is not None
        )

    def _within_limits(
        self, contribution: Contribution, identifiers: tuple[Identifier, ...]
    ) -> tuple[Identifier, ...]:
        """Set aside the lowest-priority identifiers until what is left may be one person."""
        while len(identifiers) > 1:
            united = set(identifiers)
            for life in self._owners(identifiers):
                if not life.has_expired(self.retention, contribution.arrival):
                    united.update(life.profile.identifiers)
            if not exceeds(self.builder.limits, united):
                break
            self.is_unverified = True
            kind = identifiers[-1].type
            identifiers = identifiers[:-1]
            self.tally[f"set_aside.{kind}.limit"] += 1
            self.notes.append(Note("set_aside", {"identifier_type": kind, "reason": "limit"}))
        return identifiers

    def _found(self, contribution: Contribution, identifiers: tuple[Identifier, ...]) -> Life:
        """Create a profile; a later life of its founder gets an id of its own, and the memory."""
        founder, arrival = identifiers[0], contribution.arrival
        of_removed, relied_on = self.ownership.graves, self.ownership.relied_on
        promised = self.ownership.promised
        later = bool(of_removed or relied_on) and any(
            one in of_removed or (one in relied_on and promised.get(one) != arrival) for one in identifiers
        )
        new_id, again = profile_id(self.builder.name, founder), 0
        if later or self._is_taken(new_id):
            new_id = profile_id(self.builder.name, founder, arrival)
            while self._is_taken(new_id):
                again += 1
                new_id = profile_id(self.builder.name, founder, arrival, again)
        profile = new_profile(self.builder, new_id, founder, arrival)
        life = self.lives[new_id] = Life(self.builder, profile, stored=False)
        self.tally["profiles_created"] += 1
        return life

    def _is_taken(self, new_id: str) -> bool:
        return (
            new_id in self.lives
            or new_id in self.buried
            or new_id in self.merged
            or self.snapshot.profiles.get(new_id) is not None
        )

    def _merge(
        self,
        contribution: Contribution,
        identifiers: tuple[Identifier, ...],
        lives: list[Life],
        *,
        redirect: bool,
    ) -> Life:
        lives = sorted(lives, key=lambda one: (one.profile.created_at, one.profile.id))
        primary, secondaries = lives[0], lives[1:]
        profile = primary.change(self.builder)
        for life in secondaries:
            secondary = life.profile
            linked_by = tuple(
                one.type for one in identifiers if self.ownership.owner(one) in (profile.id, secondary.id)
            )
            how = Merge(secondary.id, contribution.arrival, linked_by)
            since = max(counts_since(self.builder, profile), counts_since(self.builder, secondary))
            if shared := merge(self.builder, profile, secondary, how):
                # Heirs of one memory share it; else a stale read had an event counted as somebody else's.
                self.tally["invariant_violations"] += sum(minute >= since for minute in shared)
                self.is_unverified = True
            primary.take_over(life)
            forward = redirect and life.stored is not None
            self.ownership.hand_over(secondary, profile.id, pointers=not forward)
            if forward:
                profile.aliases = (*profile.aliases, secondary.id, *secondary.aliases)
            profile.parked = (*profile.parked, *secondary.parked)
            del self.lives[secondary.id]
            for mine, owner in self.regular.items():
                if owner is life:
                    self.regular[mine] = primary
            if life.stored is not None:
                self.merged.add(secondary.id)
                rev = max(life.stored.rev + 1, self.rev_floor)
                target = profile.id if forward else None
                self.removes.append(Remove(life.stored, life.stored.rev, rev, target))
            self.tally["profiles_merged"] += 1
            self.notes.append(
                Note("merged", {"primary": profile.id, "secondary": secondary.id, "linked_by": linked_by})
            )
        return primary

    def _attach(self, contribution: Contribution, identifiers: tuple[Identifier, ...], life: Life) -> None:
        profile = life.change(self.builder)
        for identifier in identifiers:
            if identifier not in profile.identifiers:
                profile.identifiers[identifier] = contribution.arrival
                inherited = self.ownership.attach(identifier, profile.id)
                # Each of a removed profile's identifiers, a thousand perhaps, leads to the same memory.
                if inherited is not None and id(inherited) not in life.inherited:
                    life.inherited[id(inherited)] = inherited
                    profile.memory.inherit(inherited)
                life.known = life.known or identifier.type in self.builder.known

    def _break_if_too_large(self, life: Life, arrival: int) -> None:
        profile = life.profile
        reason = ""
        if len(profile.identifiers) > IDENTIFIERS_MAX:
            reason = "identifiers"
        elif profile.bytes_max > CANONICAL_BYTES_MAX:
            profile = life.settle(self.builder)
            profile.bytes_max = canonical_bytes_max(self.builder, profile) + removed_bytes(profile)
            if profile.bytes_max > CANONICAL_BYTES_MAX:
                profile.bytes_max = counted_bytes(self.builder, profile) + removed_bytes(profile)
            if profile.bytes_max > CANONICAL_BYTES_MAX:
                reason = "size"
        if reason:
            self._bury(life, arrival)
            self.tally["profiles_broken"] += 1
            self.notes.append(Note("broken", {"profile": profile.id, "reason": reason}))

    def _bury(self, life: Life, arrival: int) -> None:
        self.regular.clear()
        self.held.clear()
        profile = life.profile
        traces = tuple(profile.memory.recent(minute_of(arrival)))
        self.ownership.bury(profile, Memory(traces))
        del self.lives[profile.id]
        rev = self.rev_floor if life.stored is None else max(life.stored.rev + 1, self.rev_floor)
        self.buried[profile.id] = Burial(life, arrival, Tombstone(profile.id, rev, traces, profile.parked))
        self.tally["dedup_evictions"] += profile.memory.evicted
        # Only its identifiers still matter, and there may be very many of these.
        life.forget()
        life.profile = msgspec.structs.replace(
            profile, attributes=[], traits={}, memory=Memory(), heads=(), computed=None
        )

    def _actions(self) -> int:
        """Return how many actions a transaction of what is planned so far takes, at most."""
        changed = sum(1 for life in self.lives.values() if life.changed)
        return changed + len(self.ownership.expected) + len(self.buried) + len(self.removes)

    def settle(self) -> None:
        """Fold what has only been counted so far: it takes memory until then."""
        for life in self.lives.values():
            life.settle(self.builder)
            life.compress(self.builder.window_ms or 0)

    def standing(self, taken: int) -> list[Profile]:
        """Return the profiles that are live after so many contributions."""
        self.tally["events_folded"] = taken - self.tally["events_duplicate"]
        return [settled(self.builder, life, self.tally) for life in self.lives.values()]

    def standing_with_history(self, taken: int) -> list[Put]:
        """Return the profiles that are live after so many contributions, with their histories."""
        window_ms = self.builder.window_ms or 0
        self.standing(taken)
        return [Put(life.profile, None, life.history(window_ms)) for life in self.lives.values()]

    def finish(self, taken: int, rest: Sequence[Contribution]) -> Plan:
        """Turn what has been decided of so many contributions into writes."""
        self.tally["events_folded"] = taken - self.tally["events_duplicate"]
        decided = Decided(
            builder=self.builder,
            rev_floor=self.rev_floor,
            ownership=self.ownership,
            lives=self.lives,
            buried=self.buried,
            removes=self.removes,
            deltas=self.snapshot.deltas,
            tally=self.tally,
            notes=self.notes,
            is_unverified=self.is_unverified,
        )
        return decided.writes(rest)


def plan(
    builder: Builder,
    contributions: Sequence[Contribution],
    snapshot: Snapshot,
    rev_floor: int,
    actions_max: int | None = ACTIONS_MAX,
) -> Plan:
    """Plan the writes of one group: contributions that share identifiers, or profiles through them.

    `contributions` are sorted by `order`. `rev_floor` is at least the time in microseconds: revisions never
    repeat for a key, not even after it was removed and created again. `actions_max` bounds what one
    transaction must hold; None for a store without that limit. Raises `NotLoadedError` when segments are
    needed first. The snapshot is not changed.
    """
    planner = Planner(builder, snapshot, rev_floor, actions_max)
    for index, contribution in enumerate(contributions):
        if not planner.take(contribution):
            return planner.finish(index, contributions[index:])
    return planner.finish(len(contributions), ())


def play(builder: Builder, contributions: Sequence[Contribution]) -> tuple[list[Profile], Counter[str]]:
    """Return the profiles that are live after contributions, where nothing was before, and what was counted.

    As if `plan` had been given them in any number of parts, and each had been written.
    """
    planner = Planner(builder, _NOTHING, rev_floor=1, actions_max=None)
    for contribution in contributions:
        planner.take(contribution)
    return planner.standing(len(contributions)), planner.tally


def play_with_history(
    builder: Builder, contributions: Sequence[Contribution]
) -> tuple[list[Put], Counter[str]]:
    """Return what `play` does, each profile with its history, for a builder that keeps one."""
    planner = Planner(builder, _NOTHING, rev_floor=1, actions_max=None)
    for contribution in contributions:
        planner.take(contribution)
    return planner.standing_with_history(len(contributions)), planner.tally
