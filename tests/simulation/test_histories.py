"""Histories and profile functions in worlds that go wrong in every way."""

import pytest

from tests.simulation.histories import A_YEAR, EVERYTHING, run

STEPS = 60


@pytest.mark.parametrize("window", [EVERYTHING, A_YEAR])
@pytest.mark.parametrize("store", ["dynamo", "memory"])
@pytest.mark.parametrize(
    "seed", [*range(12), *(pytest.param(one, marks=pytest.mark.soak) for one in range(12, 500))]
)
def test_a_history_holds_what_was_counted_and_a_function_comes_to_rest(seed, store, window):
    run(seed, store, STEPS, window)
