"""Hot profiles: nothing is lost, neighbours are not delayed, and it does not cost what it likes."""

import pytest

from tests.simulation.hot import BATCH_MS, COOKIE, USER, Run, bot, measured, two_that_become_one

UNITS_PER_EVENT_MAX = 6
DELTAS_AT_ONCE_MAX = 25
"""Far fewer than shards: who parks makes nobody lose a race who would have folded it."""


def checked(run):
    """Return the figures of a run in which nobody waited for long, and of which nothing is missing."""
    figures = measured(run)
    assert figures["conflicts_per_hot_event"] > 0, "nobody raced for the hot profile"
    assert figures["batches_again"] == 0
    assert figures["batch_ms_max"] < BATCH_MS, "a shard does not keep up with its batches"
    assert figures["units_per_event"] < UNITS_PER_EVENT_MAX
    assert figures["parked_max"] < DELTAS_AT_ONCE_MAX
    return figures


def test_a_bot_on_a_hundred_shards_delays_nobody_and_loses_nothing():
    run = Run(100, 2, bot, hot_events=3, others=3).play()
    figures = checked(run)
    assert figures["deltas_parked"] > 0
    profile = run.profile_of(COOKIE)
    assert profile.event_count == run.sent["hot"] + 1
    assert run.event_count() == sum(run.sent.values()) + 1
    assert profile.parked == ()


def test_two_hot_profiles_that_are_merged_under_fire_lose_nothing():
    run = Run(16, 6, two_that_become_one, hot_events=4, others=4).play()
    checked(run)
    profile = run.profile_of(COOKIE)
    assert profile.event_count == run.sent["hot"] + 1
    assert {COOKIE, USER} <= profile.identifiers.keys()
    assert run.event_count() == sum(run.sent.values()) + 1
    assert profile.parked == ()
    assert not run.tally["invariant_violations"]


@pytest.mark.soak
@pytest.mark.parametrize("hot", [bot, two_that_become_one])
def test_what_is_hot_for_long_on_a_hundred_shards_loses_nothing(hot):
    run = Run(100, 8, hot).play()
    assert run.failed == 0
    assert run.profile_of(COOKIE).event_count == run.sent["hot"] + 1
    assert run.event_count() == sum(run.sent.values()) + 1
