"""Quarantine in the archive bucket: one JSON object per entry, readable by a person and by Athena."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import uuid4

import msgspec

from shared import contract
from shared.adapters.s3 import S3Objects
from shared.app.quarantine import DamagedEntryError, Entry, Stored
from shared.core.records import kinesis_records
from shared.core.times import format_time

WRITERS_MAX: Final = 8
"""Objects written at a time: under the ten connections that a botocore client keeps."""
_SUFFIX: Final = ".json"


class _Object(msgspec.Struct):
    """What an object holds: the entry, its arrival as text beside the number, and a mark of this writing."""

    entry: Entry
    arrived: str
    written: str


class S3Quarantine:
    """The `QuarantineStore` port on a bucket."""

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects

    def put(self, entries: Sequence[Entry]) -> None:
        """Write entries, each over an older one of its id."""
        if len(entries) == 1:
            self._put(entries[0])
        elif entries:
            with ThreadPoolExecutor(min(WRITERS_MAX, len(entries))) as pool:
                list(pool.map(self._put, entries))

    def list(
        self,
        builder: str | None = None,
        reason: str | None = None,
        since: int | None = None,
        damaged: Callable[[DamagedEntryError], None] | None = None,
    ) -> Iterator[Stored]:
        """Yield entries by id: of one builder, with one reason, that arrived at `since` (ms UTC) or later.

        What is no entry is passed over if `damaged` takes it, and else raised.
        """
        prefix = contract.PREFIX_QUARANTINE + (f"{builder}/" if builder else "")
        day_min = "" if since is None else f"dt={format_time(since)[:10]}"
        keys = (
            one.key
            for one in self._objects.list(prefix)
            if one.key.endswith(_SUFFIX) and one.key.split("/")[-2] >= day_min
        )
        for key in keys:
            try:
                stored = self._read(key)
            except DamagedEntryError as error:
                if damaged is None:
                    raise
                damaged(error)
                continue
            if stored is None or (reason is not None and reason not in stored.entry.reasons):
                continue
            if since is None or stored.entry.arrival >= since:
                yield stored

    def get(self, entry_id: str) -> Stored | None:
        """Return one entry."""
        return self._read(_key(entry_id))

    def delete(self, stored: Stored) -> bool:
        """Delete an entry unless it was written again since it was read; say whether it is gone."""
        return self._objects.delete_if(_key(stored.entry.id), stored.tag)

    def _put(self, entry: Entry) -> None:
        # Without the mark, writing an entry again would leave its tag, and replay would not see it.
        held = _Object(entry, format_time(entry.arrival), uuid4().hex)
        self._objects.put(_key(entry.id), msgspec.json.encode(held))

    def _read(self, key: str) -> Stored | None:
        found = self._objects.get(key)
        if found is None:
            return None
        data, tag = found
        try:
            entry = msgspec.json.decode(data, type=_Object).entry
            kinesis_records(entry.envelope)  # what is no envelope could be neither shown nor replayed
            format_time(entry.arrival)
        except (
            *(msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError),
            *(ArithmeticError, RecursionError),
        ) as error:
            raise DamagedEntryError(f"{key} is no entry of quarantine; delete it to go on") from error
        return Stored(entry, tag)


def _key(entry_id: str) -> str:
    return f"{contract.PREFIX_QUARANTINE}{entry_id}{_SUFFIX}"
