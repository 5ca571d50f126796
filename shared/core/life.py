"""A live profile while events are planned: what has changed, and what is still to be folded."""

from collections.abc import Iterable

from shared.core.compile import Builder, Contribution
from shared.core.definition import Retention
from shared.core.history import Chunk, Head, Piece, chain, pieces_of
from shared.core.memory import Memory  # noqa: TC001 - ruff sees no use but in an annotation
from shared.core.profile import Profile, copy, fold, is_known
from shared.core.retention import expires_at, fresh_until


class Life:
    """A live profile while it is planned; copied when it first changes.

    `pending` are the events that it has counted, but whose values are not folded yet; `counted` those that
    are folded, but not yet in `pieces`, if the builder keeps a history.
    """

    __slots__ = (
        "changed",
        "counted",
        "fresh_until",
        "inherited",
        "known",
        "pending",
        "pieces",
        "profile",
        "since",
        "stored",
    )

    def __init__(self, builder: Builder, profile: Profile, *, stored: bool) -> None:
        self.profile = profile
        self.stored = profile if stored else None
        self.changed = not stored
        self.known = is_known(builder, profile)
        self.fresh_until = 0
        """It surely has not expired for arrivals up to then, ms UTC."""
        self.pending: list[Contribution] = []
        self.counted: list[Contribution] = []
        self.pieces: list[Piece] = []
        self.since = profile.updated_at if stored else 0
        """No event that is stored arrived later, ms UTC."""
        self.inherited: dict[int, Memory] = {}
        """What is part of its memory already, of removed profiles, by identity."""

    def change(self, builder: Builder) -> Profile:
        """Return the profile to be changed."""
        if not self.changed:
            self.profile = copy(builder, self.profile)
            self.changed = True
        return self.profile

    def has_expired(self, retention: Retention, arrival: int) -> bool:
        """Tell whether the profile is over for an event that arrives then, ms UTC."""
        if arrival <= self.fresh_until:
            return False
        updated_at = self.profile.updated_at
        self.fresh_until = fresh_until(retention, updated_at, known=self.known)
        return arrival > self.fresh_until and arrival > expires_at(retention, updated_at, known=self.known)

    def settle(self, builder: Builder) -> Profile:
        """Return the profile with everything folded."""
        if self.pending:
            fold(builder, self.profile, self.pending)
            if builder.window_ms is not None:
                self.counted += self.pending
            self.pending = []
        return self.profile

    def compress(self, window_ms: int) -> None:
        """Keep what has been folded for the history only: it takes memory until then.

        What is not in the window is let go: it never will be. But something stays where anything was counted,
        as a chunk that follows tells that the profile's function is to run again.
        """
        if self.counted:
            self.pieces += _pieces(self.counted)
            self.counted = []
            since = self.profile.updated_at - window_ms
            self.pieces = [one for one in self.pieces if one.last >= since] or self.pieces[-1:]

    def take_over(self, other: "Life") -> None:
        """Take what another life has counted in this plan: they are one now."""
        self.pending += other.pending
        self.counted += other.counted
        self.pieces += other.pieces
        self.since = max(self.since, other.since)
        self.known = self.known or other.known
        self.inherited |= other.inherited

    def forget(self) -> None:
        """Let go of what it has counted in this plan: it ends."""
        self.pending, self.counted, self.pieces = [], [], []

    def history(self, window_ms: int) -> tuple[Chunk, ...]:
        """Put what was counted behind the profile's heads; `settle` comes before."""
        self.compress(window_ms)
        profile = self.profile
        chunks = chain(profile.id, profile.rev, profile.heads, self.pieces, self.since)
        if chunks:
            profile.heads = (Head(profile.id, chunks[-1].name),)
        return tuple(chunks)


def _pieces(contributions: Iterable[Contribution]) -> list[Piece]:
    kept = [(one.key[0], one.key[1], one.text or b"{}") for one in contributions]
    return pieces_of(kept, max(one.arrival for one in contributions))
