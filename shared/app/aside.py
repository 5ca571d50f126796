"""What a batch sets aside: to quarantine, or to be tried again later."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from shared.app.delivery import Envelope
from shared.app.quarantine import Entry, QuarantineStore, entries_of, is_part, size_of
from shared.app.reading import Read, count_quarantined
from shared.app.retries import DELAYS_S, Retries, Retry, attempts_of, retry_of
from shared.core.records import ENVELOPE_EXTRA, Rejection, name_of_parts

HELD_BYTES_MAX: Final = 2**25
"""What waits to be set aside together; a batch may hold many times what the process may."""


class Aside:
    """Collects what one batch sets aside, and writes it.

    What comes from the stream is written before anything is folded, whatever becomes of the batch. What was
    set aside before, and is delivered again, replaces its entry, and only once all else of it is folded.
    """

    def __init__(self, builder: str, version: int, quarantine: QuarantineStore, retries: Retries) -> None:
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
        waiting: dict[tuple[float | None, bool], list[Rejection]] = {}
        given_up: list[Rejection] = []
        for one in read.postponed:
            if attempts >= len(DELAYS_S) and not one.unreached:
                given_up.append(one.rejection)
            else:
                waiting.setdefault((one.delay_s, one.unreached), []).append(one.rejection)
        _count_as_bad(given_up, tally)
        rejections = [*rejections, *given_up]
        # What waits may end in quarantine as well, and no two entries of a record may have one name: a part
        # that waits is named by its own first event, and then nothing else is.
        named_anew = _index_of(envelope) in {one.rejection.position.index for one in read.postponed}
        bad = self._entries(envelope, rejections, named_anew=named_anew)
        again = [
            (entry.sequence, retry_of(entry.envelope, attempts, delay_s, unreached=unreached))
            for (delay_s, unreached), some in waiting.items()
            for entry in self._entries(envelope, some, named_anew=True)
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
        if self._again:
            self._retries.put(self._builder, self._version, self._again)
        self._bad, self._again, self._held_bytes = [], [], 0

    def write_again(self, failed: set[str]) -> None:
        """Write what was set aside before, but nothing of records with these sequence numbers.

        What is to wait comes first: what is bad replaces an entry that held it as well.
        """
        bad = [entry for entry in self._bad_before if entry.sequence not in failed]
        again = [retry for sequence, retry in self._again_before if sequence not in failed]
        if again:
            self._retries.put(self._builder, self._version, again)
        if bad:
            self._quarantine.put(bad)

    def _entries(
        self, envelope: Envelope, rejections: Sequence[Rejection], *, named_anew: bool
    ) -> list[Entry]:
        if not rejections:
            return []
        if named_anew and is_part(envelope):
            envelope = {**envelope, ENVELOPE_EXTRA: name_of_parts(rejections)}
        return entries_of(self._builder, self._version, envelope, rejections)


def _index_of(envelope: Envelope) -> int | None:
    """Return the index that names a part of a record; None for a whole one."""
    return envelope[ENVELOPE_EXTRA]["index"] if is_part(envelope) else None


def _count_as_bad(rejections: Sequence[Rejection], tally: Counter[str]) -> None:
    for one in rejections:
        tally["events_postponed"] -= 1
        count_quarantined(one, tally)
