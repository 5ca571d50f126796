"""Worlds of the simulation on real engines, with processes that are really killed."""

from contextlib import closing

import pytest

from shared.app.ports import SegmentGoneError
from tests.contracts.engines import dynoxide, ministack
from tests.engines.world import World, run
from tests.simulation.checks import check, live_of, view
from tests.simulation.scenario import ENGINES, setting_of, steps_of
from tests.simulation.tuning import tuned
from tests.soaking import for_as_long_as_asked

STEPS = 40
SEEDS = (2, 5)
"""One lane whose order decides all; and shards that race."""
CARELESS_SEEDS_MAX = 30


@pytest.fixture(scope="module", params=["ministack", pytest.param("dynoxide", marks=pytest.mark.soak)])
def endpoint(request, tmp_path_factory):
    engine = {"ministack": ministack, "dynoxide": dynoxide}[request.param]
    with engine(tmp_path_factory.mktemp(request.param)) as url:
        yield url


def play(seed, endpoint, folder, **options):
    setting = setting_of(seed, ENGINES)
    return run(setting, steps_of(setting, STEPS), endpoint, folder / str(seed), **options)


@pytest.mark.parametrize("seed", SEEDS)
def test_worlds_with_real_processes_that_are_killed_come_to_a_right_end(endpoint, seed, tmp_path):
    assert play(seed, endpoint, tmp_path)["events_in"] > 0


def test_what_is_parked_beside_a_profile_that_is_left_to_nobody_is_folded_at_the_end(endpoint, tmp_path):
    setting = setting_of(SEEDS[0], ENGINES)
    with tuned(setting), closing(World(setting, endpoint, tmp_path)) as world:
        world.put("u", b'{"type": "track", "messageId": "1", "userId": "u"}')
        world.finish()
        [profile] = live_of(view(world)[0])
        store = world.ask(lambda store: store)
        assert store.park(profile.id, f"{profile.id}/nothing", [])
        assert store.ask_for_quiet([profile.id], [], world.now_ms)
        check(world)
        [profile] = live_of(view(world)[0])
        assert (profile.parked, profile.is_quiet) == ((), False)


@pytest.mark.soak
def test_worlds_come_to_a_right_end_for_as_long_as_asked(endpoint, tmp_path):
    for seed in for_as_long_as_asked("engines", parts=2):
        try:
            play(seed, endpoint, tmp_path)
        except Exception as error:
            error.add_note(f"seed {seed} of {STEPS} steps: run it again, it may take a few times")
            raise


@pytest.mark.soak
def test_processes_that_check_no_conditions_are_found_out(endpoint, tmp_path):
    """The negative control: a fault that real races must bring to light. A single world may be lucky."""
    for seed in range(CARELESS_SEEDS_MAX):
        try:
            play(seed, endpoint, tmp_path, careless=True)
        except (AssertionError, KeyError, TypeError, SegmentGoneError):
            return
    pytest.fail("processes that check no conditions went unnoticed")
