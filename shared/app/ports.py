"""What the use cases need from the world. Adapters implement these; tests have fakes that do."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from shared.core.compile import Builder, Contribution
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile
from shared.core.snapshot import Pointer, Stored
from shared.core.writes import Plan


class Committed(msgspec.Struct, frozen=True):
    """The plan is written, whole."""


class Conflict(msgspec.Struct, frozen=True):
    """Somebody else was faster: what was planned for is no longer stored, and nothing of it counts.

    `found` holds what is stored now, where the store said so; empty when the group must be read again.
    """

    found: Mapping[str, Stored | None] = {}


class Failed(msgspec.Struct, frozen=True):
    """The store did not answer, or not in time; the write may or may not have happened."""

    error: str


class Damaged(msgspec.Struct, frozen=True):
    """What the write builds on, or what is stored instead, cannot be read; `ids` are of profiles."""

    ids: Collection[str]


Result = Committed | Conflict | Failed | Damaged


class ProfileStore(Protocol):
    """Profiles and the pointers to them, of one version of one builder.

    Reads may be stale unless `fresh` is asked for: every write is conditional. Whatever is returned is
    shared and must not be changed. A read raises `DamagedError` if anything that was asked for cannot be
    read: the rest can be had by asking again without it.
    """

    def pointers(
        self, identifiers: Collection[Identifier], *, fresh: bool
    ) -> dict[Identifier, Pointer | None]:
        """Return where identifiers lead; None for those that lead nowhere."""
        ...

    def profiles(self, ids: Collection[str], *, fresh: bool) -> dict[str, Stored | None]:
        """Return what is stored under ids; None for nothing. Long lists come without their segments."""
        ...

    def load(self, builder: Builder, profile: Profile, names: Collection[str]) -> Profile:
        """Return a copy of a profile with some of its segments loaded.

        Raises `SegmentGoneError` when a segment no longer exists: the profile has been written since.
        """
        ...

    def deltas(self, names: Collection[str]) -> dict[str, list[Contribution]]:
        """Return parked contributions by the name of their delta; a delta that is gone is missing."""
        ...

    def commit(self, plans: Sequence[Plan]) -> list[Result]:
        """Write plans, each on its own, at once where it pays; one result each, in order."""
        ...

    def park(self, profile_id: str, name: str, contributions: Sequence[Contribution]) -> bool:
        """Leave contributions beside a contended profile, for its next writer to fold.

        The same name again is the same delta. False when the profile is no longer live, or is closed.
        """
        ...

    def ask_for_quiet(self, ids: Collection[str], removed: Collection[str], at: int) -> dict[str, Profile]:
        """Ask all others, at `at` (ms UTC), to leave profiles to this process that it will write, or remove.

        Beside those `removed` nothing can be parked until they are written.

        Returns those for which this call did so. Each has a new revision then, and nothing else is changed:
        who is about to write it loses that race, and is told. They are asked for one after the other, in the
        same order by everybody, up to the first that is quiet already. What is not live is passed over.
        It is a request: others may not obey, and nothing has to come of it.
        """
        ...


class SegmentGoneError(Exception):
    """A segment was replaced between the read of its profile and its own; read the profile again."""


class Clock(Protocol):
    """Time, for use cases that wait or stamp."""

    def now_us(self) -> int:
        """Return microseconds since 1970, UTC."""
        ...

    def pause(self, attempt: int) -> None:
        """Wait before the n-th attempt (from 1), with jitter."""
        ...
