"""Worlds that nobody has seen before, of each kind in turn, for as long as asked."""

from random import SystemRandom

import pytest

from tests.simulation.test_simulation import STORES, simulate
from tests.soaking import for_as_long_as_asked

SEEDS_AT_ONCE = 100


@pytest.mark.soak
def test_new_worlds_come_to_a_right_end_for_as_long_as_asked():
    first = SystemRandom().randrange(10**6, 10**12)
    for number in for_as_long_as_asked("simulation"):
        begin = first + number * SEEDS_AT_ONCE
        store = STORES[number % len(STORES)]
        run = simulate("--seeds", f"{begin}:{begin + SEEDS_AT_ONCE}", "--store", store)
        assert run.returncode == 0, run.stdout
