"""Executions of the state machine that builds versions: one per version, and one that cleans up after it."""

from dataclasses import dataclass
from typing import Final, Protocol

RUNNING: Final = "RUNNING"
STATES: Final = ("Plan", "Scan", "Link", "Shuffle", "Replay", "Verify", "Follow", "CutOver")
"""The states of a build in their order. CleanUp comes a grace period after it, when all is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How far an execution is, as Step Functions tells; times ms UTC.

    `status` is `RUNNING` or how it ended; `state` is the one of `STATES` that it came to last, at
    `entered_at`.
    """

    status: str
    state: str = ""
    started_at: int = 0
    entered_at: int = 0

    @property
    def runs(self) -> bool:
        """Say whether it has not ended."""
        return self.status == RUNNING


class Executions(Protocol):
    """Starts and stops builds. All but `of` may be called again and again: once has the same effect."""

    def start(self, builder: str, version: int, grace_s: int | None) -> bool:
        """Start the build of a version, unless it was ever started; say whether this call has started it.

        `grace_s`: for how long the version that it replaces is kept; None leaves that to the stack's setting.
        """

    def stop(self, builder: str, version: int, cause: str) -> None:
        """End the build of a version, if it runs."""

    def clean_up(self, builder: str, version: int) -> None:
        """Start to delete what a version that failed has left, unless that is going on."""

    def of(self, builder: str, version: int) -> Execution | None:
        """Return how far the build of a version is; None if it was never started."""
