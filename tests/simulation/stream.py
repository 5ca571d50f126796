"""A Kinesis stream and the mapping that delivers it: one lane per shard, at least once, in order."""

from base64 import b64encode
from typing import NamedTuple
from zlib import crc32

RANGE = 2**32


class Put(NamedTuple):
    """A record on the stream."""

    shard: str
    sequence: str
    arrival: int
    data: bytes

    @property
    def envelope(self):
        """The record as Lambda delivers it."""
        return {
            "eventID": f"{self.shard}:{self.sequence}",
            "kinesis": {
                "data": b64encode(self.data).decode(),
                "sequenceNumber": self.sequence,
                "approximateArrivalTimestamp": self.arrival / 1000,
            },
        }


class Shard:
    """Part of the hash range. A closed one has been split or merged; `done` is how far a consumer is."""

    def __init__(self, name, start, end, parents=()):
        self.name = name
        self.start = start
        self.end = end
        self.parents = parents
        self.records = []
        self.is_closed = False
        self.done = 0
        self.is_read = False

    @property
    def is_drained(self):
        return self.done >= len(self.records)


class Stream:
    """Shards and their records. Arrivals never go back within a shard."""

    def __init__(self, shards):
        step = RANGE // shards
        self.shards = [Shard(f"shard-{at}", at * step, (at + 1) * step) for at in range(shards)]
        self.shards[-1].end = RANGE
        self._sequence = 0

    @property
    def records(self):
        return [record for shard in self.shards for record in shard.records]

    def put(self, data, partition_key, arrival):
        """Put a record; return its shard."""
        place = crc32(partition_key.encode())
        shard = next(one for one in self.open() if one.start <= place < one.end)
        self._sequence += 1
        shard.records.append(Put(shard.name, f"{self._sequence:08}", arrival, data))
        return shard

    def open(self):
        return [one for one in self.shards if not one.is_closed]

    def split(self, at):
        """Split an open shard in two."""
        shard = self.open()[at % len(self.open())]
        middle = (shard.start + shard.end) // 2
        self._replace([shard], [(shard.start, middle), (middle, shard.end)])

    def merge(self, at):
        """Merge two open neighbours."""
        shards = sorted(self.open(), key=lambda one: one.start)
        if len(shards) > 1:
            left, right = shards[at % (len(shards) - 1) :][:2]
            self._replace([left, right], [(left.start, right.end)])

    def readable(self):
        """Return the shards to be read now: a child's turn comes when its parents are done."""
        return [
            one
            for one in self.shards
            if not one.is_drained and all(parent.is_drained for parent in one.parents)
        ]

    def _replace(self, old, ranges):
        for shard in old:
            shard.is_closed = True
        for start, end in ranges:
            self.shards.append(Shard(f"shard-{len(self.shards)}", start, end, tuple(old)))
