"""Ingestion: contributions in, written profiles out, whatever races.

    load -> plan -> commit, again for the groups that lost a race, until each is written, parked or failed

Nothing here decides what a profile becomes (that is `core/plan.py`) or how it is stored (an adapter).
"""

import traceback
from collections import Counter
from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from shared.app.damage import DamagedError, Place, told
from shared.app.loading import Group, Loading, UnplannableError
from shared.app.ports import (
    Clock,
    Committed,
    Conflict,
    Damaged,
    Failed,
    ProfileStore,
    SegmentGoneError,
)
from shared.app.quiet import Turn, joined, may_ask
from shared.core.compile import Builder, Contribution
from shared.core.event import Position
from shared.core.plan import ACTIONS_MAX
from shared.core.profile import Profile
from shared.core.snapshot import Snapshot
from shared.core.writes import Note, Plan

PARK_AFTER: Final = 3
"""Lost races after which a group's events are parked beside the contended profile, if no others are there."""
ATTEMPTS_MAX: Final = 8
"""Lost races after which a group fails."""
PAUSE_MAX: Final = 2
"""How many lost races a group waits for, at most, before it tries again.

After more of them the others have parked, and gone: who stays would only wait longer for the next."""
CONTENDED: Final = "contended"
"""Why a group fails that lost too many races."""


class Outcome(msgspec.Struct):
    """What became of a batch. `failed` are the positions of events that must come again, and why.

    Those of `damaged` cannot be folded before what is stored of their profiles is mended. Those of
    `unplanned` cannot be folded at all, for errors of the named types: tried again, they would fail again.
    """

    tally: Counter[str] = msgspec.field(default_factory=Counter)
    notes: list[Note] = []
    failed: list[tuple[Position, str]] = []
    damaged: list[Position] = []
    unplanned: list[tuple[Position, str]] = []

    def set_aside(self, group: Group, places: Collection[Place]) -> None:
        """Take out a group whose profiles cannot be read; it costs nobody else anything."""
        self.damaged.extend(one.position for one in group)
        self.notes.append(Note("damaged", {"places": told(places), "events": len(group)}))

    def leave_out(self, group: Group, error: BaseException) -> None:
        """Take out a group that cannot be planned, alone."""
        name = type(error).__qualname__
        self.unplanned.extend((one.position, name) for one in group)
        frames = traceback.extract_tb(error.__traceback__)
        raised_at = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        fields = {"error": name, "raised_at": raised_at, "events": len(group)}
        self.notes.append(Note("unplanned", fields))

    def fail(self, group: Group, error: str) -> None:
        """Give a group back to the stream."""
        self.failed.extend((one.position, error) for one in group)


class _Waiting(msgspec.Struct):
    """A group that is not written yet: how often it lost a race, and whose turn it is."""

    group: Group
    attempts: int = 0
    turn: Turn = msgspec.field(default_factory=Turn)


