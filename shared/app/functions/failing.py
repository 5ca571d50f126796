"""Profiles whose function failed when it ran last: how often in a row, and until when it rests.

That is kept of each profile, not of each of its messages: a profile that keeps changing has many messages,
and one whose function always fails must not run with every one of them.
"""

from typing import Final, Protocol

import msgspec

from shared.core.history import newest_revision
from shared.core.profile import Profile

DELAY_S_MAX: Final = 6 * 3600
"""The longest between two attempts; a queue holds back a message that was received for twelve hours."""


class Backoff(msgspec.Struct, frozen=True):
    """When a function that failed runs again: after `first_s` seconds, then four times as long, and so on."""

    attempts: int
    first_s: int

    def delay_s(self, times: int) -> int | None:
        """Return for how long to wait after so many failures in a row; None: that was the last attempt."""
        return None if times >= self.attempts else self.unavailable_s(times)

    def unavailable_s(self, received: int) -> int:
        """Return for how long to wait when nothing is known of the function, however often that was so."""
        return int(min(DELAY_S_MAX, self.first_s * 4 ** min(received - 1, 20)))


class Failing(msgspec.Struct, frozen=True):
    """The failures of a profile's function: how many in a row, and up to which revision its history was then.

    It rests until `until_us` (microseconds UTC), 0 after the last attempt.
    """

    times: int
    rev: int
    until_us: int


class Failures(Protocol):
    """Where that is kept, for longer than any delay."""

    def failing(self, profile_id: str) -> Failing | None:
        """Return what was kept of a profile; it may be a little stale, or outdone by a later result."""
        ...

    def failed(self, profile_id: str, failing: Failing) -> None:
        """Keep it of a profile, over what was kept before."""
        ...


def standing(failing: Failing | None, profile: Profile) -> Failing | None:
    """Return failures that no later result of the profile has outdone."""
    if failing is None or served(profile) >= failing.rev:
        return None
    return failing


def served(profile: Profile) -> int:
    """Return up to which revision the history was that the last result came of; -1 if there is no result."""
    return -1 if profile.computed is None else newest_revision(profile.computed.basis)


def after(
    last: Failing | None, profile: Profile, backoff: Backoff, now_us: int
) -> tuple[Failing, int | None]:
    """Return what to keep when a profile's function has failed once more, and for how many seconds it rests.

    None: that was the last attempt. The next change of the profile begins anew.
    """
    times = 1 if last is None or last.times >= backoff.attempts else last.times + 1
    delay_s = backoff.delay_s(times)
    until_us = 0 if delay_s is None else now_us + delay_s * 1_000_000
    return Failing(times, newest_revision(profile.heads), until_us), delay_s
