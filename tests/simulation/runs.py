"""One run of one seed, and the search for a shorter one that goes wrong in the same way."""

import gc
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tests.simulation.damage import DamagedWorld
from tests.simulation.damage_of_builds import DamagedBuilds
from tests.simulation.damage_of_histories import DamagedHistories
from tests.simulation.functions import FunctionsOfVersions, FunctionsWorld
from tests.simulation.histories import tuned_for_histories
from tests.simulation.mutants import planted
from tests.simulation.playing import finish
from tests.simulation.publishing import PublishingWorld, tuned_for_publishing
from tests.simulation.scenario import setting_of, steps_of
from tests.simulation.scheduler import SimulationError
from tests.simulation.troubles import troubles_of
from tests.simulation.world import World

FEWER_STEPS = (15, 30)
"""What may be enough to find a planted fault: it is looked for again at every test."""


class Problem(NamedTuple):
    """How a run ended that went wrong, and what happened in it."""

    error: BaseException
    happened: list
    setting: object

    @property
    def summary(self):
        text = str(self.error).splitlines()
        return f"{type(self.error).__name__}: {text[0] if text else ''}"

    @property
    def kind(self):
        """What a shorter run must end with, too."""
        return self.summary[:60]


def run(seed, store, count, without=frozenset(), mutant=None, met=None, fault_rate=None):
    """Run a seed, with a planted fault if one is named; return the problem it ends with, or None.

    `fault_rate` is how many of the calls go wrong, if it is not for the seed to say.
    What went wrong in a world that came to a right end all the same is counted in `met`, if it is given.
    """
    with planted(mutant):
        return _run(seed, store, count, without, met, fault_rate)


def search(mutant, store, count, seeds):
    """Return the first of the seeds that finds a planted fault, with how many steps; or None."""
    for seed in seeds:
        if _finds(mutant, store, count, seed):
            fewer = (one for one in FEWER_STEPS if one < count and _finds(mutant, store, one, seed))
            return seed, next(fewer, count)
    return None


def _finds(mutant, store, count, seed):
    """Whether a world finds a planted fault, and passes without it."""
    return run(seed, store, count, mutant=mutant) is not None and run(seed, store, count) is None


def _run(seed, store, count, without, met, fault_rate):
    gc.disable()  # a run is short, and leaves cycles behind that are collected in one go
    try:
        return _run_once(seed, store, count, without, met, fault_rate)
    finally:
        gc.enable()


def _run_once(seed, store, count, without, met, fault_rate):
    setting = setting_of(seed, store)
    if fault_rate is not None:
        setting = setting._replace(fault_rate=fault_rate)
    world = _world(setting)(setting, without)
    try:
        with _tuned(world):
            finish(world, steps_of(setting, count), without)
    except (Exception, SimulationError) as error:  # noqa: BLE001 - any error is a problem of the run
        return Problem(error, world.happened, setting)
    if met is not None:
        met.update(troubles_of(world))
    return None


_WORLDS = {"dynamo": World, "memory": World, "versions": PublishingWorld, "damaged": DamagedWorld}


def _world(setting):
    """Return what kind of world a setting is of."""
    if setting.store == "functions":
        if setting.has_versions:
            return FunctionsOfVersions
        return DamagedHistories if setting.has_damage else FunctionsWorld
    if setting.store == "damaged" and setting.has_versions:
        return DamagedBuilds
    if setting.store == "lives":
        return PublishingWorld if setting.has_versions else World
    return _WORLDS[setting.store]


@contextmanager
def _tuned(world):
    with ExitStack() as stack:
        if world.setting.has_versions:
            stack.enter_context(tuned_for_publishing(world))
        if world.setting.store == "functions":
            stack.enter_context(tuned_for_histories())
        yield


def shortened(seed, store, count, problem, runs_max, mutant=None, fault_rate=None):
    """Leave out steps and faults as long as the run still goes wrong in the same way.

    Returns the shortest run that was found, and what it is without.
    """
    without, best = frozenset(), problem
    size = max(1, len(_numbers(best)) // 2)
    while runs_max > 0 and size:
        numbers = _numbers(best)
        parts = [numbers[at : at + size] for at in range(0, len(numbers), size)]
        for part in reversed(parts):
            runs_max -= 1
            attempt = without.union(part)
            found = run(seed, store, count, attempt, mutant, fault_rate=fault_rate)
            if found is not None and found.kind == problem.kind:
                without, best = attempt, found
                break
            if runs_max <= 0:
                break
        else:
            size //= 2
    return best, without


def _numbers(problem):
    return [number for number, _ in problem.happened if number]
