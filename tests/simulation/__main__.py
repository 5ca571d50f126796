"""`make simulate SEEDS=FROM:TO STEPS=60`: run many worlds, and tell of the first that goes wrong."""

import argparse
import os
import subprocess
import sys
import time
import traceback
from collections import Counter

STEPS = 60
STORES = ["dynamo", "memory", "versions", "functions", "damaged", "lives"]


def main(arguments):
    options = _options(arguments)
    if options.mutant and options.mutant not in _faults():
        print(f"no fault is planted as {options.mutant!r}; there are: {', '.join(_faults())}")
        return 2
    if options.mutants:
        return _mutants(options)
    if options.found:
        return _found()
    started, failures, met = time.monotonic(), 0, Counter()
    for number, seed in enumerate(options.seeds, 1):
        problem = run_seed(seed, options, met)
        if problem is not None:
            failures += 1
            print(report(seed, options, problem), flush=True)
            if not options.keep_going:
                return 1
        if options.progress and number % options.progress == 0:
            rate = number / (time.monotonic() - started)
            print(f"{number} seeds, {rate:.0f}/s, {failures} failed", flush=True)
    elapsed = time.monotonic() - started
    seeds = options.seeds
    which = f"{seeds.start}:{seeds.stop}" if isinstance(seeds, range) else ",".join(map(str, seeds))
    if options.met:
        for name, count in sorted(met.items()):
            print(f"{count:>7} {name}")
    print(f"{len(seeds)} seeds ({which}, {options.store}) in {elapsed:.0f} s: {failures} failed")
    return 1 if failures else 0


def _mutants(options):
    """Run the recorded seed of each planted fault, with it and without; or search for new seeds."""
    from tests.simulation.mutants import store_of
    from tests.simulation.mutants_of_finds import MUTANTS_OF_FINDS
    from tests.simulation.recorded import SEEDS
    from tests.simulation.runs import run, search

    failures = 0
    rare = {one.__name__ for one in MUTANTS_OF_FINDS}
    for name in _faults():
        store = store_of(name, options.store)
        if options.mutants == "search" and name in rare:
            continue  # what it takes tens of thousands of seeds to find is found by the one that did
        if options.mutants == "search":
            found = search(name, store, options.steps, options.seeds)
            print(f'    "{name}": {found},', flush=True)
            failures += found is None
            continue
        seed, steps = SEEDS[name]
        if run(seed, store, steps, mutant=name) is None:
            failures += 1
            print(f"{name} goes unnoticed with {steps} steps of seed {seed}")
        if (problem := run(seed, store, steps)) is not None:
            failures += 1
            print(f"{steps} steps of seed {seed} fail without {name}: {problem.summary}")
    return 1 if failures else 0


def _found():
    """Run each seed again that has found a fault of Kith's own."""
    from tests.simulation.recorded import FOUND
    from tests.simulation.runs import run

    failures = 0
    for store, seeds in FOUND.items():
        for seed, steps in seeds:
            if (problem := run(seed, store, steps)) is not None:
                failures += 1
                print(f"{steps} steps of seed {seed} ({store}) fail: {problem.summary}", flush=True)
    return 1 if failures else 0


def _faults():
    from tests.simulation.mutants import MUTANTS

    return [one.__name__ for one in MUTANTS]


def run_seed(seed, options, met):
    """Run one seed; return the error it ends with, and what happened.

    None if all is well: then what went wrong in the world is counted in `met`.
    """
    from tests.simulation.runs import run

    without = frozenset(options.without.split(",")) - {""}
    return run(seed, options.store, options.steps, without, options.mutant, met, options.faults)


def report(seed, options, problem):
    """Tell how to run a seed again, and the shortest list of steps that still goes wrong."""
    from tests.simulation.runs import shortened

    lines = [f"seed {seed} fails at commit {_commit()}: {problem.summary}"]
    if not options.mutant:
        again = f"make simulate SEEDS={seed}:{seed + 1} STEPS={options.steps} STORE={options.store}"
        lines.append(f"again: {again}{'' if options.faults is None else f' FAULTS={options.faults}'}")
    if options.trace:
        lines.append("".join(traceback.format_exception(problem.error)))
    if options.shrink:
        short, without = shortened(
            seed, options.store, options.steps, problem, options.shrink, options.mutant, options.faults
        )
        lines.append(f"shorter: {_command(seed, options, without)}")
        lines.append(f"{short.setting}")
        lines += [f"  {number or '--':>5} {what}" for number, what in short.happened]
        lines.append(f"ends with: {short.error}")
    return "\n".join(lines)


def _command(seed, options, without):
    """Return what runs a seed again, as it was run, and without some of what happens."""
    command = (
        f".venv/bin/python -m tests.simulation --seeds {seed} --steps {options.steps} --store {options.store}"
    )
    if options.mutant:
        command += f" --mutant {options.mutant}"
    if options.faults is not None:
        command += f" --faults {options.faults}"
    return f"{command} --shrink 0 --without {','.join(sorted(without))}" if without else command


def _options(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default="0:2000", help="FROM:TO, without TO; or with commas")
    parser.add_argument("--steps", type=_steps, default=STEPS)
    parser.add_argument("--store", choices=STORES, default="dynamo")
    parser.add_argument(
        "--faults", type=_share, help="the share of calls that go wrong, in place of the seed's own"
    )
    parser.add_argument("--shrink", type=int, default=300, help="runs to spend on a shorter list of steps")
    parser.add_argument("--mutant", help="plant a fault, by name")
    parser.add_argument("--mutants", choices=["recorded", "search"], help="try all planted faults")
    parser.add_argument("--found", action="store_true", help="run the seeds again that found faults of Kith")
    parser.add_argument("--without", default="", help="steps and faults that do not happen, like s3,f1")
    parser.add_argument(
        "--met", action="store_true", help="tell in how many worlds each kind of trouble came"
    )
    parser.add_argument("--trace", action="store_true", help="show where the error was raised")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--progress", type=int, default=0, help="tell how far it is, every so many seeds")
    return parser.parse_args(arguments)


def _seeds(text):
    first, colon, last = text.partition(":")
    try:
        found = range(int(first), int(last or int(first) + 1)) if colon else list(map(int, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"seeds are FROM:TO, or numbers with commas, not {text!r}") from None
    if not found or min(found[0], found[-1]) < 0:
        raise argparse.ArgumentTypeError(f"there are no seeds in {text!r}")
    return found


def _steps(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a run has a number of steps, not {text!r}")
    return int(text)


def _share(text):
    if not text:
        return None
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"a share is from 0 to below 1, not {text!r}")
    return share


def _commit():
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of text have an order, and a run must repeat
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            os.environ | {"PYTHONHASHSEED": "0"},
        )
    sys.exit(main(sys.argv[1:]))
