"""The ingestion function in memory: what it folded, and what it must not."""

from collections.abc import Sequence

from shared.app.delivery import Envelope, VersionGoneError
from shared.app.quarantine import Entry, QuarantineStore, entry_of


def place(envelope: Envelope) -> tuple[str, str, int]:
    """Name the position of an envelope: shard, sequence, index."""
    entry = entry_of("b", 1, envelope, "", "")
    return entry.shard, entry.sequence, entry.index


class FakeIngestion:
    """Folds records, but those that fail stop the batch there, and those that are bad go to quarantine.

    `poison` ones make the whole call fail, as a crash does.
    """

    def __init__(self, quarantine: QuarantineStore | None = None) -> None:
        self.quarantine = quarantine
        self.folded: set[tuple[str, str, int]] = set()
        self.failing: set[tuple[str, str, int]] = set()
        self.poison: set[tuple[str, str, int]] = set()
        self.bad: set[tuple[str, str, int]] = set()
        self.gone: set[int] = set()
        self.calls: list[tuple[str, int, list[Envelope]]] = []

    def ingest(self, builder: str, version: int, records: Sequence[Envelope]) -> int:
        self.calls.append((builder, version, list(records)))
        if version in self.gone:
            raise VersionGoneError
        places = [place(record) for record in records]
        if self.poison.intersection(places):
            return 0
        for index, (one, record) in enumerate(zip(places, records, strict=True)):
            if one in self.failing:
                return index
            if one in self.bad:
                self.quarantine.put([self.set_aside(builder, version, record)])
            else:
                self.folded.add(one)
        return len(records)

    @staticmethod
    def set_aside(builder: str, version: int, record: Envelope) -> Entry:
        return entry_of(builder, version, record, "not_json", "line 1")
