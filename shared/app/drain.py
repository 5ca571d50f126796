"""The drain: batches that Lambda gave up on are delivered again, until ingestion or quarantine has them.

So are events whose transformation asked for another attempt, once it is due, and records that lost too many
races (`shared/app/retries.py`). What was for a version that has ended is dropped: the archive holds it, and
its successor counts it.

A batch's object goes last, so a crash at any point repeats work and loses nothing: ingestion counts once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from shared import contract
from shared.app.delivery import (
    Envelope,
    Ingestion,
    IngestionUnavailableError,
    Undelivered,
    VersionGoneError,
    deliver,
)
from shared.app.quarantine import FAILED_REPEATEDLY, Entry, QuarantineStore, entry_of
from shared.app.retries import due_of, read_waiting

GIVE_UP_AFTER_MS: Final = 6 * 3_600_000
"""With the longest age of a record on the stream, still well within the dedup window."""
CALL_MS_MAX: Final = 130_000
"""What one call of ingestion may take; no call starts with less time left."""
RETRIED: Final = "tried again"
"""Why an event is delivered again that Lambda has not given up on."""
BATCHES_MAX: Final = 1000
"""Objects looked at in one run, the oldest first."""


class UnreadableBatchError(Exception):
    """The object is no batch of records that Lambda gave up on."""


class Listed(Protocol):
    """An object of the on-failure destination; `modified_at` ms UTC."""

    @property
    def key(self) -> str:
        """Its name."""

    @property
    def modified_at(self) -> int:
        """When Lambda gave up."""


class FailedBatches(Protocol):
    """The on-failure destination."""

    def list(self, prefix: str) -> Iterable[Listed]:
        """List objects."""

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and its tag."""

    def delete(self, key: str) -> None:
        """Delete an object."""


