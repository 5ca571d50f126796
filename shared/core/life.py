"""A live profile while events are planned: what has changed, and what is still to be folded."""

from shared.core.compile import Builder, Contribution
from shared.core.memory import Memory  # noqa: TC001 - ruff sees no use but in an annotation
from shared.core.profile import Profile, copy, fold, is_known


class Life:
    """A live profile while it is planned; copied when it first changes.

    `pending` are the events that it has counted, but whose values are not folded yet.
    """

    __slots__ = ("changed", "fresh_until", "inherited", "known", "pending", "profile", "stored")

    def __init__(self, builder: Builder, profile: Profile, *, stored: bool) -> None:
        self.profile = profile
        self.stored = profile if stored else None
        self.changed = not stored
        self.known = is_known(builder, profile)
        self.fresh_until = 0
        """It surely has not expired for arrivals up to then, ms UTC."""
        self.pending: list[Contribution] = []
        self.inherited: dict[int, Memory] = {}
        """What is part of its memory already, of removed profiles, by identity."""

    def change(self, builder: Builder) -> Profile:
        """Return the profile to be changed."""
        if not self.changed:
            self.profile = copy(builder, self.profile)
            self.changed = True
        return self.profile

    def settle(self, builder: Builder) -> Profile:
        """Return the profile with everything folded."""
        if self.pending:
            fold(builder, self.profile, self.pending)
            self.pending = []
        return self.profile
