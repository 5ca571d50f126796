"""Profiles whose function failed for the last time: kept until they are no longer due, to be looked at.

What is kept names the profile and the error, and holds nothing of what its events say.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple, Protocol

import msgspec

from shared import contract
from shared.app.functions.dispatch import Delayed, Due, Queue

LOOKED_UP_TOGETHER: Final = 100
"""Errors whose profiles are looked up at once."""


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


class DamagedFunctionError(Exception):
    """An object of these that holds no error; the message names it, and nothing of what it holds."""


class Errors(Protocol):
    """Where they are kept."""

    def put(self, error: FunctionError) -> None:
        """Keep an error, over an older one of its profile."""
        ...

    def list(self, builder: str | None = None) -> Iterator[FunctionError]:
        """Yield errors: all, or those of one builder. Raises `DamagedFunctionError`."""
        ...

    def delete(self, error: FunctionError) -> None:
        """Forget an error, unless its function has failed again since. Raises `DamagedFunctionError`."""
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
    errors: Iterable[FunctionError], profiles: DueProfiles, together: int = LOOKED_UP_TOGETHER
) -> Iterator[Standing]:
    """Say of errors whether they still stand: a profile that changed since may have run well."""
    waiting = iter(errors)
    while some := list(islice(waiting, together)):
        yield from map(Standing, some, profiles.revisions(some))


def retry(errors: Errors, queue: Queue, found: Iterable[Standing]) -> tuple[int, int]:
    """Have the functions of profiles run again that are due still, and forget all these errors.

    Returns how many are due, and how many are not. An error goes last: broken off, this may be repeated. By
    then the function may have failed again, and that error stays.
    """
    sent = forgotten = 0
    waiting = iter(found)
    while some := list(islice(waiting, LOOKED_UP_TOGETHER)):
        due = [
            msgspec.structs.replace(one.error.due, rev=one.rev, asked=True)
            for one in some
            if one.rev is not None
        ]
        queue.send([Delayed(one, 0) for one in due])
        for one in some:
            errors.delete(one.error)
        sent += len(due)
        forgotten += len(some) - len(due)
    return sent, forgotten
