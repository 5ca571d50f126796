"""Verify: every event that came in is accounted for, or the build fails; a sample is compared."""

import msgspec

from shared.app.rebuild.build import BuildName
from shared.app.rebuild.ports import Objects, ProfileLines


class Verified(msgspec.Struct, frozen=True):
    """Where the events went: `events_in` is the sum of the five that follow it.

    `repeated` are copies in overlapping objects of the archive. Of `sampled` profiles, `same` are equal in
    the active version, the `different` are there too, and the rest are not: new definitions make new
    profiles, and the active version has gone on.
    """

    events_in: int
    folded: int
    dropped: int
    duplicate: int
    repeated: int
    quarantined: int
    profiles: int
    sampled: int
    same: int
    different: int


def verify(name: BuildName, objects: Objects, lines: ProfileLines, active: int | None) -> Verified:
    """Add up what all workers counted. BuildFailedError if any is missing, or events are."""
    raise NotImplementedError
