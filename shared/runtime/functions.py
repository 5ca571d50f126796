"""Composition of the runs of profile functions: what a version needs is made when it is first asked for."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final

from shared import contract
from shared.adapters.clock import SystemClock
from shared.adapters.definitions import KEPT_MAX, Definitions
from shared.adapters.dynamo.client import dynamo_client
from shared.adapters.dynamo.store import DynamoStore
from shared.adapters.function_errors import S3FunctionErrors
from shared.adapters.lru import Lru
from shared.adapters.s3 import S3Objects
from shared.adapters.sqs import SqsQueue
from shared.app.functions.deliver import BuildingError, Deliver, Delivery, Message
from shared.app.functions.failing import Backoff
from shared.app.functions.run import Became, Runs
from shared.app.registry import Status
from shared.core.compile import Builder
from shared.core.definition import debounce_s
from shared.runtime import aws
from shared.runtime.settings import RunSettings, read_settings
from shared.runtime.transformation import lambda_profile_function

WAITING: Final = frozenset({Became.POSTPONED, Became.RESTING})
"""What becomes of messages that are not done with: they come again, or others in their place."""
RUN_AT_ONCE: Final = 10
"""As many as the queue gives in one batch: none waits for another."""
STATUS_S: Final = 30
"""For how long the status of a version is taken for granted: a late run does no harm."""
ENDED: Final = frozenset({Status.RETIRED, Status.FAILED, None})


class Functions:
    """Everything that one process needs to have profile functions run."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._clock = SystemClock()
        self._dynamodb = dynamo_client()
        s3 = aws.client("s3", read_timeout_s=10)
        self._definitions = Definitions(self._dynamodb, s3, settings.registry_table, settings.archive_bucket)
        self._backoff = Backoff(settings.attempts, settings.retry_s)
        self._deliver = Deliver(
            self._runs_of,
            SqsQueue(aws.client("sqs"), settings.functions_queue),
            S3FunctionErrors(S3Objects(s3, settings.archive_bucket)),
            self._backoff,
            self._clock.now_us,
        )
        self._pool = ThreadPoolExecutor(RUN_AT_ONCE, "kith-run")
        self._lock = Lock()
        self._runs: Lru[tuple[str, int], Runs] = Lru(KEPT_MAX)
        self._ended: dict[tuple[str, int], tuple[float, bool]] = {}

    def take(self, records: Iterable[dict[str, Any]]) -> list[Delivery]:
        """Deal with a batch of the queue, all of it at once."""
        return list(self._pool.map(self._deliver.take, map(message_of, records)))

    def _runs_of(self, builder: str, version: int) -> Runs | None:
        with self._lock:
            if self._has_ended(builder, version):
                return None
            runs = self._runs.get((builder, version))
            if runs is None and (runs := self._compose(builder, version)) is not None:
                self._runs.put((builder, version), runs)
            return runs

    def _has_ended(self, builder: str, version: int) -> bool:
        now_s = time.monotonic()
        read_s, ended = self._ended.get((builder, version), (-STATUS_S, False))
        if now_s - read_s >= STATUS_S:
            status = self._definitions.status(builder, version)
            if status == Status.BUILDING:  # not taken for granted: it is active at any moment
                raise BuildingError
            ended = status in ENDED
            self._ended[builder, version] = now_s, ended
        return ended

    def _compose(self, builder: str, version: int) -> Runs | None:
        """Return the runs of a version; None if it has no profile function."""
        frozen = self._definitions.load(builder, version).frozen
        bucket = self._settings.archive_bucket
        function = lambda_profile_function(frozen, version, self._settings.sandbox, bucket)
        if function is None:
            return None
        compiled = Builder(frozen.definition)
        store = DynamoStore(
            self._dynamodb,
            compiled,
            version,
            self._settings.profiles_table,
            self._settings.identifiers_table,
            clock=self._clock,
            cache=False,
        )
        return Runs(compiled, debounce_s(frozen.definition), store, function, self._clock, self._backoff)


def functions() -> Functions:
    """Compose the runs from the environment; SettingsError if it is incomplete."""
    return Functions(read_settings(RunSettings, os.environ))


def message_of(record: dict[str, Any]) -> Message:
    """Read a record as Lambda delivers it from a queue."""
    received = int(record["attributes"]["ApproximateReceiveCount"])
    return Message(record["messageId"], record["receiptHandle"], record["body"], received)


def metrics_of(deliveries: Sequence[Delivery]) -> dict[str, dict[str, float]]:
    """Return the metrics of a batch by builder, by name."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    ages: dict[str, int] = defaultdict(int)
    for one in deliveries:
        if one.due is None:
            continue
        counts = found[one.due.builder]
        if one.failure is not None:
            counts[contract.METRIC_FUNCTIONS_FAILED] += 1
            if not one.again:
                counts[contract.METRIC_FUNCTIONS_QUARANTINED] += 1
                counts[f"{contract.METRIC_FUNCTIONS_QUARANTINED}.{one.failure.reason}"] += 1
        elif one.became is Became.WRITTEN:
            counts[contract.METRIC_FUNCTIONS_RUN] += 1
            if one.left_out:
                counts[contract.METRIC_VALUES_SET_ASIDE] += one.left_out
            ages[one.due.builder] = max(ages[one.due.builder], one.age_ms)
        elif one.became is not None and one.became not in WAITING:
            counts[contract.METRIC_FUNCTIONS_DROPPED] += 1
            counts[f"{contract.METRIC_FUNCTIONS_DROPPED}.{one.became.value}"] += 1
    return {
        builder: {**counts, contract.METRIC_FUNCTION_AGE: ages[builder]} for builder, counts in found.items()
    }
