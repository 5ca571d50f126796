"""One lane: records of one shard that must reach the function in order, one batch at a time.

A shard has one lane, or with a parallelization factor several, each with its own partition
keys. The lane decides what happens next; it knows no clock, thread or network: the time is
an argument, and the loop around it does what it says and reports the outcome.

The rules are AWS's:
- A batch goes out when it is full, when its payload would pass 6 MB, or when the batching
  window since its first record ends.
- A reported partial failure retries everything from the lowest failed sequence number.
- Bisecting splits a batch whose invocation failed, and consumes no retry; a partial failure
  is bisected at the reported record, and its remainder does consume one.
- Throttled invocations consume no retry: they wait until the records are too old.
- Records that are too old, or out of retries, go to the failure destination.
Where AWS's documentation is silent, the harsher reading is taken: progress through partial
failures does not give back the retries already consumed.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from local.event_sources.records import PAYLOAD_BYTES_MAX, StreamRecord
from local.event_sources.settings import Settings

Condition = Literal["RetryAttemptsExhausted", "RecordAgeExceeded"]

BACKOFF_MS_FIRST: Final = 100
BACKOFF_MS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """The function ran: what it returned, decoded; `error` is `Handled` or `Unhandled` if it failed.

    `malformed` says that a successful function returned something that is no JSON.
    """

    body: Any = None
    error: str | None = None
    malformed: bool = False
    status: int = 200
    executed_version: str = "$LATEST"
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class NotInvoked:
    """The function did not run: throttled, unreachable, or not there."""

    reason: str


Outcome = Answer | NotInvoked


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of a lane, and how often they were tried."""

    records: tuple[StreamRecord, ...]
    retries: int = 0
    invocations: int = 0
    refusals: int = 0
    not_before_ms: int = 0
    last_answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Invoke:
    """Hand this batch to the function and report the outcome to `settle`."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Discard:
    """Write this batch to the failure destination, then report to `discarded`."""

    batch: Batch
    condition: Condition


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due before this instant."""

    until_ms: int


Action = Invoke | Discard | Wait | None