_DAMAGES: Final = (msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading a document raises that is none of those that are written here."""


class Batch(NamedTuple):
    """Records that one version of a builder did not accept, and why Lambda gave up on them."""

    builder: str
    version: int
    condition: str
    records: Sequence[Envelope]


class Outcome(StrEnum):
    """What became of one batch in one run."""

    DRAINED = "drained"
    FAILING = "failing"
    GAVE_UP = "gave_up"
    DROPPED = "dropped"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Result:
    """One batch: its object, what became of it, its records, and those that were not accepted."""

    key: str
    outcome: Outcome
    builder: str = ""
    records: int = 0
    failed: int = 0


@dataclass(slots=True)
class Drained:
    """One run; `unavailable` is set if ingestion could not be called.

    `waiting` counts the failed batches found, `due` the objects of events that are to be tried again.
    """

    waiting: int = 0
    due: int = 0
    results: list[Result] = field(default_factory=list)
    unavailable: bool = False


@dataclass(frozen=True, slots=True)
class Drain:
    """The use case on its ports.

    `time_left_ms` tells how long this run may still take; `alias_of` names the alias behind the mapping with
    a given UUID, or None; `has_ended` says whether a version needs no records any more.
    """

    batches: FailedBatches
    ingestion: Ingestion
    quarantine: QuarantineStore
    alias_of: Callable[[str], str | None]
    time_left_ms: Callable[[], int]
    has_ended: Callable[[str, int], bool] = lambda _builder, _version: False

    def run(self, now: int) -> Drained:
        """Deliver what waits, the oldest first, each within its share of the time. `now` is ms UTC."""
        gave_up = list(self.batches.list(contract.PREFIX_FAILED))
        due = list(due_of(iter(self.batches.list(contract.PREFIX_RETRIES)), now))
        drained = Drained(waiting=len(gave_up), due=len(due))
        waiting: list[Listed] = sorted([*gave_up, *due], key=lambda one: one.modified_at)[:BATCHES_MAX]
        for done, listed in enumerate(waiting):
            spare_ms = self.time_left_ms() - CALL_MS_MAX
            if spare_ms <= 0:
                break
            stop_at_ms = CALL_MS_MAX + spare_ms - spare_ms // (len(waiting) - done)
            try:
                drained.results.append(self._drain(listed, now, stop_at_ms))
            except IngestionUnavailableError:
                drained.unavailable = True
                break
        return drained

    def _drain(self, listed: Listed, now: int, stop_at_ms: int) -> Result:
        found = self.batches.get(listed.key)
        if found is None:  # another run was quicker
            return Result(listed.key, Outcome.DRAINED)
        try:
            batch = read_batch(listed.key, found[0], self.alias_of)
        except UnreadableBatchError:
            return Result(listed.key, Outcome.UNREADABLE)
        try:
            left = self._deliver(batch, stop_at_ms)
        except VersionGoneError:
            left = batch.records
            if self.has_ended(batch.builder, batch.version):
                self.batches.delete(listed.key)
                return Result(listed.key, Outcome.DROPPED, batch.builder, len(left), len(left))
        outcome = Outcome.DRAINED
        if left and now - listed.modified_at < GIVE_UP_AFTER_MS:
            outcome = Outcome.FAILING
        elif left:
            self.quarantine.put([_given_up(batch, envelope) for envelope in left])
            outcome = Outcome.GAVE_UP
        if outcome is not Outcome.FAILING:
            self.batches.delete(listed.key)
        return Result(listed.key, outcome, batch.builder, len(batch.records), len(left))

    def _deliver(self, batch: Batch, stop_at_ms: int) -> Sequence[Envelope]:
        """Deliver a batch and return what was not accepted; at least one call is made.

        Raises VersionGoneError.
        """
        calls = 0

        def ingest(part: Sequence[Envelope]) -> int:
            nonlocal calls
            calls += 1
            return self.ingestion.ingest(batch.builder, batch.version, part)

        def may_go_on() -> bool:
            return calls == 0 or self.time_left_ms() > stop_at_ms

        left: Undelivered[Envelope] = deliver(ingest, batch.records, may_go_on)
        return [*left.failed, *left.untried]


def read_batch(key: str, data: bytes, alias_of: Callable[[str], str | None]) -> Batch:
    """Read an object of the on-failure destination; UnreadableBatchError if it is no batch of records."""
    if key.startswith(contract.PREFIX_RETRIES):
        return _read_retry(key, data)
    try:
        document = msgspec.json.decode(data)
        context = document["requestContext"]
        builder, version = _consumer(key, context["functionArn"], alias_of)
        payload = document["payload"]
        if isinstance(payload, str):
            payload = msgspec.json.decode(payload)
        batch = Batch(builder, version, str(context.get("condition", "")), payload["Records"])
        for envelope in batch.records:
            _given_up(batch, envelope)
    except _DAMAGES as error:
        raise UnreadableBatchError(key) from error
    return batch


def _read_retry(key: str, data: bytes) -> Batch:
    try:
        waiting = read_waiting(data)
        batch = Batch(waiting.builder, waiting.version, RETRIED, waiting.records)
        for envelope in batch.records:
            _given_up(batch, envelope)
    except _DAMAGES as error:
        raise UnreadableBatchError(key) from error
    return batch


def _consumer(key: str, function: str, alias_of: Callable[[str], str | None]) -> tuple[str, int]:
    """Name the builder and version that a batch was for: by the function's alias, else by the mapping.

    The UUID of the mapping is the first part of the key below Lambda's prefix.
    """
    try:
        return contract.version_of_alias(function.rpartition(":")[2])
    except ValueError:
        mapping = key.removeprefix(contract.PREFIX_FAILED).partition("/")[0]
        return contract.version_of_alias(alias_of(mapping) or "")


def _given_up(batch: Batch, envelope: Mapping[str, Any]) -> Entry:
    return entry_of(batch.builder, batch.version, envelope, FAILED_REPEATEDLY, batch.condition)
