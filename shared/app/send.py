"""Sending events: lines of JSON onto the stream, in as few calls as it takes, until all of them are there."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from shared.core.containers import UnreadableError, decode_object
from shared.core.cutting import cut
from shared.core.definition import Definition
from shared.core.identity.identifiers import Reader, identifier_reader

BATCH_RECORDS_MAX: Final = 500
BATCH_BYTES_MAX: Final = 5 * 2**20
"""What one call may carry, keys included (Kinesis PutRecords)."""
RECORD_BYTES_MAX: Final = 2**20
"""One record with its key; larger ones need a stream that was set up for them."""
KEY_LENGTH_MAX: Final = 256
ATTEMPTS_MAX: Final = 10
"""Calls in a row that bring no record onto the stream, after which sending stops."""
PACE_S: Final = 0.1
"""With a rate, batches are made small enough that this much time passes between them."""


class Line(NamedTuple):
    """A line of input; counted from 1."""

    number: int
    text: bytes


class Record(NamedTuple):
    """What goes onto the stream, and the key that keeps a person's events on one shard."""

    data: bytes
    key: str

    @property
    def size(self) -> int:
        """Return the bytes that count against the limits."""
        return len(self.data) + len(self.key.encode())


class Skipped(NamedTuple):
    """A line that is not sent, and why."""

    number: int
    reason: str


class Stream(Protocol):
    """The stream that events are put on."""

    def put(self, records: Sequence[Record]) -> list[tuple[Record, str]]:
        """Put records; return those that the stream did not take this time, each with its error code."""


class Clock(Protocol):
    """Time, for pacing and for waiting before the next attempt."""

    def now_s(self) -> float:
        """Return seconds from any fixed moment, never going back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class StoppedError(Exception):
    """The stream would not take any more. `code` is its error; `unsent` records are known not to be on it."""

    def __init__(self, code: str, unsent: int) -> None:
        super().__init__(code)
        self.code = code
        self.unsent = unsent


class Sent(msgspec.Struct):
    """What became of the lines: `bytes` counts those read, `retried` the records put more than once."""

    records: int = 0
    bytes: int = 0
    retried: int = 0
    skipped: list[Skipped] = []


class PartitionKeys:
    """Which shard an event goes to: by its `anonymousId`, else its best identifier, else what it says.

    Nothing depends on it but how often two batches meet at one profile.
    """

    def __init__(self, definitions: Callable[[], Sequence[Definition]]) -> None:
        self._definitions = definitions
        self._readers: list[Reader] | None = None

    def of(self, body: dict[str, Any], data: bytes) -> str:
        """Return the key of an event."""
        value = body.get("anonymousId")
        key = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if not key:
            key = self._best_identifier(body) or _digest(data)
        return (
            key if len(key) <= KEY_LENGTH_MAX and _is_unicode(key) else _digest(key.encode(errors="replace"))
        )

    def _best_identifier(self, body: dict[str, Any]) -> str | None:
        """Return the identifier with the highest priority, by the first builder that finds any.

        The definitions are only asked for when an event needs them: most streams never do.
        """
        if self._readers is None:
            self._readers = [identifier_reader(one) for one in self._definitions()]
        for read in self._readers:
            identifiers, _ = read(body)
            if identifiers:
                return identifiers[0].value
        return None


def send(
    lines: Iterable[Line],
    stream: Stream,
    keys: PartitionKeys,
    clock: Clock,
    rate: float | None = None,
    tell: Callable[[Sent], None] = lambda _: None,
) -> Sent:
    """Put each line on the stream; skip those that are no event. `rate` is events per second, at most.

    `tell` hears of every batch. Raises `StoppedError` when the stream takes nothing for too long.
    """
    sent = Sent()
    started_s = clock.now_s()
    records_max = BATCH_RECORDS_MAX if rate is None else max(1, int(min(BATCH_RECORDS_MAX, rate * PACE_S)))
    records = _records(lines, keys, sent)
    for batch in cut(records, lambda one: one.size, BATCH_BYTES_MAX, records_max):
        if rate is not None:
            ahead_s = sent.records / rate - (clock.now_s() - started_s)
            if ahead_s > 0:
                clock.sleep(ahead_s)
        _put(stream, batch, clock, sent)
        tell(sent)
    tell(sent)
    return sent


def _records(lines: Iterable[Line], keys: PartitionKeys, sent: Sent) -> Iterator[Record]:
    for line in lines:
        sent.bytes += len(line.text)
        text = line.text.strip()
        if not text:
            continue
        try:
            body = decode_object(text)
        except UnreadableError as error:
            sent.skipped.append(Skipped(line.number, f"{error.reason}: {error.detail}"))
            continue
        record = Record(text, keys.of(body, text))
        if record.size > RECORD_BYTES_MAX:
            reason = f"too_large: a record has at most {RECORD_BYTES_MAX} bytes, its key included"
            sent.skipped.append(Skipped(line.number, reason))
            continue
        yield record


def _put(stream: Stream, batch: list[Record], clock: Clock, sent: Sent) -> None:
    """Put a batch, and again what the stream did not take of it; waits double while nothing gets through."""
    attempts = 0
    while batch:
        refused = stream.put(batch)
        sent.records += len(batch) - len(refused)
        if not refused:
            return
        attempts = 1 if len(refused) < len(batch) else attempts + 1
        if attempts >= ATTEMPTS_MAX:
            raise StoppedError(refused[0][1], len(refused))
        clock.sleep(min(0.1 * 2 ** (attempts - 1), 5.0))
        batch = [record for record, _ in refused]
        sent.retried += len(batch)


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
