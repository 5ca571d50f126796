"""The registry: which versions each builder has, how far they are, and which one is active.

Every write is conditional: of two that compete, one wins and the other gets `RegistryConflictError`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class RegistryConflictError(Exception):
    """Somebody else changed the row since it was read; nothing was written."""


class DamagedRowError(Exception):
    """A row says what none of Kith's does; the message names it, and nothing else of what it says."""


class Status(StrEnum):
    """A version goes from building to active to retired, or to failed."""

    BUILDING = "building"
    ACTIVE = "active"
    RETIRED = "retired"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A changed folder that no version has yet; a builder has one at most. Times ms UTC."""

    builder: str
    definition_key: str
    sha256: str
    created_at: int
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a builder. Times ms UTC.

    The version counts the records that arrived at `t0` or later; 0 counts the whole stream. `finished_at` is
    when it became active, or failed; 0 while it is building. `reason` says why a version failed. `cleaned_at`
    is when all it had left was deleted; 0 before. `release` is that of Kith whose workers build it, empty
    before they begin. `has_items` is False as long as nothing of it can be stored but this row and objects.
    `rev` grows with every write of the row.
    """

    builder: str
    version: int
    status: Status
    definition_key: str
    sha256: str
    t0: int
    created_at: int
    created_by: str
    finished_at: int = 0
    reason: str = ""
    cleaned_at: int = 0
    release: str = ""
    has_items: bool = True
    rev: int = 1


class Registry(Protocol):
    """Where drafts, versions and the active pointers are kept. What reads them raises DamagedRowError."""

    def builders(self) -> list[str]:
        """Return the names of all builders that have a version or a draft."""

    def active(self) -> dict[str, int]:
        """Return the active version of every builder that has one."""

    def version(self, builder: str, version: int) -> Version | None:
        """Return one version."""

    def versions(self, builder: str) -> list[Version]:
        """Return all versions of a builder, the oldest first."""

    def draft(self, builder: str) -> Draft | None:
        """Return the builder's draft."""

    def add(self, version: Version) -> None:
        """Add a version; RegistryConflictError if it exists."""

    def replace(self, old: Version, new: Version) -> Version:
        """Put `new` in the place of `old` and return it; RegistryConflictError if `old` is stale."""

    def activate(self, version: Version, was: int | None) -> Version:
        """Make a version active in one step: its status and the pointer, which must still say `was`.

        RegistryConflictError if the version is stale or the pointer has moved.
        """

    def put_draft(self, draft: Draft, was: Draft | None) -> None:
        """Keep a draft in the place of `was`; RegistryConflictError if its builder has another one by now."""

    def drop_draft(self, draft: Draft) -> None:
        """Remove a draft, unless a newer one has taken its place."""


class Progress(Protocol):
    """What is counted of builds, for people to watch; nothing is decided by it.

    A counter is called `{state}.{what}`, as in `scan.events`. `kith builds` draws of the maps how many of
    `plan.parts` are in `scan.parts` and `shuffle.parts`, and how many of `link.partitions` in
    `replay.partitions`; it tells `scan.events`, `scan.quarantined`, `replay.events` and `replay.profiles`.
    """

    def add_progress(self, builder: str, version: int, counted: Mapping[str, int]) -> None:
        """Add to a build's counters, in one step."""

    def progress(self, builder: str, version: int) -> dict[str, int]:
        """Return a build's counters by name."""
