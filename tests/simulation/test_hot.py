"""Hot profiles: nothing is lost, neighbours are not delayed, and it does not cost what it likes."""

from unittest.mock import patch

import pytest

from shared.app.ingest import ATTEMPTS_MAX
from tests.simulation.hot import (
    BATCH_MS,
    COOKIE,
    USER,
    Run,
    bot,
    bot_with_new_devices,
    measured,
    two_that_become_one,
)

UNITS_PER_EVENT_MAX = 6
DELTAS_AT_ONCE_MAX = 25
"""Far fewer than shards: who parks makes nobody lose a race who would have folded it."""
LINK_MS_MAX = 1000


def checked(run, units_per_event_max=UNITS_PER_EVENT_MAX):
    """Return the figures of a run in which nobody waited for long, and of which nothing is missing."""
    figures = measured(run)
    assert figures["conflicts_per_hot_event"] > 0, "nobody raced for the hot profile"
    assert figures["batches_again"] == 0
    assert figures["batch_ms_max"] < BATCH_MS, "a shard does not keep up with its batches"
    assert figures["units_per_event"] < units_per_event_max
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
    run = Run(100, 3, two_that_become_one, hot_events=2, others=1).play()
    figures = checked(run, 2 * UNITS_PER_EVENT_MAX)  # of few events each
    assert figures["link_ms"] < LINK_MS_MAX
    assert figures["records_waiting"] == 0
    profile = run.profile_of(COOKIE)
    assert profile.event_count == run.sent["hot"] + 1
    assert {COOKIE, USER} <= profile.identifiers.keys()
    assert run.event_count() == sum(run.sent.values()) + 1
    assert profile.parked == ()
    assert not run.tally["invariant_violations"]


@pytest.mark.soak
def test_a_link_is_set_aside_under_fire_where_nobody_leaves_profiles_to_it():
    """Else the tests of links would prove nothing."""
    with patch("shared.app.quiet.QUIET_AFTER", ATTEMPTS_MAX):
        run = Run(100, 3, two_that_become_one, hot_events=2, others=1).play()
    figures = measured(run)
    assert figures["records_waiting"] > 0


@pytest.mark.soak
@pytest.mark.parametrize("hot", [bot, bot_with_new_devices, two_that_become_one])
def test_what_is_hot_for_long_on_a_hundred_shards_loses_nothing_and_has_no_record_wait(hot):
    run = Run(100, 20, hot).play()
    assert (run.failed, run.waiting) == (0, 0)
    if hot is two_that_become_one:
        assert measured(run)["link_ms"] < LINK_MS_MAX
    identifier = COOKIE if hot is bot else USER
    assert run.profile_of(identifier).event_count == run.sent["hot"] + 1
    assert run.event_count() == sum(run.sent.values()) + 1
