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


def is_expired(retention: Retention, updated_at: int, arrival: int, *, known: bool) -> bool:
    """Whether a profile last updated then counts as absent for an event arriving now."""
    months = retention.known_months if known else retention.other_months
    # Hot: nearly every event arrives within a month that no calendar needs to be asked about.
    if arrival - updated_at <= months * SHORTEST_MONTH_MS:
        return False
    return arrival > add_months(updated_at, months)


def children_until(retention: Retention, expiry: int, *, known: bool) -> int:
    """Return until when identifiers and segments live, ms UTC, beyond the expiry of their profile."""
    months = retention.known_months if known else retention.other_months
    return expiry + int(months * SHORTEST_MONTH_MS * CHILD_SLACK)
