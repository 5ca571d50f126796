"""Whose identifier is this: ownership within one plan, on top of what the store says."""

from typing import NamedTuple

from shared.core.identity.identifiers import Identifier
from shared.core.identity.ids import profile_id
from shared.core.memory import Memory
from shared.core.profile import Profile
from shared.core.snapshot import Pointer, Snapshot, Stored, Tombstone, profile_of


class Repair(NamedTuple):
    """A pointer that still leads through a redirect, and where it should lead."""

    identifier: Identifier
    expected: str
    target: str


class Ownership:
    """Which profile owns an identifier, as events are taken one by one.

    Looks each identifier up in the snapshot once. `expected` says what a pointer names in the store now, for
    the condition of a write that moves it.
    """

    def __init__(self, builder: str, snapshot: Snapshot) -> None:
        self._builder = builder
        self._snapshot = snapshot
        self._owner: dict[Identifier, str | None] = {}
        self.graves: dict[Identifier, Memory] = {}
        """What the removed profiles of identifiers remembered, where they left a tombstone."""
        self.last_owner: dict[Identifier, str] = {}
        """The profile removed within this plan that an identifier was the last to have belonged to."""
        self.relied_on: dict[Identifier, dict[str, int | None]] = {}
        """Revisions by id (None: absent) that make sure that nobody owns an identifier that led elsewhere."""
        self.expected: dict[Identifier, tuple[str, ...]] = {}
        self.merged: set[str] = set()
        """Ids of profiles that this plan has merged into others."""
        self.attached: set[Identifier] = set()
        """Identifiers that nobody owned until this plan gave them to a profile."""
        self.promised: dict[Identifier, int] = {}
        """Identifiers that lead to where their first life would be, and the arrival that attached them: that
        of the event which comes again if its creation was not finished."""
        self.repairs: list[Repair] = []

    def owner(self, identifier: Identifier) -> str | None:
        """Return the id of the live profile that owns an identifier, or None."""
        owner = self._owner.get(identifier)
        if owner is None and identifier not in self._owner:
            owner = self._look_up(identifier) if self._snapshot.profiles else None
            self._owner[identifier] = owner
        return owner

    def attach(self, identifier: Identifier, profile: str) -> Memory | None:
        """Give an identifier that nobody owns to a profile; return what its removed one remembered.

        That is inherited once: from then on the heir's memory is the only one that counts.
        """
        self._owner[identifier] = profile
        self.attached.add(identifier)
        self.expected.setdefault(identifier, ())
        return self.graves.pop(identifier, None) if self.graves else None

    def hand_over(self, secondary: Profile, primary: str, *, pointers: bool) -> None:
        """Give all identifiers of a merged profile to another, with or without moving their pointers."""
        self.merged.add(secondary.id)
        for identifier in secondary.identifiers:
            self._owner[identifier] = primary
            if pointers:
                self.expected.setdefault(identifier, (secondary.id, *secondary.aliases))

    def bury(self, profile: Profile, memory: Memory) -> None:
        """Take all identifiers from a removed profile, and keep its memory for their next owner.

        But for those whose pointers lead elsewhere: TTL took these before an expired profile, and they were
        given to another since, by this plan or before. What it lists is believed only of what nobody read.

        Of those merged into it, one may live again by now, under its first id: where TTL took a pointer
        before this profile. So a pointer is this one's if it leads here, or was seen to.
        """
        here = (profile.id, *(one for one in profile.aliases if one in self.merged))
        for identifier in profile.identifiers:
            pointer = self._snapshot.pointers.get(identifier)
            owner = self._owner.get(identifier) if pointer is None else self.owner(identifier)
            is_of_another = identifier in self.relied_on or identifier in self.last_owner
            if owner != profile.id and (owner is not None or is_of_another):
                continue
            self._owner[identifier] = None
            self.graves[identifier] = memory
            self.last_owner[identifier] = profile.id
            led_here: tuple[str, ...] = ()
            if owner is not None and pointer is not None and pointer.profile_id not in here:
                led_here = (pointer.profile_id,)
            self.expected.setdefault(identifier, here + led_here)

    def _look_up(self, identifier: Identifier) -> str | None:
        pointer = self._snapshot.pointers.get(identifier)
        if pointer is None:
            return None
        passed, stored = profile_of(self._snapshot, pointer)
        end = passed[-1]
        if isinstance(stored, Profile) and identifier in stored.identifiers:
            if end != pointer.profile_id:
                self.repairs.append(Repair(identifier, pointer.profile_id, end))
            return end
        self._dangles(identifier, pointer, passed, stored)
        return None

    def _dangles(
        self, identifier: Identifier, pointer: Pointer, passed: list[str], stored: Stored | None
    ) -> None:
        self.expected[identifier] = (pointer.profile_id,)
        relied_on: dict[str, int | None] = {}
        for one in passed:
            there = self._snapshot.profiles.get(one)
            relied_on[one] = None if there is None else there.rev
        self.relied_on[identifier] = relied_on
        if relied_on == {profile_id(self._builder, identifier): None}:
            self.promised[identifier] = pointer.first_seen
        if isinstance(stored, Tombstone):
            self.graves[identifier] = Memory(stored.traces)
