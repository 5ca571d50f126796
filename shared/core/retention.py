"""How long a profile lives after its last event."""

from typing import Final

from shared.contract import DEDUP_WINDOW_H
from shared.core.definition import Retention
from shared.core.times import add_months

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SHORTEST_MONTH_MS: Final = 28 * DAY_MS
CHILD_SLACK: Final = 0.25
"""By how much of its retention a profile's children outlive it: they are extended that rarely."""
GRAVE_MS: Final = (DEDUP_WINDOW_H + 24) * HOUR_MS
"""How long tombstones, and the redirects and pointers that nobody needs, live: the window, and slack."""


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
