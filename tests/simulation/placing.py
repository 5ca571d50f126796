"""Where markers stand on the shards of a stream, and what stands before them."""

from shared.core.control import control_of


def before_markers(shards, reader, t0):
    """Return the records that arrived before T0, and those that stand before the first markers for a reader.

    A shard that was closed before markers were put has none, and has been read to its end. All records, if
    there are no markers anywhere: nobody knows then how far the reader is.
    """
    records, has_markers = [], False
    for shard in shards:
        places = [at for at, record in enumerate(shard.records) if _is_marker(record, reader)]
        has_markers = has_markers or bool(places)
        before = shard.records[: places[0]] if places else shard.records if shard.is_closed else []
        records += before or [record for record in shard.records if record.arrival < t0]
    return records if has_markers else [record for shard in shards for record in shard.records]


def _is_marker(record, reader):
    marker = control_of(record.data)
    return marker is not None and marker.reader == reader
