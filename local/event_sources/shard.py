"""One shard of a mapping: its lanes, how far it has come, and which shards may start."""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from local.event_sources.filters import is_wanted
from local.event_sources.lane import Lane
from local.event_sources.records import StreamRecord
from local.event_sources.settings import Position, Settings

QUEUED_BATCHES_MAX = 3
"""How many batches per lane a shard reads ahead, at most."""


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """A shard as the stream lists it. `incarnation` differs when a shard id is used anew."""

    shard_id: str
    parents: tuple[str, ...] = ()
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a shard goes on: read from `position`, skip what each lane has done beyond it."""

    position: Position
    parallelization: int = 1
    done: Mapping[int, str] = field(default_factory=dict)
    finished: bool = False
    incarnation: str = ""


class Shard:
    """Routes the records of a shard to its lanes and sums their progress up in one checkpoint."""

    def __init__(self, settings: Settings, checkpoint: Checkpoint) -> None:
        self.position = checkpoint.position
        self.lanes = [Lane(settings) for _ in range(settings.parallelization)]
        self._settings = settings
        self._incarnation = checkpoint.incarnation
        self._finished = checkpoint.finished
        # Another factor sends keys to other lanes: what they had done beyond says nothing then.
        if checkpoint.parallelization == settings.parallelization:
            for index, sequence in checkpoint.done.items():
                self.lanes[index].done = sequence

    def offer(self, records: Sequence[StreamRecord], now_ms: int) -> None:
        """Hand records that were just read, in order, to their lanes, but for those that are filtered out."""
        filters = self._settings.filters
        for record in records:
            if filters and not is_wanted(record.delivered(self._settings, "", ""), filters):
                continue
            lane = self.lanes[lane_of(record.partition_key, len(self.lanes))]
            if lane.done is None or record.ordinal > int(lane.done):
                lane.offer((record,), now_ms)
        if records:
            self.position = Position("AFTER_SEQUENCE_NUMBER", records[-1].sequence)

    def close(self) -> None:
        """Take note that the shard gives no more records."""
        self._finished = True

    @property
    def closed(self) -> bool:
        """Tell whether everything was read."""
        return self._finished

    @property
    def drained(self) -> bool:
        """Tell whether everything was read and dealt with, so that the children may start."""
        return self._finished and not any(lane.queued for lane in self.lanes)

    @property
    def has_room(self) -> bool:
        """Tell whether to read on; a lane that is stuck does not fill the memory."""
        limit = QUEUED_BATCHES_MAX * self._settings.batch_size
        return not self._finished and all(lane.queued < limit for lane in self.lanes)

    def checkpoint(self) -> Checkpoint:
        """Sum up where to go on after a restart; nothing outstanding is ever passed over."""
        outstanding = [lane.first_outstanding for lane in self.lanes]
        first = min((sequence for sequence in outstanding if sequence is not None), key=int, default=None)
        position = self.position if first is None else Position("AT_SEQUENCE_NUMBER", first)
        done = {index: lane.done for index, lane in enumerate(self.lanes) if lane.done is not None}
        return Checkpoint(position, len(self.lanes), done, self.drained, self._incarnation)


def lane_of(partition_key: str, lanes: int) -> int:
    """Choose the lane of a partition key: the same one as long as the factor stays."""
    return zlib.crc32(partition_key.encode(errors="surrogatepass")) % lanes


def startable(shards: Iterable[ShardInfo], finished: Collection[str]) -> list[ShardInfo]:
    """Choose the shards to read: unfinished ones whose parents are finished, or gone from the stream."""
    listed = list(shards)
    unfinished = {shard.shard_id for shard in listed} - set(finished)
    return [
        shard
        for shard in listed
        if shard.shard_id in unfinished and not any(parent in unfinished for parent in shard.parents)
    ]
