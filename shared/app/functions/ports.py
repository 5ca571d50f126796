"""What running profile functions needs from the world."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from shared.core.functions import FunctionOutcome, User
from shared.core.history import Head
from shared.core.profile import Profile

TimeLeft = Callable[[], float]
"""Says for how many seconds a worker may go on."""


class FunctionInput(msgspec.Struct, frozen=True):
    """One profile, ready to run its function: whose events, and their chunks (`core/history.py`).

    The function gets the events since `since_ms` (ms UTC): the window ends at the profile's `updated_at`.
    """

    user: User
    chunks: Sequence[bytes]
    since_ms: int


class ProfileFunction(Protocol):
    """The profile function of one version of one builder, wherever it runs."""

    def run(self, inputs: Sequence[FunctionInput], time_s: float | None = None) -> list[FunctionOutcome]:
        """Run the function for each profile alone; what became of each, in their order.

        `time_s` bounds each run; None: what the builder says. Raises only if the function cannot be run at
        all now: nothing is known of any of them then.
        """
        ...


class Histories(Protocol):
    """Where the histories of profiles are: every store of profiles has them."""

    def chunks(self, profile: Profile, since_ms: int) -> dict[Head, bytes]:
        """Return the chunks of a profile as it was read, as far back as events since then may be (ms UTC).

        Raises `core.history.HistoryGoneError` when the profile has been removed or written since, and
        `core.walk.HistoryTooLargeError` when there is more than whoever runs a function may hold.
        """
        ...
