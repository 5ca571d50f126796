"""What publishing would lose: an archive that is kept for a time may begin after profiles do."""

from collections.abc import Iterable
from typing import Final, NamedTuple

DAY_MS: Final = 86_400_000
IDS_TOLD: Final = 5


class Losses(NamedTuple):
    """Profiles that began before the archive does: how many, and the ids of some."""

    profiles: int
    some: tuple[str, ...]


def archive_begins(now: int, kept_days: int) -> int:
    """Return since when the archive is whole at a time, ms UTC: S3 expires objects by whole days."""
    return (now // DAY_MS - kept_days + 1) * DAY_MS


def losses(older: Iterable[str]) -> Losses:
    """Count the profiles that began before the archive does, of which these are the ids."""
    profiles = 0
    some: list[str] = []
    for one in older:
        profiles += 1
        if len(some) < IDS_TOLD:
            some.append(one)
    return Losses(profiles, tuple(sorted(some)))
