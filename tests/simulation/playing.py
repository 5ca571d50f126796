"""Playing a world to its end, and checking it."""

from contextlib import ExitStack
from unittest.mock import patch

from tests.simulation.checks import check
from tests.simulation.tuning import tuned

POOLS = ("shared.adapters.quarantine", "shared.adapters.sqs")


def finish(world, steps, without=frozenset()):
    """Play a world to its end, and check it; what `without` names, steps or faults, does not happen."""
    with tuned(world.setting), ExitStack() as pools:
        for name in POOLS:
            pools.enter_context(patch(f"{name}.ThreadPoolExecutor", world.pool))
        try:
            for step in steps:
                name = f"s{step.number}"
                if name not in without:
                    world.happened.append((name, step))
                    world.play(step)
            world.happened.append(("", "the end"))
            world.faults.rate = world.faults.rate_of_writes = 0
            world.finish()
            check(world)
            world.check()
        finally:
            _close(world)


def _close(world):
    """Let every task that still stands somewhere end."""
    for worker in world.workers[:]:
        world._end(worker)
    world.scheduler.abandon()
