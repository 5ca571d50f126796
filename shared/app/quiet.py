"""Quiet: who cannot be parked asks the others to leave its profiles to it, and for a moment they do.

    it has lost too often       ask for quiet at what it would write over, and try again at once
    somebody else has asked     park, or wait where that cannot be

It is a request, and no lock: each write stands on its own conditions as ever, and nobody must obey. So who
asks and dies costs the others a moment, and nothing else.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from typing import Final

import msgspec

from shared.app.ports import ProfileStore
from shared.core.profile import Profile, Quiet
from shared.core.snapshot import Stored
from shared.core.writes import Plan

QUIET_AFTER: Final = 2
"""Lost races after which a group that cannot be parked asks the others for quiet."""
QUIET_MS: Final = 500
"""How long they leave its profiles to it; whose clock differs from that by more does not."""
WAITS_MAX: Final = 3
"""How often a group waits, in all, where somebody else has asked for quiet, and it cannot be parked."""


class Turn(msgspec.Struct):
    """How a group takes turns with others that want the same profiles.

    `asked` holds, by the ids of profiles, the revisions at which it has asked them for quiet; if it
    `is_next`, it has just done so. `waits` counts how often it waited, as they had asked.
    """

    asked: dict[str, int] = {}
    waits: int = 0
    is_next: bool = False

    def obeyed(self, stored: Stored | None, now_ms: int) -> Quiet | None:
        """Return what somebody else has asked for who is to write a profile first, if anybody has."""
        if not isinstance(stored, Profile) or self.asked.get(stored.id) == stored.rev:
            return None
        quiet = stored.quiet if stored.is_quiet else None
        return quiet if quiet is not None and abs(now_ms - quiet.at) <= QUIET_MS else None

    def of_others(self, plan: Plan, profiles: Mapping[str, Stored | None], now_ms: int) -> list[Quiet]:
        """Return what others have asked for at the profiles that a plan would write over."""
        found = (self.obeyed(profiles.get(one), now_ms) for one in _written_over(plan))
        return [quiet for quiet in found if quiet is not None]

    def wait(self) -> bool:
        """Leave it to others once more; False if the group has waited often enough."""
        if self.waits >= WAITS_MAX:
            return False
        self.waits += 1
        return True

    def ask(
        self,
        store: ProfileStore,
        lost: Plan,
        profiles: MutableMapping[str, Stored | None],
        now_ms: int,
    ) -> int:
        """Ask the others for quiet at the profiles that a plan has lost, and return at how many.

        Those are known as they are stored now. What is parked beside a profile that is removed would be in
        the way: for that, the others wait.
        """
        removed = {remove.profile.id for remove in lost.removes}
        removed.update(bury.tombstone.id for bury in lost.buries)
        wanted = [one for one in _written_over(lost) if not self._has(one, profiles.get(one))]
        found = store.ask_for_quiet(wanted, removed, now_ms)
        profiles.update(found)
        self.asked.update((profile.id, profile.rev) for profile in found.values())
        self.is_next = bool(found or (self.asked and not wanted))
        return len(found)

    def _has(self, profile_id: str, found: Stored | None) -> bool:
        """Whether others leave a profile to this group, which has lost, but not to what was `found` there."""
        rev = self.asked.get(profile_id)
        return rev is not None and (found is None or found.rev == rev)


def joined(turns: Iterable[Turn]) -> Turn:
    """Return the turn of a group that is made of others."""
    turns = list(turns)
    asked = {profile_id: rev for one in turns for profile_id, rev in one.asked.items()}
    return Turn(asked, max((one.waits for one in turns), default=0))


def may_ask(lost: Plan, attempts: int) -> bool:
    """Whether it is time to ask for quiet: so many races were lost by what cannot be parked."""
    return lost.is_structural and attempts >= QUIET_AFTER


def _written_over(plan: Plan) -> list[str]:
    """Return the ids of what must be stored as a plan has seen it."""
    ids = [put.profile.id for put in plan.puts if put.expected is not None]
    ids += [bury.tombstone.id for bury in plan.buries if bury.expected is not None]
    return [*ids, *(remove.profile.id for remove in plan.removes), *plan.checks]
