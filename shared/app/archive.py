"""Archiving: a batch of the stream becomes objects, one for each hour that its records arrived in.

Nothing is judged: whatever bytes a record holds, they are kept. A batch that comes again, or is cut anew,
writes the same records again, under the same names or such that overlap; readers drop what they have seen.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shared.app.delivery import Envelope
from shared.app.markers import Markers, Objects
from shared.core.archive import archive_line, archive_object, hour_of, object_key
from shared.core.control import READER_ARCHIVE, control_of
from shared.core.records import Record, kinesis_record


class Archived(NamedTuple):
    """What a batch gave: `size` is the bytes of its objects, `oldest` the earliest arrival, ms UTC."""

    records: int
    objects: int
    size: int
    oldest: int | None


class Archiver:
    """Writes batches of the stream to the archive."""

    def __init__(self, objects: Objects, markers: Markers) -> None:
        self._objects = objects
        self._markers = markers

    def run(self, envelopes: Sequence[Envelope]) -> Archived:
        """Archive records as Lambda delivers them, then acknowledge the markers among them.

        Raises whatever goes wrong: then all of the batch must come again.
        """
        records: list[Record] = []
        hours: dict[tuple[str, int], list[tuple[Record, str]]] = {}
        for envelope in envelopes:
            record = kinesis_record(envelope)
            records.append(record)
            held = hours.setdefault((record.shard, hour_of(record.arrival)), [])
            held.append((record, envelope["kinesis"]["partitionKey"]))
        size = sum(self._write(held) for held in hours.values())
        for record in records:
            marker = control_of(record.data)
            if marker is not None and marker.reader == READER_ARCHIVE:
                self._markers.acknowledge(marker, record.shard)
        oldest = min((record.arrival for record in records), default=None)
        return Archived(len(records), len(hours), size, oldest)

    def _write(self, held: Sequence[tuple[Record, str]]) -> int:
        """Write the object of some records of one shard and hour; return its size."""
        first, last = held[0][0], held[-1][0]
        data = archive_object(archive_line(record, partition_key) for record, partition_key in held)
        self._objects.put(object_key(first.arrival, first.shard, first.sequence, last.sequence), data)
        return len(data)
