"""How long a profile lives after its last event."""

from typing import Final

from shared.core.definition import Retention
from shared.core.times import add_months

DAY_MS: Final = 86_400_000
SHORTEST_MONTH_MS: Final = 28 * DAY_MS
CHILD_SLACK: Final = 0.25
"""By how much of its retention a profile's children outlive it: they are extended that rarely."""


def expires_at(retention: Retention, updated_at: int, *, known: bool) -> int:
    """Return when a profile expires, ms UTC: calendar months after its last arrival."""
    return add_months(updated_at, retention.known_months if known else retention.other_months)


def fresh_until(retention: Retention, updated_at: int, *, known: bool) -> int:
    """Return until when a profile updated then surely has not expired, ms UTC, without asking a calendar."""
    months = retention.known_months if known else retention.other_months
    return updated_at + months * SHORTEST_MONTH_MS


def children_until(retention: Retention, expiry: int, *, known: bool) -> int:
    """Return until when identifiers and segments live, ms UTC, beyond the expiry of their profile."""
    months = retention.known_months if known else retention.other_months
    return expiry + int(months * SHORTEST_MONTH_MS * CHILD_SLACK)
