"""Quarantine in memory."""

from shared.app.quarantine import Entry, Stored


class FakeQuarantine:
    """Implements `QuarantineStore` as far as ingestion needs it."""

    def __init__(self):
        self.entries: dict[str, Entry] = {}

    def put(self, entries):
        for entry in entries:
            self.entries[entry.id] = entry

    def list(self, builder=None, reason=None, since=None):
        del builder, reason, since
        yield from (Stored(entry, "tag") for _, entry in sorted(self.entries.items()))
