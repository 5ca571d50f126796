"""Histories and profile functions in worlds where all goes wrong; and mistakes that these worlds find."""

import os
import subprocess
import sys
from contextlib import contextmanager
from unittest.mock import patch

import pytest

from shared.adapters.dynamo.histories import Histories
from shared.adapters.dynamo.store import DynamoStore
from shared.app.ports import Committed
from shared.core import compaction
from shared.core.history import NAME_BYTES, gathered, plain_bytes
from tests.simulation.histories import EVERYTHING, STEPS, run

SEEDS = 25
"""Of one process."""
SEEDS_OF_VERSIONS = 6
"""Of several versions, where not all are soaked: they take longer."""


@pytest.mark.parametrize("store", ["dynamo", "memory", "versions"])
@pytest.mark.parametrize(
    "first", [0, *(pytest.param(one, marks=pytest.mark.soak) for one in range(SEEDS, 2000, SEEDS))]
)
def test_a_history_holds_what_was_counted_and_a_function_comes_to_rest(first, store):
    """In a process of its own: sets of text must have the same order each time."""
    end = SEEDS_OF_VERSIONS if (first, store) == (0, "versions") else first + SEEDS
    played = subprocess.run(
        [sys.executable, "-m", "tests.simulation.histories", store, f"{first}:{end}"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )
    assert played.returncode == 0, played.stdout + played.stderr


@contextmanager
def keeps_only_the_primarys_history():
    """A merge that forgets where the other profile's events are."""
    with patch("shared.core.profile.united", lambda heads, _others: heads):
        yield


@contextmanager
def withdraws_what_it_wrote():
    """A writer that lost a race, or does not know whether it did, deletes its chunks."""
    commit = DynamoStore._commit

    def withdraw(store, plan, prepared, *, is_alone):
        result = commit(store, plan, prepared, is_alone=is_alone)
        if not isinstance(result, Committed):
            items = store._histories.items(plan)
            keys = [({name: item[name] for name in ("pk", "sk")}, 1) for item in items]
            store._client.write(store._tables.profiles, [], keys)
        return result

    with patch.object(DynamoStore, "_commit", withdraw):
        yield


@contextmanager
def names_chunks_by_what_they_follow():
    """Two writers of one revision give their chunks one name."""

    def name(rev, number, _digest):
        return (rev // 10**9).to_bytes(8, "big") + number.to_bytes(NAME_BYTES - 8, "big")

    with patch("shared.core.history._name", name):
        yield


@contextmanager
def forgets_what_is_large_when_it_puts_a_history_together():
    """Compaction names only what it has made itself."""

    def gather(profile_id, rev, _others, pieces):
        return gathered(profile_id, rev, {}, pieces)

    with patch("shared.core.compaction.gathered", gather):
        yield


@contextmanager
def puts_together_what_a_large_chunk_leads_to():
    """Compaction takes every small chunk, so that those behind a large one are read twice."""

    def small(opened):
        return {head for head, one in opened.items() if plain_bytes(one) < compaction.LARGE_BYTES}

    with patch("shared.core.compaction._small", small):
        yield


@contextmanager
def writes_chunks_last():
    """The profile names chunks that are not there yet, and never may be."""
    commit, chunks = DynamoStore._commit, Histories.items

    def late(store, plan, prepared, *, is_alone):
        result = commit(store, plan, prepared, is_alone=is_alone)
        if isinstance(result, Committed):
            store._insert(chunks(store._histories, plan))
        return result

    with patch.object(Histories, "items", lambda *_: []), patch.object(DynamoStore, "_commit", late):
        yield


MISTAKES = (
    keeps_only_the_primarys_history,
    withdraws_what_it_wrote,
    names_chunks_by_what_they_follow,
    writes_chunks_last,
    forgets_what_is_large_when_it_puts_a_history_together,
    puts_together_what_a_large_chunk_leads_to,
)


def found_by(mistake, seeds):
    """Return the first seed whose world does not come to a right end with a mistake."""
    for seed in seeds:
        with mistake():
            try:
                run(seed, "dynamo", STEPS, EVERYTHING)
            except Exception:  # noqa: BLE001 - whatever it ends with
                return seed
    return None


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_within_a_few_worlds(mistake):
    assert found_by(mistake, range(60)) is not None
