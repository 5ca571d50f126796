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
    key: str = ""

    @property
    def envelope(self):
        """The record as Lambda delivers it."""
        return {
            "eventID": f"{self.shard}:{self.sequence}",
            "kinesis": {
                "data": b64encode(self.data).decode(),
                "partitionKey": self.key,
                "sequenceNumber": self.sequence,
                "approximateArrivalTimestamp": self.arrival / 1000,
            },
        }


class Shard:
    """Part of the hash range. A closed one has been split or merged."""

    def __init__(self, name, start, end, parents=()):
        self.name = name
        self.start = start
        self.end = end
        self.parents = parents
        self.records = []
        self.is_closed = False


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
        return self.put_at(data, crc32(partition_key.encode()), arrival, partition_key)

    def put_at(self, data, place, arrival, partition_key=""):
        """Put a record at a place of the hash range; return its shard."""
        shard = next(one for one in self.open() if one.start <= place < one.end)
        self._sequence += 1
        shard.records.append(Put(shard.name, f"{self._sequence:08}", arrival, data, partition_key))
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

    def _replace(self, old, ranges):
        for shard in old:
            shard.is_closed = True
        for start, end in ranges:
            self.shards.append(Shard(f"shard-{len(self.shards)}", start, end, tuple(old)))


class Consumer:
    """One consumer of a stream, from the records that arrived at `since` on: how far it is on each shard."""

    def __init__(self, name, stream, version, since=0):
        self.name = name
        self.version = version
        self.since = since
        self.is_open = True
        self.reading = set()
        self._stream = stream
        self._done = {}

    def done(self, shard):
        """Return how many of a shard's records it is done with."""
        if shard.name not in self._done:
            before = sum(1 for record in shard.records if record.arrival < self.since)
            if before < len(shard.records):
                self._done[shard.name] = before
            return before
        return self._done[shard.name]

    def move(self, shard, by):
        """Go on, or back."""
        self._done[shard.name] = self.done(shard) + by

    def is_done(self, shard):
        return self.done(shard) >= len(shard.records)

    def readable(self):
        """Return the shards to be read now: a child's turn comes when its parents are over."""
        if not self.is_open:
            return []
        return [
            one
            for one in self._stream.shards
            if not self.is_done(one) and all(map(self._is_over, one.parents))
        ]

    def _is_over(self, shard):
        """Whether nothing is left of a shard, nor of what it came from: an empty one is always done."""
        return self.is_done(shard) and all(map(self._is_over, shard.parents))