class Lane:
    """Decides, for the records it is offered, what is invoked, retried and discarded, and when."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: deque[tuple[StreamRecord, int]] = deque()
        self._pieces: deque[Batch] = deque()
        self._in_flight: Batch | None = None
        self.done: str | None = None

    def offer(self, records: Sequence[StreamRecord], now_ms: int) -> None:
        """Queue records that were just read, in their order."""
        self._waiting.extend((record, now_ms) for record in records)

    @property
    def busy(self) -> bool:
        """Tell whether an action was handed out whose outcome is not reported yet."""
        return self._in_flight is not None

    @property
    def queued(self) -> int:
        """Count the records that are neither done nor discarded."""
        pieces = sum(len(piece.records) for piece in self._pieces)
        return len(self._waiting) + pieces + (len(self._in_flight.records) if self._in_flight else 0)

    @property
    def first_outstanding(self) -> str | None:
        """Give the sequence number of the first record that is neither done nor discarded."""
        if self._in_flight:
            return self._in_flight.records[0].sequence
        if self._pieces:
            return self._pieces[0].records[0].sequence
        return self._waiting[0][0].sequence if self._waiting else None

    def next(self, now_ms: int) -> Action:
        """Say what to do now; after Invoke or Discard nothing more until its outcome is reported."""
        if self._in_flight is not None:
            return None
        if not self._pieces:
            due_ms = self._due_ms()
            if due_ms is None:
                return None
            if now_ms < due_ms:
                return Wait(due_ms)
            self._pieces.append(self._take())
        batch = self._pieces.popleft()
        action = self._decide(batch, now_ms)
        if isinstance(action, Wait):
            self._pieces.appendleft(batch)
        return action

    def settle(self, outcome: Outcome, now_ms: int) -> None:
        """Take note of how the invocation of the batch in flight ended."""
        batch = self._landed()
        if isinstance(outcome, NotInvoked):
            refusals = batch.refusals + 1
            self._again(replace(batch, refusals=refusals), delay_ms=_backoff_ms(refusals), now_ms=now_ms)
            return
        batch = replace(batch, invocations=batch.invocations + 1, refusals=0, last_answer=outcome)
        failed_at = first_failure(batch.records, outcome, partial_failures=self._settings.partial_failures)
        if failed_at is None:
            self._finish(batch.records)
        elif outcome.error and self._settings.bisect and len(batch.records) > 1:
            self._split(batch, len(batch.records) // 2, now_ms)
        else:
            self._finish(batch.records[:failed_at])
            rest = replace(batch, records=batch.records[failed_at:], retries=batch.retries + 1)
            self._again(
                rest, delay_ms=0 if self._exhausted(rest) else _backoff_ms(rest.retries), now_ms=now_ms
            )

    def discarded(self) -> None:
        """Take note that the batch in flight is safe in the failure destination (or has none)."""
        self._finish(self._landed().records)

    def kept(self, now_ms: int) -> None:
        """Take note that the failure destination did not take the batch in flight: try again."""
        batch = self._landed()
        refusals = batch.refusals + 1
        self._again(replace(batch, refusals=refusals), delay_ms=_backoff_ms(refusals), now_ms=now_ms)

    def _decide(self, batch: Batch, now_ms: int) -> Action:
        if now_ms < batch.not_before_ms:
            return Wait(batch.not_before_ms)
        expired = self._expired(batch.records, now_ms)
        if expired:
            if expired < len(batch.records):
                self._pieces.appendleft(replace(batch, records=batch.records[expired:]))
            self._in_flight = replace(batch, records=batch.records[:expired])
            return Discard(self._in_flight, "RecordAgeExceeded")
        self._in_flight = batch
        return Discard(batch, "RetryAttemptsExhausted") if self._exhausted(batch) else Invoke(batch)

    def _exhausted(self, batch: Batch) -> bool:
        return self._settings.retries_max is not None and batch.retries > self._settings.retries_max

    def _expired(self, records: Sequence[StreamRecord], now_ms: int) -> int:
        """Count the records at the head that are older than the mapping allows."""
        if self._settings.age_ms_max is None:
            return 0
        oldest_ms = now_ms - self._settings.age_ms_max
        fresh = (index for index, record in enumerate(records) if record.arrived_ms >= oldest_ms)
        return next(fresh, len(records))

    def _due_ms(self) -> int | None:
        """Give the instant at which the waiting records make a batch; None without any."""
        if not self._waiting:
            return None
        first_seen_ms = self._waiting[0][1]
        return first_seen_ms + (0 if self._is_full() else self._settings.window_ms)

    def _is_full(self) -> bool:
        count = self._fitting()
        return count >= self._settings.batch_size or count < len(self._waiting)

    def _fitting(self) -> int:
        """Count the waiting records that fit into one batch; at least one."""
        bytes_total = 0
        for count, (record, _) in enumerate(self._waiting):
            bytes_total += record.payload_bytes
            if count == self._settings.batch_size or (count and bytes_total > PAYLOAD_BYTES_MAX):
                return count
        return len(self._waiting)

    def _take(self) -> Batch:
        return Batch(tuple(self._waiting.popleft()[0] for _ in range(self._fitting())))

    def _split(self, batch: Batch, middle: int, now_ms: int) -> None:
        # The second half waits behind the first, whatever becomes of that: order is per lane.
        self._pieces.appendleft(replace(batch, records=batch.records[middle:], not_before_ms=0))
        first = replace(batch, records=batch.records[:middle])
        self._again(first, delay_ms=BACKOFF_MS_FIRST, now_ms=now_ms)

    def _again(self, batch: Batch, *, delay_ms: int, now_ms: int) -> None:
        self._pieces.appendleft(replace(batch, not_before_ms=now_ms + delay_ms))

    def _finish(self, records: Sequence[StreamRecord]) -> None:
        if records:
            self.done = records[-1].sequence

    def _landed(self) -> Batch:
        if self._in_flight is None:
            raise RuntimeError("an outcome was reported, but nothing is in flight")
        batch, self._in_flight = self._in_flight, None
        return batch


def first_failure(records: Sequence[StreamRecord], answer: Answer, *, partial_failures: bool) -> int | None:
    """Find the index of the lowest failed record; None if all succeeded.

    Whatever does not plainly name records of this batch fails the batch as a whole, as AWS
    documents; an empty or null list, or response, is a success.
    """
    if answer.error:
        return 0
    if not partial_failures:
        return None
    reported = _reported(answer)
    if reported is None:
        return 0
    index_of = {record.sequence: index for index, record in enumerate(records)}
    return min((index_of.get(identifier, 0) for identifier in reported), default=None)


def _reported(answer: Answer) -> list[str] | None:
    """List the identifiers reported as failed, "" for unreadable ones; None if nothing is readable."""
    if answer.malformed or not isinstance(answer.body, dict | None):
        return None
    failures = (answer.body or {}).get("batchItemFailures")
    if failures is None:
        return []
    if not isinstance(failures, list):
        return None
    identifiers = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in failures]
    return [identifier if isinstance(identifier, str) else "" for identifier in identifiers]


def _backoff_ms(tries: int) -> int:
    # AWS documents exponential backoff without figures; these keep a local run lively.
    return min(BACKOFF_MS_MAX, BACKOFF_MS_FIRST << min(tries - 1, 10))
