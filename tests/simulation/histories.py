"""Worlds whose builder has a profile function: whatever fails, a history holds just what was counted.

The same seeds, steps and faults as everywhere; whoever looks a person up also runs the function, as a message
from the queue would have it run: in the midst of everything, on what a stale read may show.
"""

import contextlib
import sys
from unittest.mock import patch

import msgspec

from shared.app.functions.dispatch import Due
from shared.app.functions.failing import Backoff
from shared.app.functions.results import input_of, since_of
from shared.app.functions.run import Runs, UnavailableError
from shared.core.compile import Builder
from shared.core.history import events_of
from shared.core.profile import Profile, expiry
from tests.fakes.functions import FakeFunction, counting
from tests.simulation.checks import check, items_of
from tests.simulation.dynamo import PROFILES
from tests.simulation.playing import finish
from tests.simulation.publishing import PublishingWorld, tuned_for_publishing
from tests.simulation.scenario import setting_of, steps_of
from tests.simulation.scheduler import SimulationError
from tests.simulation.workers import Clock
from tests.simulation.world import World

STEPS = 60
BACKOFF = Backoff(attempts=6, first_s=30)
SMALL_MAX = 3
LARGE_BYTES = 600
"""So few that histories are put together all the time, and what was put together is large at times."""
EVERYTHING, A_YEAR = "3650 days", "365 days"
"""Windows: one that all of a run is in, so that every event that was counted must be found; and one that runs
leave behind, so that chunks go by their TTL."""


class Historic:
    """The part of a world that has functions; `window` is that of its builder."""

    def __init__(self, setting, window):
        self.window = window
        super().__init__(setting)
        self.function = FakeFunction(counting)

    def function_of(self, process):
        del process
        return self.function

    def a_builder(self):
        options = (("window", self.window), ("debounce", "0 seconds"))
        return Builder(msgspec.structs.replace(super().a_builder().definition, profile_function=options))

    def looked_at(self, store, profile):
        with contextlib.suppress(UnavailableError):
            if profile is not None:
                self._run_function(store, profile)

    def _run_function(self, store, profile):
        clock = Clock(self, self.scheduler.current.process)
        runs = Runs(self.builder, 0, store, self.function, clock, BACKOFF, small_max=SMALL_MAX)
        return runs.run(Due(self.builder.name, self.active, profile.id, profile.rev))


class HistoricWorld(Historic, World):
    """A world of one version with functions."""


class HistoricVersions(Historic, PublishingWorld):
    """A world of several versions with functions, which their rebuilds run as well."""


def run(seed, store, count, window):
    """Play a seed to its end; raises for whatever does not hold."""
    setting = setting_of(seed, store)
    world = HistoricVersions(setting, window) if store == "versions" else HistoricWorld(setting, window)
    tuning = tuned_for_publishing(world) if store == "versions" else contextlib.nullcontext()
    with (
        tuning,
        patch("tests.simulation.playing.check", _check),
        tuned_for_histories(),
    ):
        finish(world, steps_of(setting, count))


def tuned_for_histories():
    """Have what a short history is be large at times."""
    return patch("shared.core.compaction.LARGE_BYTES", LARGE_BYTES)


def _check(world):
    check(world)
    for profile_id in world.ask(lambda store: live_ids(world, store), world.active):
        kept = world.ask(lambda store, one=profile_id: history_of(world, store, one), world.active)
        if kept is None:
            continue  # it has expired since
        profile, rows = kept
        if world.window == EVERYTHING:
            assert rows == profile.event_count, f"{profile_id} counted {profile.event_count}, and has {rows}"
        else:
            assert rows <= profile.event_count, f"{profile_id} has more events than it counted"
        world.ask(lambda store, one=profile: world._run_function(store, one), world.active)
        world.ask(lambda store, one=profile_id: _check_result(world, store, one), world.active)


def live_ids(world, store):
    if world.setting.store == "memory":
        return sorted(one.id for one in world.memory.stored.values() if isinstance(one, Profile))
    items = items_of(world, PROFILES, world.active)
    ids = [one["pk"]["S"].rpartition("#")[2] for one in items if "event_count" in one]
    return sorted(one.id for one in store.profiles(ids, fresh=True).values() if isinstance(one, Profile))


def live_of(world, store, profile_id):
    profile = store.profiles([profile_id], fresh=True)[profile_id]
    is_live = isinstance(profile, Profile) and expiry(world.builder, profile) >= world.now_ms
    return profile if is_live else None


def history_of(world, store, profile_id):
    """Return a profile, and how many events are in its history, those that have one id counted apart."""
    profile = live_of(world, store, profile_id)
    if profile is None:
        return None
    since = since_of(world.builder, profile)
    events = events_of(store.chunks(profile, since).values(), since)
    return profile, sum(1 for _ in events._merged())


def _check_result(world, store, profile_id):
    profile = live_of(world, store, profile_id)
    if profile is None:
        return
    assert not profile.is_due, f"the function of {profile_id} does not come to rest"
    chunks = store.chunks(profile, since_of(world.builder, profile)).values()
    expected = counting(input_of(world.builder, profile, chunks))
    found = None if not profile.computed.traits else profile.computed.traits
    assert found == (None if expected is None else expected.traits), f"{profile_id} has another result"


def main(store, seeds):
    """Play seeds (`FROM:TO`) with both windows; tell of those that do not come to a right end."""
    first, last = map(int, seeds.split(":"))
    failures = 0
    for seed in range(first, last):
        for window in (EVERYTHING, A_YEAR):
            try:
                run(seed, store, STEPS, window)
            except (Exception, SimulationError) as error:  # noqa: BLE001 - any error is a problem of the run
                failures += 1
                print(f"seed {seed}, {window}: {type(error).__name__}: {error}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
