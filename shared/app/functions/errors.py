"""Profiles whose function failed for the last time: kept until they are no longer due, to be looked at.

What is kept names the profile and the error, and holds nothing of what its events say.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from shared import contract
from shared.app.functions.dispatch import Due


class FunctionError(msgspec.Struct, frozen=True):
    """The last failure of a profile's function; `failed_at` is ms UTC. One is kept of each profile."""

    due: Due
    reason: str
    detail: str
    attempts: int
    failed_at: int

    @property
    def key(self) -> str:
        """Name the object that holds it."""
        return f"{prefix_of(self.due.builder, self.due.version)}{self.due.profile_id}.json"


class Errors(Protocol):
    """Where they are kept."""

    def put(self, error: FunctionError) -> None:
        """Keep an error, over an older one of its profile."""
        ...

    def list(self, builder: str | None = None) -> Iterator[FunctionError]:
        """Yield errors: all, or those of one builder."""
        ...

    def delete(self, error: FunctionError) -> None:
        """Forget an error."""
        ...


class DueProfiles(Protocol):
    """Which profiles are due now."""

    def revisions(self, errors: Sequence[FunctionError]) -> Sequence[int | None]:
        """Return, for each, at which revision its profile is due now; None if it is not, or is gone."""
        ...


class Standing(NamedTuple):
    """An error, and the revision at which its profile is due now; None if it is due no more."""

    error: FunctionError
    rev: int | None


def prefix_of(builder: str | None = None, version: int | None = None) -> str:
    """Return what the keys begin with of all errors, of a builder's, or of a version's."""
    parts = [builder] if builder else []
    parts += [] if version is None else [f"v{version}"]
    return contract.PREFIX_FUNCTION_ERRORS + "".join(f"{part}/" for part in parts)


def standing(
    errors: Iterable[FunctionError], profiles: DueProfiles, together: int = 100
) -> Iterator[Standing]:
    """Say of errors whether they still stand: a profile that changed since may have run well."""
    some: list[FunctionError] = []
    for error in errors:
        some.append(error)
        if len(some) == together:
            yield from map(Standing, some, profiles.revisions(some))
            some = []
    yield from map(Standing, some, profiles.revisions(some))
