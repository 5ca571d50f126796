"""What a store holds, as a plan sees it."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from shared.core.compile import Contribution
from shared.core.identity.identifiers import Identifier
from shared.core.memory import Trace
from shared.core.profile import Profile


class Pointer(NamedTuple):
    """Where an identifier leads: a profile, since the arrival (ms UTC) that attached it."""

    profile_id: str
    first_seen: int


class Tombstone(msgspec.Struct, frozen=True):
    """What a removed profile leaves for the dedup window: its memory, for its successor.

    `parked` names deltas that were still to be folded when the profile was removed.
    """

    id: str
    rev: int
    traces: tuple[Trace, ...]
    parked: tuple[str, ...] = ()


class Redirect(msgspec.Struct, frozen=True):
    """What a merged profile leaves while identifiers still point to it."""

    id: str
    rev: int
    target: str


Stored = Profile | Tombstone | Redirect


class Snapshot(msgspec.Struct):
    """The part of the store that a plan may look at.

    An identifier or id that maps to None is known to be absent; one that is missing was not looked up, and
    counts as absent too: every write is conditional, so what was overlooked is found out by a conflict.
    `deltas` holds, by name, what is parked beside these profiles: contributions that take part in this plan,
    none where the delta is gone.
    """

    pointers: dict[Identifier, Pointer | None] = {}
    profiles: dict[str, Stored | None] = {}
    deltas: dict[str, Sequence[Contribution]] = {}


def profile_of(snapshot: Snapshot, pointer: Pointer | None) -> tuple[list[str], Stored | None]:
    """Follow a pointer through redirects.

    Returns the ids passed, the last of which is where the pointer ends, and what is stored there.
    """
    passed: list[str] = []
    stored: Stored | None = None
    target = pointer.profile_id if pointer else None
    while target is not None and target not in passed:
        passed.append(target)
        stored = snapshot.profiles.get(target)
        target = stored.target if isinstance(stored, Redirect) else None
    return passed, None if isinstance(stored, Redirect) else stored
