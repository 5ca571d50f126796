"""What states found: one object for each worker, written whole. Nothing else is ever added up."""

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from shared.app.rebuild.build import BuildName
from shared.app.rebuild.formats import fetch_json
from shared.app.rebuild.ports import Objects
from shared.app.registry import Progress

READERS: Final = 16
"""Results that are read at once."""


class Linked(msgspec.Struct, frozen=True):
    """What was linked; the manifests are the keys for the maps of Shuffle and Replay."""

    parts: int
    components: int
    partitions: int
    shuffle_manifest: str
    replay_manifest: str


class Result(msgspec.Struct):
    """What a worker counted of its part or partition; `sample` are ids of some of its profiles.

    The first result of several workers stays, and `digest` says which objects belong to it; `aside`, which
    of those for quarantine.
    """

    tally: dict[str, int]
    sample: list[str] = []
    digest: str = ""
    aside: list[str] = []


def leave(
    objects: Objects,
    progress: Progress,
    name: BuildName,
    state: str,
    number: int,
    result: Result,
    counted: Mapping[str, int],
) -> None:
    """Write a worker's result, and count it for people to watch: a worker that ran again counts nothing."""
    if objects.put_if_absent(name.result(state, number), msgspec.json.encode(result)):
        named = {f"{state}.{what}": count for what, count in counted.items()}
        progress.add_progress(name.builder, name.version, named)


def collect(objects: Objects, name: BuildName, state: str, count: int) -> tuple[Counter[str], list[str]]:
    """Add up the results of all workers of a state. BuildFailedError that names one that is missing."""
    tally: Counter[str] = Counter()
    sample: list[str] = []
    for result in results_of(objects, name, state, count):
        tally.update(result.tally)
        sample += result.sample
    return tally, sample


def results_of(objects: Objects, name: BuildName, state: str, count: int) -> Iterator[Result]:
    """Yield the results of all workers of a state. BuildFailedError that names one that is missing."""
    keys = [name.result(state, number) for number in range(count)]
    with ThreadPoolExecutor(READERS, "kith-results") as readers:
        yield from readers.map(lambda key: fetch_json(objects, key, Result), keys)
