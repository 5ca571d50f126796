"""Running profile functions after profiles have changed: one message, one profile.

    message -> profile, as it is now -> its history -> function -> result, written if none was of more events

A message says at which revision a profile was due. If it has changed since, a newer message is on its way,
and this one leaves the run to it: so a profile that keeps changing runs when it is quiet, or after a while.

A result is written into the profile as it is by then: what it counted meanwhile leaves it due, and its own
message has it run again. So the busiest profile gets on, too.

A function that failed rests, longer each time (`failing.py`): the newest message of its profile waits for
that, and the others are done.
"""

from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from shared.app.functions.dispatch import Due
from shared.app.functions.failing import Backoff, Failing, Failures, after, served, standing
from shared.app.functions.ports import Histories, ProfileFunction
from shared.app.functions.results import computed_of, input_of, since_of
from shared.app.ingest import Ingest
from shared.app.ports import Clock, Committed, Failed, ProfileStore
from shared.core.compaction import SMALL_MAX, compact
from shared.core.compile import Builder
from shared.core.functions import FunctionFailure, FunctionOutcome
from shared.core.history import DAMAGED, Head, HistoryGoneError, UnreadableChunkError
from shared.core.profile import Computed, Profile, copy, expiry
from shared.core.walk import HistoryTooLargeError
from shared.core.writes import Plan, Put

RACES_MAX: Final = 12
"""Lost races after which a message comes again later."""
SLOT_DEBOUNCES: Final = 5
"""A profile that keeps changing runs all the same after twice as many debounces, at the latest."""


class Became(StrEnum):
    """What became of a message."""

    WRITTEN = "written"
    NOT_DUE = "not_due"
    """The last result is of all events already: a message may come twice."""
    SUPERSEDED = "superseded"
    """A newer message is on its way."""
    GONE = "gone"
    """The profile was merged, broken or has expired, or its version has ended."""
    FAILED = "failed"
    """The function failed."""
    RESTING = "resting"
    """The function has failed, and its next attempt is yet to come."""
    POSTPONED = "postponed"
    """Its version is still being built; a message of the same comes later."""


class Ran(NamedTuple):
    """What became of a message, why the function failed if it did, and how many traits could not be kept.

    `attempt` counts its failures in a row; `again_s` is in how many seconds the message is to come again.
    """

    became: Became
    failure: FunctionFailure | None = None
    left_out: int = 0
    attempt: int = 0
    again_s: int | None = None


class UnavailableError(Exception):
    """The profile could not be read or written now; the argument says why, without any value."""


class Store(ProfileStore, Histories, Failures, Protocol):
    """Profiles with their histories, and the failures of their functions."""


