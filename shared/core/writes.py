"""What a plan consists of: conditional writes, what comes before and after them, and what they mean."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from shared.core.compile import Contribution
from shared.core.history import Chunk
from shared.core.identity.identifiers import Identifier
from shared.core.identity.resolve import Repair
from shared.core.profile import Profile
from shared.core.snapshot import Pointer, Tombstone


class Put(NamedTuple):
    """Write a profile, if the stored revision is `expected` (None: if there is none).

    The `chunks` of its history are written first: the profile names the last of them. `beside` names the
    deltas that the stored profile lists, as the plan saw it: those that it lists besides stay listed. If it
    `is_quiet`, others park beside it just now.
    """

    profile: Profile
    expected: int | None
    chunks: tuple[Chunk, ...] = ()
    beside: tuple[str, ...] = ()
    is_quiet: bool = False

    @property
    def folded(self) -> list[str] | None:
        """The deltas that the write takes off the list, whatever is added to it meanwhile.

        None where nothing may be added: the plan saw no list, or the profile takes over that of another one.
        """
        left = set(self.profile.parked)
        if not (self.beside or self.is_quiet) or not left.issubset(self.beside):
            return None
        return [name for name in self.beside if name not in left]


class Point(NamedTuple):
    """Write a pointer, if it is absent or names one of `expected`."""

    identifier: Identifier
    pointer: Pointer
    expected: tuple[str, ...]
    until: int
    """When it may go, ms UTC."""


class Bury(NamedTuple):
    """Replace a profile by its tombstone, if the stored revision is `expected` (None: if there is none).

    And if no other deltas are parked beside it than `beside`, which the plan saw.
    """

    tombstone: Tombstone
    expected: int | None
    arrival: int
    """Of the event that removed the profile, ms UTC."""
    beside: tuple[str, ...] = ()


class Remove(NamedTuple):
    """Delete a merged profile at this revision, or leave a redirect to its primary in its place.

    If no other deltas are parked beside it than those of `profile`, as the plan saw it.
    """

    profile: Profile
    expected: int
    rev: int
    redirect: str | None


class Extend(NamedTuple):
    """Let a profile's identifiers and segments live until then (ms UTC), before the profile is written."""

    profile: Profile
    until: int


class Note(NamedTuple):
    """Something that a log line tells: `merged`, `broken` or `set_aside`, with fields fit for logs."""

    what: str
    fields: dict[str, Any]


class Plan(msgspec.Struct):
    """The writes of one group, and what they mean.

    Without structural change, `puts` are independent of each other. A `creation` is one point, then one
    put. Otherwise everything up to `checks` is one transaction. `extends` come before it, `repairs`,
    `released` pointers and `folded_deltas` after it, but for those `astray`; they are idempotent. `rest`
    was not planned: it is to be planned again once this is written. `is_unverified` says that something was
    decided by reads which no write of the plan would find to be stale: it may be written only if they were
    fresh.
    """

    puts: list[Put] = []
    points: list[Point] = []
    buries: list[Bury] = []
    removes: list[Remove] = []
    checks: dict[str, int] = {}
    extends: list[Extend] = []
    repairs: list[Repair] = []
    released: list[Point] = []
    folded_deltas: list[str] = []
    rest: Sequence[Contribution] = ()
    is_unverified: bool = False
    tally: Counter[str] = msgspec.field(default_factory=Counter)
    notes: list[Note] = []

    @property
    def is_creation(self) -> bool:
        """Whether one point, then one put, each conditional, are enough.

        In this order, as a pointer that leads nowhere means nothing, and a profile that nothing leads to
        would stay: the identifier may have gone to somebody else meanwhile. Who takes an identifier that
        leads to what is not there yet therefore buries it first.
        """
        return (
            len(self.puts) == len(self.points) == 1
            and self.puts[0].expected is None
            and not (self.buries or self.removes or self.checks)
            and not self.points[0].expected
        )

    @property
    def astray(self) -> list[Point]:
        """The released pointers that do not lead to their tombstone already: they are written with it.

        Otherwise, if what comes after were lost, events that come again by these identifiers alone would
        not find what the removed profile remembered of them, and count twice.
        """
        return [one for one in self.released if one.pointer.profile_id not in one.expected]

    @property
    def is_structural(self) -> bool:
        """Whether the writes must happen together or not at all.

        That is so, too, where one profile stops listing a delta whose events go to another: if only the
        first were written, nobody would look for them any more.
        """
        if self.points or self.buries or self.removes or self.checks:
            return True
        return bool(self.folded_deltas) and len(self.puts) > 1
