"""Worlds that go wrong in every way: a few seeds each time, many by `make soak`, and the planted faults."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.recorded import FOUND, SEEDS
from tests.simulation.troubles import MUST_BE_MET

STORES = list(MUST_BE_MET)


FOUND_MD = Path(__file__).parents[2] / "docs" / "found.md"


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
def test_the_first_worlds_meet_all_kinds_of_trouble_and_come_to_a_right_end(store):
    run = simulate("--seeds", "0:30", "--store", store, "--met")
    assert run.returncode == 0, run.stdout
    met = re.findall(r"^ *\d+ (.+)$", run.stdout, re.MULTILINE)
    assert MUST_BE_MET[store].difference(met) == set()


def test_worlds_that_once_went_wrong_come_to_a_right_end():
    run = simulate("--found")
    assert run.returncode == 0, run.stdout


def test_the_seeds_that_are_run_again_are_those_that_the_docs_tell_of():
    told = set()
    by_simulation = FOUND_MD.read_text().partition("## By fuzzing")[0]
    for row in re.findall(r"^\| ([^|]*\d[^|]*) \|", by_simulation, re.MULTILINE):
        told.update(int(one) for one in re.findall(r"\b\d+\b", row.replace("250 steps", "")))
    recorded = {seed for seeds in FOUND.values() for seed, _ in seeds}
    assert recorded == told


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


@pytest.mark.parametrize("faults", [[], ["--faults", "0.0"]])
def test_a_failure_tells_how_to_repeat_it_and_a_shorter_way_there(faults):
    name = "keeps_the_secondary"
    seed, steps = SEEDS[name]
    run = simulate("--seeds", f"{seed}", "--steps", f"{steps}", "--mutant", name, "--shrink", "20", *faults)
    assert run.returncode == 1
    assert f"seed {seed} fails at commit" in run.stdout
    [command] = re.findall(r"^shorter: \S+ -m tests.simulation (.*)$", run.stdout, re.MULTILINE)
    assert "--without" in command
    assert " ".join(faults) in command
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