class Runs:
    """Runs the function of one version of a builder."""

    def __init__(
        self,
        builder: Builder,
        debounce_s: int,
        store: Store,
        function: ProfileFunction,
        clock: Clock,
        backoff: Backoff,
        small_max: int = SMALL_MAX,
    ) -> None:
        self._builder = builder
        self._backoff = backoff
        self._small_max = small_max
        self._slot_us = SLOT_DEBOUNCES * max(debounce_s, 1) * 1_000_000
        self._store = store
        self._function = function
        self._clock = clock

    def run(self, due: Due) -> Ran:
        """Do what a message asks for.

        Raises `UnavailableError`, or what the ports raise, when it must come again: nothing is known then.
        """
        for attempt in range(1, RACES_MAX + 1):
            profile = self._read(due.profile_id)
            if profile is None:
                return Ran(Became.GONE)
            if profile.parked and self._fold_parked(profile):
                continue
            if not profile.is_due:
                return Ran(Became.NOT_DUE)
            if self._may_wait(due, profile, served(profile)):
                return Ran(Became.SUPERSEDED)
            failing = standing(self._store.failing(profile.id), profile)
            if failing is not None and (wait := self._wait(due, profile, failing)) is not None:
                return wait
            try:
                profile, outcome = self._outcome(profile)
            except HistoryGoneError:  # it has been merged or removed since
                self._clock.pause(attempt)
                continue
            if isinstance(outcome, FunctionFailure):
                failing, again_s = after(failing, profile, self._backoff, self._clock.now_us())
                self._store.failed(profile.id, failing)
                return Ran(Became.FAILED, outcome, attempt=failing.times, again_s=again_s)
            became = self._write(profile, computed_of(profile, outcome))
            return Ran(became, left_out=sum(outcome.left_out.values()) if outcome else 0)
        raise UnavailableError("the history is gone")

    def _outcome(self, profile: Profile) -> tuple[Profile, FunctionOutcome]:
        """Run the function; return the profile as it was given to it, and what became of that."""
        try:
            found = self._store.chunks(profile, since_of(self._builder, profile))
        except HistoryTooLargeError as error:
            return profile, FunctionFailure("function_history", str(error))
        except UnreadableChunkError:
            return profile, FunctionFailure("function_history", DAMAGED)
        profile, chunks = self._compacted(profile, found)
        [outcome] = self._function.run([input_of(self._builder, profile, chunks)])
        return profile, outcome

    def _compacted(self, profile: Profile, found: Mapping[Head, bytes]) -> tuple[Profile, list[bytes]]:
        """Put the small chunks of a history together that has many; return the profile then, and its chunks.

        If somebody else writes the profile meanwhile, they stay: what was read is a history as well.
        """
        rev = max(profile.rev + 1, self._clock.now_us())
        compacted = None
        with suppress(UnreadableChunkError):  # what runs the function tells of it
            compacted = compact(profile, found, rev, self._small_max)
        if compacted is not None:
            changed = copy(self._builder, profile)
            changed.heads, changed.rev = compacted.heads(profile.id), rev
            plan = Plan(puts=[Put(changed, profile.rev, compacted.chunks, profile.parked)])
            if self._store.commit([plan]) == [Committed()]:
                return changed, list(compacted.found.values())
        return profile, list(found.values())

    def _read(self, profile_id: str) -> Profile | None:
        """Return a profile that lives."""
        stored = self._store.profiles([profile_id], fresh=True).get(profile_id)
        if not isinstance(stored, Profile):
            return None
        return stored if self._clock.now_us() // 1000 <= expiry(self._builder, stored) else None

    def _fold_parked(self, profile: Profile) -> bool:
        """Fold events that wait beside a profile, which nobody else may come to do; False if there are none.

        The write has a message of its own. What was parked is none of the batch's, which therefore names
        nothing that failed: whether the events still wait tells. Raises `UnavailableError` if they do.
        """
        folded = Ingest(self._builder, self._store, self._clock).run((), beside=[profile.id])
        if folded.tally["events_folded"] + folded.tally["events_duplicate"] > 0:
            return True
        if self._store.deltas(profile.parked):
            raise UnavailableError("parked events cannot be folded")
        return False

    def _may_wait(self, due: Due, profile: Profile, ran: int) -> bool:
        """Tell whether a newer message is to have the run, if the last one was of the history as it was then.

        It is, but where the profile has had no run for a slot of some debounces, and the newer change fell
        into another slot: so whoever keeps changing has a few runs in a slot, and not one with each change.
        Revisions are the microseconds of writes.
        """
        if profile.rev <= due.rev:
            return False
        is_late = due.rev - ran > self._slot_us
        return not (is_late and due.rev // self._slot_us < profile.rev // self._slot_us)

    def _wait(self, due: Due, profile: Profile, failing: Failing) -> Ran | None:
        """Say what becomes of a message whose profile's function has failed; None if it is to run now."""
        rests_us = 0 if due.asked else failing.until_us - self._clock.now_us()
        if self._may_wait(due, profile, failing.rev) or (rests_us > 0 and profile.rev > due.rev):
            return Ran(Became.SUPERSEDED)
        return Ran(Became.RESTING, again_s=-(-rests_us // 1_000_000)) if rests_us > 0 else None

    def _write(self, read: Profile, computed: Computed) -> Became:
        """Write a result into the profile as it is by now, unless another result was written meanwhile."""
        current: Profile | None = read
        for attempt in range(1, RACES_MAX + 1):
            if current is None:
                return Became.GONE
            if current.computed != read.computed:
                return Became.SUPERSEDED
            changed = copy(self._builder, current)
            changed.computed = computed
            if current.parked:  # what is gone was folded; listed for ever, it would leave the profile due
                changed.parked = tuple(sorted(self._store.deltas(current.parked)))
            changed.rev = max(current.rev + 1, self._clock.now_us())
            [result] = self._store.commit([Plan(puts=[Put(changed, current.rev, beside=current.parked)])])
            match result:
                case Committed():
                    return Became.WRITTEN
                case Failed(error=error):
                    raise UnavailableError(error)
            self._clock.pause(attempt)
            current = self._read(read.id)
        raise UnavailableError("contended")
