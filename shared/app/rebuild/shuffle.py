"""Shuffle: sort the spool of one part by partition. It moves bytes and decodes no contribution."""

import msgspec

from shared.app.rebuild.build import SCAN, SHUFFLE, BuildFailedError, BuildName
from shared.app.rebuild.formats import (
    block_record,
    compress,
    fetch,
    fetch_json,
    read_assignments,
    read_spool,
    write_shuffled,
)
from shared.app.rebuild.ports import Objects
from shared.app.rebuild.results import Result, leave
from shared.app.registry import Progress


class PartNumber(msgspec.Struct, frozen=True):
    """A line of Shuffle's manifest. The worker's input."""

    part: int


class Shuffled(msgspec.Struct, frozen=True):
    """What a worker moved: to how many partitions, and its bytes as stored."""

    part: int
    partitions: int
    bytes: int


def shuffle(name: BuildName, part: PartNumber, objects: Objects, progress: Progress) -> Shuffled:
    """Sort a part's spool by partition."""
    scanned = fetch_json(objects, name.result(SCAN, part.part), Result)
    spool_key, assignments_key = name.spool(part.part, scanned.digest), name.assignments(part.part)
    partitions, component_of, partition_of = read_assignments(
        fetch(objects, assignments_key), assignments_key
    )
    blocks: dict[int, bytearray] = {}
    number = 0
    for number, frame in enumerate(read_spool(fetch(objects, spool_key), spool_key), 1):
        if number <= len(component_of):
            block = blocks.setdefault(partition_of[number - 1], bytearray())
            block += block_record(component_of[number - 1], frame)
    if number != len(component_of):
        raise BuildFailedError(f"{spool_key} has {number} components, not {len(component_of)}")
    count = len(blocks)
    data = write_shuffled(partitions, ((one, compress(blocks.pop(one))) for one in sorted(blocks)))
    objects.put(name.shuffled(part.part), data)
    leave(objects, progress, name, SHUFFLE, part.part, Result({"components": number}), {"parts": 1})
    return Shuffled(part.part, count, len(data))
