"""Link: which components of all parts may be one person, and which partition each of them goes to.

    links of all parts -> components that share an identifier are one -> partitions of about equal weight

An identifier is 8 bytes of a hash here: where two of them collide, two persons are replayed in one place, and
the exact rules keep them apart. This is the one state whose memory grows with the archive: about 40 bytes
for every identifier of every part's every component.
"""

from typing import Any, Final

import msgspec
import numpy as np

from shared.app.rebuild.build import BuildName
from shared.app.rebuild.formats import compress, decompress, fetch, fetch_json
from shared.app.rebuild.plan import Extent
from shared.app.rebuild.ports import Objects
from shared.app.rebuild.results import Linked
from shared.app.registry import Progress

PARTITION_BYTES: Final = 2**27
"""Bytes of contributions, not compressed, that one Replay worker takes: half a million or so. A component
that is larger is a partition of its own."""

Array = np.ndarray[Any, np.dtype[Any]]


def link(name: BuildName, objects: Objects, progress: Progress) -> Linked:
    """Link all parts, and assign their components to partitions."""
    parts = fetch_json(objects, name.extent, Extent).parts
    sizes, weights, hashes, holders = _read(name, objects, parts)
    component_of = components(holders, hashes, len(weights))
    del hashes, holders
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
    linked = Linked(parts, count, partition_count, name.shuffle_manifest, name.replay_manifest)
    objects.put(name.shuffle_manifest, _lines("part", parts))
    objects.put(name.replay_manifest, _lines("partition", partition_count))
    if objects.put_if_absent(name.linked, msgspec.json.encode(linked)):
        counted = {"link.partitions": partition_count, "link.components": count}
        progress.add_progress(name.builder, name.version, counted)
    return linked


def components(holders: Array, hashes: Array, count: int) -> Array:
    """Return the component of each of `count` holders, numbered in order of their first holders.

    `hashes[i]` is held by `holders[i]`; who holds the same is in the same component.
    """
    labels = np.arange(count, dtype=np.uint32)
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
    numbers: Array = np.unique(labels, return_inverse=True)[1]
    return numbers.astype(np.uint32)


def partitions(weights: Array, target: int) -> Array:
    """Return the partition of each component: as many in a row as weigh about `target` together."""
    before = np.cumsum(weights) - weights
    numbers: Array = np.unique(before // np.uint64(target), return_inverse=True)[1]
    return numbers.astype(np.uint32)


def _read(name: BuildName, objects: Objects, parts: int) -> tuple[list[int], Array, Array, Array]:
    """Return how many components each part has, their weights, and which hashes which component holds."""
    sizes: list[int] = []
    weights, hashes, holders = [], [], []
    start = 0
    for part in range(parts):
        key = name.links(part)
        data = decompress(fetch(objects, key), key)
        size = int(np.frombuffer(data, "<u4", 1)[0])
        counts = np.frombuffer(data, "<u4", size, 4 + 4 * size)
        weights.append(np.frombuffer(data, "<u4", size, 4).astype(np.uint32))
        hashes.append(np.frombuffer(data, "<u8", -1, 4 + 8 * size).astype(np.uint64))
        holders.append(np.repeat(np.arange(start, start + size, dtype=np.uint32), counts))
        sizes.append(size)
        start += size
    return sizes, np.concatenate(weights), np.concatenate(hashes), np.concatenate(holders)


def _lines(what: str, count: int) -> bytes:
    return b"".join(msgspec.json.encode({what: number}) + b"\n" for number in range(count))
