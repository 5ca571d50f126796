"""A function that fails rests, longer each time: of each profile, however many messages it has."""

from heapq import heappop, heappush
from itertools import count, pairwise

import msgspec

from shared.app.functions.failing import Failing
from shared.app.functions.run import Became, Ran
from shared.core.history import Head
from tests.app.test_functions_run import BACKOFF, FAILURE, MINUTE_US, World
from tests.fakes.functions import counting
from tests.people import T0


def test_each_attempt_waits_four_times_as_long_as_the_one_before_up_to_six_hours():
    assert [BACKOFF.delay_s(received) for received in range(1, 8)] == [30, 120, 480, 1920, 7680, None, None]
    assert [BACKOFF.unavailable_s(received) for received in (1, 6, 90)] == [30, 21_600, 21_600]


def failing_world():
    """A world whose function always fails, and has done so once."""
    world = World(lambda _: FAILURE)
    due = world.event()
    world.runs.run(due)
    return world, due


def test_a_function_that_fails_rests_longer_each_time_and_then_begins_anew():
    world, due = failing_world()
    came = []
    for _ in range(6):
        world.clock.us += came[-1].again_s * 1_000_000 if came else 30_000_000
        came.append(world.runs.run(due))
        if came[-1].again_s is None:
            break
    assert [(one.attempt, one.again_s) for one in came] == [
        (2, 120),
        (3, 480),
        (4, 1920),
        (5, 7680),
        (6, None),
    ]
    assert world.runs.run(world.event()) == Ran(Became.FAILED, FAILURE, attempt=1, again_s=30)


def test_a_change_of_a_profile_whose_function_rests_waits_for_the_next_attempt():
    world, _ = failing_world()
    due = world.event()
    world.clock.us += 10_000_000
    assert world.runs.run(due) == Ran(Became.RESTING, again_s=20)
    assert world.function.runs == 1
    world.clock.us += 20_000_000
    assert world.runs.run(due) == Ran(Became.FAILED, FAILURE, attempt=2, again_s=120)


def test_the_message_of_a_failed_run_leaves_the_next_attempt_to_a_newer_one():
    world, due = failing_world()
    newer = world.event()
    world.clock.us += MINUTE_US
    assert world.runs.run(due) == Ran(Became.SUPERSEDED)
    assert world.runs.run(newer).became is Became.FAILED


def test_a_run_that_somebody_asks_for_does_not_wait():
    world, due = failing_world()
    world.function._run_one = counting
    assert world.runs.run(msgspec.structs.replace(due, asked=True)) == Ran(Became.WRITTEN)


def test_a_result_ends_a_row_of_failures():
    world, due = failing_world()
    world.function._run_one = counting
    world.clock.us += MINUTE_US
    world.runs.run(due)
    world.function._run_one = lambda _: FAILURE
    assert world.runs.run(world.event()) == Ran(Became.FAILED, FAILURE, attempt=1, again_s=30)


def test_a_profile_that_never_rests_and_always_fails_is_tried_as_rarely_as_one_that_rests():
    """One change a second, each message half a minute later, for six hours; a failed message comes again."""
    world = World(lambda _: FAILURE)
    world.event()
    world.store.chunks = lambda *_: {}
    waiting, ran_at, numbers = [], [], count()
    for second in range(6 * 3600):
        world.clock.us = T0 * 1000 + second * 1_000_000
        profile = world.profile()
        profile.rev = world.clock.us
        profile.heads = (Head(profile.id, f"{profile.rev:016x}" + "0" * 16),)
        heappush(waiting, (second + 30, next(numbers), world.due(profile)))
        while waiting[0][0] <= second:
            _, _, due = heappop(waiting)
            ran = world.runs.run(due)
            if ran.became is Became.FAILED:
                ran_at.append(second)
            if ran.again_s is not None:
                heappush(waiting, (second + ran.again_s, next(numbers), due))
    assert len(ran_at) == 11
    assert min(later - earlier for earlier, later in pairwise(ran_at)) >= 30


def test_failures_are_told_of_each_profile_and_by_the_history_that_it_had():
    world, due = failing_world()
    newest = int(world.profile().heads[0].name[:16], 16)
    assert world.store.failures == {due.profile_id: Failing(1, newest, world.clock.us + 30_000_000)}