class Ingest:
    """Ingests contributions of one builder into one store."""

    def __init__(
        self, builder: Builder, store: ProfileStore, clock: Clock, actions_max: int = ACTIONS_MAX
    ) -> None:
        self._builder = builder
        self._store = store
        self._clock = clock
        self._actions_max = actions_max

    def run(self, contributions: Iterable[Contribution], beside: Collection[str] = ()) -> Outcome:
        """Write what the contributions change; return once each is written, parked or failed.

        So is what was parked `beside` these profiles, whether or not the contributions lead to them.

        A group that fails, cannot be planned, or whose profiles are damaged, does so alone. Raises what the
        store raises when it does not answer at all.
        """
        outcome = Outcome()
        loading = Loading(self._builder, self._store)
        if beside:
            loading.look_at(beside)
        waiting = [_Waiting(list(contributions))]
        while waiting:
            groups = _regrouped(loading.load([one for each in waiting for one in each.group]), waiting)
            again: list[_Waiting] = []
            planned = self._plan(groups, loading, outcome, again)
            self._commit(planned, loading, outcome, again)
            waiting = again
            loading.fresh = True
            pause = max((max(one.attempts, one.turn.waits) for one in waiting), default=0)
            if pause and not any(one.turn.is_next for one in waiting):  # others wait for that one
                self._clock.pause(min(pause, PAUSE_MAX))
        return outcome

    def _plan(
        self, groups: Iterable[_Waiting], loading: Loading, outcome: Outcome, again: list[_Waiting]
    ) -> list[tuple[_Waiting, Plan]]:
        """Plan groups; add to `again` what is to be planned again."""
        planned: list[tuple[_Waiting, Plan]] = []
        for one in groups:
            try:
                plan = loading.plan(one.group, self._clock.now_us(), self._actions_max)
                if plan.is_unverified and not loading.fresh:
                    loading.forget(one.group, plan)
                    again.append(one)
                elif not self._gives_way(one, plan, loading, outcome, again):
                    planned.append((one, plan))
            except SegmentGoneError:
                loading.forget(one.group)
                self._again(one, None, loading, outcome, again)
            except DamagedError as error:
                outcome.set_aside(loading.own(one.group), error.places)
            except UnplannableError as error:
                if loading.fresh:
                    outcome.leave_out(loading.own(one.group), error.__cause__ or error)
                else:  # what was read may have been stale
                    loading.forget(one.group)
                    again.append(one)
            except Exception as error:  # noqa: BLE001 - what one group cannot do must not stop the others
                outcome.fail(loading.own(one.group), type(error).__qualname__)
        return planned

    def _commit(
        self,
        planned: list[tuple[_Waiting, Plan]],
        loading: Loading,
        outcome: Outcome,
        again: list[_Waiting],
    ) -> None:
        """Commit plans; add to `again` what is to be planned again."""
        results = self._store.commit([plan for _, plan in planned])
        for (one, plan), result in zip(planned, results, strict=True):
            match result:
                case Committed():
                    outcome.tally.update(plan.tally)
                    outcome.notes.extend(plan.notes)
                    loading.written(one.group, plan.rest)
                    loading.forget(one.group, plan)
                    if len(plan.rest) == len(one.group):
                        # It cannot be, and must never go round for ever.
                        outcome.fail(loading.own(one.group), "too_large")
                    elif plan.rest:
                        again.append(_Waiting(list(plan.rest)))
                case Conflict(found=found):
                    outcome.tally["conflicts"] += 1
                    is_fit = found and all(isinstance(each, Profile) for each in found.values())
                    if plan.is_structural or not is_fit:
                        loading.forget(one.group, plan)
                    loading.snapshot.profiles.update(found)
                    self._again(one, plan, loading, outcome, again)
                case Damaged(ids=ids):
                    outcome.set_aside(loading.own(one.group), ids)
                case Failed(error=error):
                    outcome.fail(loading.own(one.group), error)

    def _again(
        self, one: _Waiting, lost: Plan | None, loading: Loading, outcome: Outcome, again: list[_Waiting]
    ) -> None:
        """Have a group try again; after too many lost races park it, or give it back to the stream.

        It is parked at once where others are: whoever goes on to race there only delays whoever folds that.
        One that cannot be parked asks the others for quiet.
        """
        one.attempts += 1
        if one.attempts >= ATTEMPTS_MAX:
            outcome.fail(loading.own(one.group), CONTENDED)
        elif lost is None:
            again.append(one)
        elif not self._gives_way(one, lost, loading, outcome, again):
            may_park = one.attempts >= PARK_AFTER or _is_hot(lost, loading.snapshot)
            if may_park and self._park(loading.own(one.group), lost, outcome):
                return
            if may_ask(lost, one.attempts):
                asked = one.turn.ask(self._store, lost, loading.snapshot.profiles, self._now_ms())
                outcome.tally["profiles_quieted"] += asked
            again.append(one)

    def _gives_way(
        self, one: _Waiting, plan: Plan, loading: Loading, outcome: Outcome, again: list[_Waiting]
    ) -> bool:
        """Park a group, or have it wait and be read again, if somebody else has asked for quiet."""
        asked = one.turn.of_others(plan, loading.snapshot.profiles, self._now_ms())
        if not asked:
            return False
        if not any(each.is_closed for each in asked) and self._park(loading.own(one.group), plan, outcome):
            return True
        if not one.turn.wait():
            return False
        loading.forget(one.group, plan)
        again.append(one)
        return True

    def _park(self, own: Group, plan: Plan, outcome: Outcome) -> bool:
        """Leave a group's own events beside the profile that it was to write; False where that cannot be.

        They may wait there for long: none of them may link anybody. What a plan had no room for does.
        """
        if not own or plan.is_structural or plan.rest or not plan.puts:
            return False
        profile_id = plan.puts[0].profile.id
        if not self._store.park(profile_id, f"{profile_id}/{_delta_name(own)}", own):
            return False
        outcome.tally["deltas_parked"] += 1
        outcome.tally["events_parked"] += len(own)
        outcome.notes.append(Note("parked", {"profile": profile_id, "events": len(own)}))
        return True

    def _now_ms(self) -> int:
        return self._clock.now_us() // 1000


def _regrouped(groups: Iterable[Group], waiting: Iterable[_Waiting]) -> list[_Waiting]:
    """Let groups go on from where those were whose contributions they hold."""
    before = {id(one): each for each in waiting for one in each.group}
    regrouped: list[_Waiting] = []
    for group in groups:
        of_these = {id(each): each for one in group if (each := before.get(id(one)))}.values()
        attempts = max((each.attempts for each in of_these), default=0)
        regrouped.append(_Waiting(group, attempts, joined(each.turn for each in of_these)))
    return regrouped


def _is_hot(lost: Plan, snapshot: Snapshot) -> bool:
    """Whether somebody else wrote a profile, and events of others are parked beside it.

    Who lost only to what was parked, unseen, has nobody to wait for: it is the one to fold that.
    """
    found = ((put, snapshot.profiles.get(put.profile.id)) for put in lost.puts)
    return any(isinstance(one, Profile) and one.parked and one.rev != put.expected for put, one in found)


def _delta_name(group: Group) -> str:
    """Name a delta by where it begins and what it holds: parked again, it is the same one."""
    first = min(one.position for one in group)
    content = "".join(f"{one.arrival}:{len(one.key[1])}:{one.key[1]}" for one in group)
    digest = blake2b(content.encode(), digest_size=6).hexdigest()
    return f"{first.shard}#{first.sequence}#{first.index}#{digest}"
