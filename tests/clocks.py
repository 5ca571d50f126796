"""A clock for tests in which nobody waits, and what is to be over before what is parked is folded."""

from shared.app.ingest import Ingest
from shared.app.quiet import QUIET_MS


class FakeClock:
    """Only ever moves on, by itself, and hardly at all: a moment that others wait for does not end."""

    def __init__(self, us=0):
        self.us = us

    def now_us(self):
        self.us += 1
        return self.us

    def pause(self, attempt):
        self.us += attempt


def fold_parked(builder, store, profiles, events, clock):
    """Have every profile with something parked beside it written once more, by an event it knows.

    Nothing else comes: what is lost stays lost. It comes when no quiet is kept any more that somebody asked
    for at the clock's time; before, it might be parked there itself.
    """
    clock.us += 2 * QUIET_MS * 1000
    for profile in profiles:
        if profile.parked:
            known = next(one for one in events if one.identifiers[0] in profile.identifiers)
            assert Ingest(builder, store, clock).run([known]).failed == []
