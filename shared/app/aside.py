"""What a batch sets aside: to quarantine, or to be tried again later."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from shared.app.delivery import Envelope
from shared.app.quarantine import Entry, QuarantineStore, entries_of, is_part, size_of
from shared.app.reading import Read
from shared.app.retries import DELAYS_S, Retries, Retry, attempts_of, retry_of
from shared.core.records import Rejection

HELD_BYTES_MAX: Final = 2**25
"""What waits to be set aside together; a batch may hold many times what the process may."""


class Aside:
    """Collects what one batch sets aside, and writes it.

    What comes from the stream is written before anything is folded, whatever becomes of the batch. What was
    set aside before, and is delivered again, replaces its entry, and only once all else of it is folded.
    """

    def __init__(
        self, builder: str, version: int, quarantine: QuarantineStore, retries: Retries | None
    ) -> None:
        self._builder = builder
        self._version = version
        self._quarantine = quarantine
        self._retries = retries
        self._bad: list[Entry] = []
        self._again: list[Retry] = []
        self._held_bytes = 0
        self._bad_before: list[Entry] = []
        self._again_before: list[tuple[str, Retry]] = []

    def add(self, envelope: Envelope, read: Read, tally: Counter[str]) -> None:
        """Take up what of a delivered envelope is to be set aside."""
        attempts = attempts_of(envelope)
        rejections = read.rejections
        waiting: dict[float | None, list[Rejection]] = {}
        if self._retries is None or attempts >= len(DELAYS_S):
            given_up = [one.rejection for one in read.postponed]
            _count_as_bad(given_up, tally)
            rejections = [*rejections, *given_up]
        else:
            for one in read.postponed:
                waiting.setdefault(one.delay_s, []).append(one.rejection)
        bad = self._entries(envelope, rejections)
        again = [
            (entry.sequence, retry_of(entry.envelope, attempts, delay_s))
            for delay_s, some in waiting.items()
            for entry in self._entries(envelope, some)
        ]
        if is_part(envelope):
            self._bad_before += bad
            self._again_before += again
            return
        retries = [retry for _, retry in again]
        self._bad += bad
        self._again += retries
        self._held_bytes += sum(size_of(one.envelope) for one in bad)
        self._held_bytes += sum(size_of(one.envelope) for one in retries)
        if self._held_bytes > HELD_BYTES_MAX:
            self.write()

    def write(self) -> None:
        """Write what came from the stream."""
        if self._bad:
            self._quarantine.put(self._bad)
        if self._again and self._retries is not None:
            self._retries.put(self._builder, self._version, self._again)
        self._bad, self._again, self._held_bytes = [], [], 0

    def write_again(self, failed: set[str]) -> None:
        """Write what was set aside before, but nothing of records with these sequence numbers."""
        bad = [entry for entry in self._bad_before if entry.sequence not in failed]
        again = [retry for sequence, retry in self._again_before if sequence not in failed]
        if bad:
            self._quarantine.put(bad)
        if again and self._retries is not None:
            self._retries.put(self._builder, self._version, again)

    def _entries(self, envelope: Envelope, rejections: Sequence[Rejection]) -> list[Entry]:
        return entries_of(self._builder, self._version, envelope, rejections) if rejections else []


def _count_as_bad(rejections: Sequence[Rejection], tally: Counter[str]) -> None:
    for one in rejections:
        tally["events_postponed"] -= 1
        tally["events_quarantined"] += 1
        tally[f"quarantined.{one.reason}"] += 1
