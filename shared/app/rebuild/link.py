"""Link: which components of all parts may be one person, and which partition each of them goes to.

    links of all parts -> components that share an identifier are one -> partitions of about equal weight

An identifier is 8 bytes of a hash here: where two of them collide, two persons are replayed in one place, and
the exact rules keep them apart. Of very many identifiers a slice is linked at a time, by their hashes. This
is the one state whose memory grows with the archive: about 20 bytes for every component of every part.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from shared.app.rebuild.build import MAP_ITEMS_MAX, SCAN, BuildFailedError, BuildName, ensure_building
from shared.app.rebuild.formats import compress, decompress, fetch, fetch_json
from shared.app.rebuild.plan import Extent
from shared.app.rebuild.ports import Objects
from shared.app.rebuild.results import Linked, results_of
from shared.app.registry import Progress, Registry

PARTITION_BYTES: Final = 2**27
"""Bytes of contributions, not compressed, that one Replay worker takes: half a million or so. A component
that is larger is a partition of its own."""

LINKS_MAX: Final = 2**25
"""Identifiers that are linked at a time: they take about 45 bytes each."""

READERS: Final = 16
"""Objects that are read at once."""

Array = np.ndarray[Any, np.dtype[Any]]


def link(registry: Registry, name: BuildName, objects: Objects, progress: Progress) -> Linked:
    """Link all parts, and assign their components to partitions; from here on the version may have items."""
    parts = fetch_json(objects, name.extent, Extent).parts
    keys = _keys(name, objects, parts)
    sizes, weights, held = _measure(objects, keys)
    labels: Array = np.arange(len(weights), dtype=np.uint32)
    slices = -(-held // LINKS_MAX)
    for at in range(slices):
        labels = joined(labels, *_read(objects, keys, at, slices))
    component_of = numbered(labels)
    del labels
    count = int(component_of.max()) + 1 if len(component_of) else 0
    partition_of = partitions(np.bincount(component_of, weights, count).astype(np.uint64), PARTITION_BYTES)
    partition_count = int(partition_of[-1]) + 1 if count else 1
    start = 0
    for part, size in enumerate(sizes):
        mine = component_of[start : start + size]
        pairs = np.stack((mine, partition_of[mine]), axis=1).astype("<u4")
        data = np.uint32(partition_count).astype("<u4").tobytes() + pairs.tobytes()
        objects.put(name.assignments(part), compress(data))
        start += size
    row = ensure_building(registry, name)
    if not row.has_items:
        registry.replace(row, replace(row, has_items=True))
    linked = Linked(parts, count, partition_count, name.shuffle_manifest, name.replay_manifest)
    objects.put(name.shuffle_manifest, _lines("part", parts))
    objects.put(name.replay_manifest, _lines("partition", partition_count))
    if objects.put_if_absent(name.linked, msgspec.json.encode(linked)):
        counted = {"link.partitions": partition_count, "link.components": count}
        progress.add_progress(name.builder, name.version, counted)
    return linked


def joined(labels: Array, holders: Array, hashes: Array) -> Array:
    """Return the labels of holders once more of them share a label: `hashes[i]` is held by `holders[i]`.

    Who holds the same has the same label, which is that of the first of them; so has who is joined to them by
    the labels before.
    """
    order = np.argsort(hashes, kind="stable")
    sorted_hashes = hashes[order]
    sorted_holders = holders[order]
    same = sorted_hashes[1:] == sorted_hashes[:-1]
    left, right = sorted_holders[:-1][same], sorted_holders[1:][same]
    del order, sorted_hashes, sorted_holders, same
    while len(left):
        # The larger label of each edge is hooked to the smaller, then every holder takes its root's label.
        low, high = labels[left], labels[right]
        np.minimum.at(labels, np.maximum(low, high), np.minimum(low, high))
        while True:
            above = labels[labels]
            if np.array_equal(above, labels):
                break
            labels = above
        apart = labels[left] != labels[right]
        left, right = left[apart], right[apart]
    return labels


def numbered(labels: Array) -> Array:
    """Return the numbers of components, in order of their first holders."""
    roots = labels == np.arange(len(labels), dtype=np.uint32)
    numbers: Array = np.cumsum(roots, dtype=np.uint32)
    numbers -= np.uint32(1)
    return numbers[labels]


def partitions(weights: Array, target: int) -> Array:
    """Return the partition of each component: as many in a row as weigh about `target` together.

    Or more, where there would be more partitions than a map takes.
    """
    target = max(target, -(-int(weights.sum()) // (MAP_ITEMS_MAX - 1)))
    before = np.cumsum(weights) - weights
    numbers: Array = np.unique(before // np.uint64(target), return_inverse=True)[1]
    return numbers.astype(np.uint32)


def _keys(name: BuildName, objects: Objects, parts: int) -> list[str]:
    """Return the keys of the links of all parts."""
    results = results_of(objects, name, SCAN, parts)
    return [name.links(part, result.digest) for part, result in enumerate(results)]


def _measure(objects: Objects, keys: Sequence[str]) -> tuple[list[int], Array, int]:
    """Return how many components each part has, the weights of all, and how many identifiers they hold."""
    sizes: list[int] = []
    weights = []
    held = 0
    for links in _fetch(objects, keys):
        weights.append(links.weights.astype(np.uint32))
        held += len(links.hashes)
        sizes.append(len(links.weights))
    return sizes, np.concatenate(weights), held


def _read(objects: Objects, keys: Sequence[str], at: int, slices: int) -> tuple[Array, Array]:
    """Return which components hold which hashes, of one slice of all hashes."""
    hashes, holders = [], []
    start = 0
    for links in _fetch(objects, keys):
        size, held = len(links.weights), links.hashes
        holder = np.repeat(np.arange(start, start + size, dtype=np.uint32), links.counts)
        if slices > 1:
            chosen = held % np.uint64(slices) == at
            held, holder = held[chosen], holder[chosen]
        hashes.append(held.astype(np.uint64))
        holders.append(holder)
        start += size
    return np.concatenate(holders), np.concatenate(hashes)


class Links(NamedTuple):
    """What links the components of a part: of each its weight and how many hashes are its own, and these."""

    weights: Array
    counts: Array
    hashes: Array


def links_of(compressed: bytes, key: str) -> Links:
    """Return the links of an object; BuildFailedError that names it if it is damaged."""
    data = decompress(compressed, key)
    try:
        size = int(np.frombuffer(data, "<u4", 1)[0])
        weights = np.frombuffer(data, "<u4", size, 4)
        counts = np.frombuffer(data, "<u4", size, 4 + 4 * size)
        hashes = np.frombuffer(data, "<u8", -1, 4 + 8 * size)
    except ValueError as error:
        raise BuildFailedError(f"{key} is damaged") from error
    if len(hashes) != int(counts.sum(dtype=np.uint64)):
        raise BuildFailedError(f"{key} is damaged")
    return Links(weights, counts, hashes)


def _fetch(objects: Objects, keys: Sequence[str]) -> Iterator[Links]:
    """Yield the links of parts, decompressed; a few are held at once."""

    def fetched(key: str) -> Links:
        return links_of(fetch(objects, key), key)

    with ThreadPoolExecutor(READERS, "kith-links") as readers:
        for start in range(0, len(keys), READERS):
            yield from readers.map(fetched, keys[start : start + READERS])


def _lines(what: str, count: int) -> bytes:
    return b"".join(msgspec.json.encode({what: number}) + b"\n" for number in range(count))
