"""Shuffle: sort the spool of one part by partition. It moves bytes and decodes no contribution."""

from typing import Final

import msgspec

from shared.app.rebuild.build import SCAN, SHUFFLE, BuildFailedError, BuildName
from shared.app.rebuild.formats import (
    compress,
    fetch,
    fetch_json,
    read_assignments,
    read_spool,
    record_header,
    write_shuffled,
)
from shared.app.rebuild.ports import Objects
from shared.app.rebuild.results import Result, leave
from shared.app.registry import Progress

HELD_BYTES_MAX: Final = 2**27
"""Of frames, beyond which they are compressed; more than most parts have."""


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
    blocks = _Blocks()
    number = 0
    for number, frame in enumerate(read_spool(fetch(objects, spool_key), spool_key), 1):
        if number > len(component_of):
            break
        blocks.add(partition_of[number - 1], component_of[number - 1], frame)
    if number != len(component_of):
        raise BuildFailedError(f"{spool_key} has other than {len(component_of)} components")
    found = blocks.finish()
    count = len(found)
    data = write_shuffled(partitions, ((one, b"".join(found.pop(one))) for one in sorted(found)))
    objects.put(name.shuffled(part.part), data)
    leave(objects, progress, name, SHUFFLE, part.part, Result({"components": number}), {"parts": 1})
    return Shuffled(part.part, count, len(data))


class _Blocks:
    """Frames by partition; those that have come to `HELD_BYTES_MAX` are compressed."""

    def __init__(self) -> None:
        self._held: dict[int, bytearray] = {}
        self._held_bytes = 0
        self._compressed: dict[int, list[bytes]] = {}

    def add(self, partition: int, component: int, frame: bytes) -> None:
        """Take a frame."""
        block = self._held.setdefault(partition, bytearray())
        block += record_header(component, len(frame))
        block += frame
        self._held_bytes += len(frame)
        if self._held_bytes > HELD_BYTES_MAX:
            self._compress()

    def finish(self) -> dict[int, list[bytes]]:
        """Return the pieces of all blocks."""
        self._compress()
        return self._compressed

    def _compress(self) -> None:
        for partition in list(self._held):
            self._compressed.setdefault(partition, []).append(compress(self._held.pop(partition)))
        self._held_bytes = 0
