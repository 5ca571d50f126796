"""Worlds that go wrong in every way: a few seeds each time, many by `make soak`, and the planted faults."""

import os
import re
import subprocess
import sys

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.recorded import FOUND, SEEDS

STORES = ["dynamo", "memory", "versions", "functions", "damaged"]


def simulate(*arguments):
    """Run in a process of its own: sets of text must have the same order each time."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )


@pytest.mark.parametrize("store", STORES)
def test_the_first_worlds_come_to_a_right_end(store):
    run = simulate("--seeds", "0:30", "--store", store)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("store", FOUND)
def test_worlds_that_once_went_wrong_come_to_a_right_end(store):
    run = simulate("--seeds", ",".join(map(str, FOUND[store])), "--store", store, "--keep-going")
    assert run.returncode == 0, run.stdout


@pytest.mark.soak
@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("first", range(0, 10_000, 1000))
def test_many_worlds_come_to_a_right_end(store, first):
    run = simulate("--seeds", f"{first}:{first + 1000}", "--store", store, "--keep-going")
    assert run.returncode == 0, run.stdout


def test_every_planted_fault_is_found_by_its_seed_and_is_no_fault_of_the_product():
    run = simulate("--mutants", "recorded")
    assert run.returncode == 0, run.stdout


def test_a_seed_is_recorded_for_each_planted_fault():
    assert set(SEEDS) == {one.__name__ for one in MUTANTS}


@pytest.mark.soak
def test_every_planted_fault_is_found_within_two_thousand_seeds():
    run = simulate("--mutants", "search")
    assert run.returncode == 0, run.stdout


def test_a_failure_tells_how_to_repeat_it_and_a_shorter_way_there():
    name = "keeps_the_secondary"
    seed, steps = SEEDS[name]
    run = simulate("--seeds", f"{seed}", "--steps", f"{steps}", "--mutant", name, "--shrink", "20")
    assert run.returncode == 1
    assert f"seed {seed} fails at commit" in run.stdout
    [command] = re.findall(r"^shorter: \S+ -m tests.simulation (.*)$", run.stdout, re.MULTILINE)
    assert "--without" in command
    again = simulate(*command.split())
    assert again.returncode == 1
    assert again.stdout.splitlines()[0] == run.stdout.splitlines()[0]


def test_a_seed_is_one_run_wherever_it_is_played():
    """Whatever happens in it, in the same order, to the same end."""
    name = "keeps_the_secondary"
    seed, steps = SEEDS[name]
    first, second = (
        simulate("--seeds", f"{seed}", "--steps", f"{steps}", "--mutant", name, "--shrink", "1")
        for _ in range(2)
    )
    assert "ends with:" in first.stdout
    assert first.stdout == second.stdout
