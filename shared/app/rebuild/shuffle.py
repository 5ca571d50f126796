"""Shuffle: sort the spool of one part by partition. It moves bytes and decodes no contribution."""

import msgspec

from shared.app.rebuild.build import BuildName
from shared.app.rebuild.ports import Objects, Progress


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
    raise NotImplementedError
