"""User code that walks through a set of texts gives the same each time, whatever hash seed Python draws."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CUSTOMERS = Path(__file__).parents[2] / "builders" / "customers"
SAMPLES = CUSTOMERS / "samples" / "events.jsonl"

TRANSFORM = """\
def transform(event, context):
    return {**event, "userId": "-".join({"a", "b", "c", "d", "e", "f", "g", "h"})}
"""
TEST = """\
def test_tells_the_order(transform):
    [event] = transform({"timestamp": "2026-01-05T00:00:00Z"})
    assert event["userId"] == "none"
"""


def kith(seed, *arguments):
    """Run the command line as a process of its own; with a hash seed, or with one that is drawn."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    command = [sys.executable, "-c", "from cli.main import main; main()", *map(str, arguments)]
    return subprocess.run(  # noqa: S603 - our own command
        command,
        env=environment if seed is None else environment | {"PYTHONHASHSEED": seed},
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def builder(tmp_path):
    folder = tmp_path / "customers"
    (folder / "tests").mkdir(parents=True)
    shutil.copy(CUSTOMERS / "builder.yaml", folder)
    (folder / "transform.py").write_text(TRANSFORM)
    (folder / "tests" / "test_order.py").write_text(TEST)
    (folder / "events.jsonl").write_bytes(b"".join(SAMPLES.read_bytes().splitlines(keepends=True)[:20]))
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_two_folds_with_other_hash_seeds_are_one_to_the_byte(builder, workers):
    arguments = ["fold", builder / "events.jsonl", "--builder", builder, "--out", "-", "--workers", workers]
    runs = [kith(seed, *arguments) for seed in ("0", "1", "2", None)]
    assert {one.returncode for one in runs} == {0}, runs[1].stderr
    assert len({one.stdout for one in runs}) == 1
    assert runs[0].stdout.count(b"\n") == 1
    assert len({one.stderr for one in runs}) == 1


def test_tests_run_with_the_hash_seed_of_the_cloud(builder):
    def told(seed):
        run = kith(seed, "test", builder)
        assert run.returncode == 1
        return [line for line in run.stdout.splitlines() if line.startswith(b"E ")]

    assert told("1") == told("2") != []


def test_a_python_that_ignores_its_environment_folds_once_and_ends(builder):
    arguments = ["fold", builder / "events.jsonl", "--builder", builder, "--out", "-"]
    path = f"import sys; sys.path[:0] = {sys.path!r}; from cli.main import main; main()"
    run = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-I", "-c", path, *map(str, arguments)], capture_output=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count(b"\n") == 1
