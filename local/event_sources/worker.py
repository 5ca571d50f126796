"""The loop that carries out what the lanes of one shard decide."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from uuid import uuid4

from local.event_sources.failure import failure_document, failure_key
from local.event_sources.lane import Discard, Invoke, Lane, Outcome
from local.event_sources.ports import Checkpoints, Clock, FailureDestination, Invoker, PortError, ShardReader
from local.event_sources.records import event_of
from local.event_sources.settings import Settings
from local.event_sources.shard import Checkpoint, Shard

POLL_MS_MIN = 200
POLL_MS_MAX = 1000
"""An idle shard is polled less and less often, at worst as often as AWS does it."""

READ_RECORDS_MAX = 10_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside of a worker."""

    invoker: Invoker
    destination: FailureDestination
    checkpoints: Checkpoints
    clock: Clock


class ShardWorker:
    """Reads one shard, invokes the function lane by lane, and keeps the checkpoint.

    `step` does everything that is due and returns; `run` calls it until told to stop.
    """

    def __init__(
        self, settings: Settings, shard_id: str, checkpoint: Checkpoint, reader: ShardReader, ports: Ports
    ) -> None:
        self.shard_id = shard_id
        self.shard = Shard(settings, checkpoint)
        self._settings = settings
        self._reader = reader
        self._ports = ports
        self._saved = checkpoint
        self._flights: dict[int, Future[Callable[[int], None]]] = {}
        self._next_read_ms = 0
        self._poll_ms = POLL_MS_MIN
        self._wake = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Work until the shard is drained or `stop` is set; invocations in flight are awaited."""
        with ThreadPoolExecutor(len(self.shard.lanes), f"lane-{self.shard_id}") as executor:
            while not stop.is_set():
                pause_ms = self.step(executor)
                if self.shard.drained:
                    break
                self._wake.wait(pause_ms / 1000)
                self._wake.clear()
        self._land()

    def wake(self) -> None:
        """End a pause of `run` early."""
        self._wake.set()

    def step(self, executor: Executor) -> int:
        """Do all that is due now; returns after how many milliseconds to look again."""
        self._land()
        now_ms = self._ports.clock()
        if self.shard.has_room and now_ms >= self._next_read_ms:
            self._read(now_ms)
        waits = [self._advance(index, lane, now_ms, executor) for index, lane in enumerate(self.shard.lanes)]
        self._save()
        if self.shard.has_room:
            waits.append(self._next_read_ms - now_ms)
        return max(0, min([POLL_MS_MAX, *(wait for wait in waits if wait is not None)]))

    def _read(self, now_ms: int) -> None:
        try:
            reading = self._reader.read(self.shard.position, READ_RECORDS_MAX)
        except PortError as error:
            logger.warning("%s: reading failed, trying again: %s", self.shard_id, error)
            self._next_read_ms = now_ms + POLL_MS_MAX
            return
        self.shard.offer(reading.records, now_ms)
        if reading.closed:
            self.shard.close()
        # What was read may not be all there is; a shard that gave nothing is asked less often.
        self._poll_ms = POLL_MS_MIN if reading.records else min(POLL_MS_MAX, self._poll_ms * 5 // 4)
        self._next_read_ms = now_ms if len(reading.records) == READ_RECORDS_MAX else now_ms + self._poll_ms

    def _advance(self, index: int, lane: Lane, now_ms: int, executor: Executor) -> int | None:
        """Start what is due in one lane; returns the milliseconds until its next decision."""
        action = lane.next(now_ms)
        if isinstance(action, Invoke):
            self._flights[index] = executor.submit(self._invoke, lane, action)
        elif isinstance(action, Discard):
            self._flights[index] = executor.submit(self._discard, lane, action)
        else:
            return None if action is None else action.until_ms - now_ms
        self._flights[index].add_done_callback(lambda _: self._wake.set())
        return None

    def _invoke(self, lane: Lane, action: Invoke) -> Callable[[int], None]:
        records = action.batch.records
        event = event_of(records, self._settings, self.shard_id, self._role())
        outcome = self._ports.invoker.invoke(self._settings.function_arn, event)
        logger.info("%s: %d records: %s", self.shard_id, len(records), _in_words(outcome))
        return lambda now_ms: lane.settle(outcome, now_ms)

    def _discard(self, lane: Lane, action: Discard) -> Callable[[int], None]:
        now_ms = self._ports.clock()
        bucket = self._settings.failure_bucket
        logger.warning(
            "%s: %d records given up: %s", self.shard_id, len(action.batch.records), action.condition
        )
        if bucket is None:
            return lambda _: lane.discarded()
        key = failure_key(self._settings, self.shard_id, now_ms, str(uuid4()))
        document = failure_document(action, self._settings, self.shard_id, self._role(), now_ms)
        try:
            self._ports.destination.put(bucket, key, document)
        except PortError as error:
            logger.warning("%s: the failure destination failed, trying again: %s", self.shard_id, error)
            return lane.kept
        return lambda _: lane.discarded()

    def _role(self) -> str:
        try:
            return self._ports.invoker.role(self._settings.function_arn)
        except PortError:
            return ""

    def _land(self) -> None:
        """Report to the lanes how their finished invocations ended."""
        for index in [index for index, flight in self._flights.items() if flight.done()]:
            self._flights.pop(index).result()(self._ports.clock())
        self._save()

    def _save(self) -> None:
        checkpoint = self.shard.checkpoint()
        if checkpoint != self._saved:
            self._ports.checkpoints.save(self.shard_id, checkpoint)
            self._saved = checkpoint


def _in_words(outcome: Outcome) -> str:
    reason = getattr(outcome, "reason", None)
    if reason is not None:
        return f"not invoked ({reason})"
    return getattr(outcome, "error", None) or "invoked"
