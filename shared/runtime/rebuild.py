"""Composition of the states of a rebuild: what their functions need, and how these answer the state machine.

An answer has a `status`: done, again, waiting (`wait_s` seconds), or failed (for a `reason`). It carries no
data: what a worker found lies in objects, under names that the next state knows.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from shared import contract
from shared.adapters.registry import DynamoProgress, DynamoRegistry
from shared.adapters.s3 import S3Objects
from shared.app.frozen import DamagedDefinitionError, Frozen, thaw
from shared.app.rebuild.build import (
    Build,
    BuildEndedError,
    BuildFailedError,
    BuildName,
    ensure_building,
    ensure_same_release,
)
from shared.app.rebuild.give_up import give_up
from shared.app.rebuild.plan import Timing
from shared.app.registry import Version
from shared.core.compile import Builder
from shared.runtime import aws
from shared.runtime.log import LogCode, log, log_error
from shared.runtime.settings import read_settings

RESERVE_MS: Final = 60_000
"""How much of an invocation's time is left when its worker ends: it must still leave a checkpoint."""

Answer = dict[str, Any]


class StateFailedError(Exception):
    """A state failed, for an error of the named type, and is tried again.

    It stands in for that error: Lambda and Step Functions would keep its text, which may quote a personal
    value.
    """


class RebuildSettings(msgspec.Struct, frozen=True):
    """Of every function of a rebuild."""

    stage: str = msgspec.field(name=contract.ENV_STAGE)
    registry_table: str = msgspec.field(name=contract.ENV_REGISTRY_TABLE)
    archive_bucket: str = msgspec.field(name=contract.ENV_ARCHIVE_BUCKET)
    release: str = msgspec.field(name=contract.ENV_RELEASE)


class ScanSettings(RebuildSettings, frozen=True):
    """Of the function that reads the archive; `transform_function`, an ARN, runs the code of builders."""

    transform_function: str = msgspec.field(name=contract.ENV_TRANSFORM_FUNCTION)


class MarkerSettings(RebuildSettings, frozen=True):
    """Of the functions that put markers on the stream."""

    stream: str = msgspec.field(name=contract.ENV_STREAM)
    lead_s: int = msgspec.field(name=contract.ENV_REBUILD_LEAD_S)
    marker_delay_s: int = msgspec.field(name=contract.ENV_REBUILD_MARKER_DELAY_S)
    poll_s: int = msgspec.field(name=contract.ENV_REBUILD_POLL_S)

    @property
    def timing(self) -> Timing:
        """Return how long Plan and Follow wait on this stage."""
        return Timing(self.lead_s, self.marker_delay_s, self.poll_s)


class PlanSettings(MarkerSettings, frozen=True):
    """Of the function that plans, for `concurrency` workers at once at most."""

    concurrency: int = msgspec.field(name=contract.ENV_REBUILD_CONCURRENCY)


class ConsumerSettings(RebuildSettings, frozen=True):
    """Of the functions that remove a version's consumer; `ingest_function` is an ARN."""

    ingest_function: str = msgspec.field(name=contract.ENV_INGEST_FUNCTION)


class FollowSettings(MarkerSettings, frozen=True):
    """Of the function that starts a version's consumer, of which `consumer` is the JSON of its settings."""

    ingest_function: str = msgspec.field(name=contract.ENV_INGEST_FUNCTION)
    consumer: str = msgspec.field(name=contract.ENV_CONSUMER)


class TableSettings(RebuildSettings, frozen=True):
    """Of the functions that read or delete profiles."""

    profiles_table: str = msgspec.field(name=contract.ENV_PROFILES_TABLE)
    identifiers_table: str = msgspec.field(name=contract.ENV_IDENTIFIERS_TABLE)


class CleanUpSettings(TableSettings, frozen=True):
    """Of the function that deletes what a version has left, `write_units` per second, and its consumer.

    `ingest_function` is an ARN.
    """

    ingest_function: str = msgspec.field(name=contract.ENV_INGEST_FUNCTION)
    write_units: int = msgspec.field(name=contract.ENV_REBUILD_WRITE_UNITS)
    user_store: str = msgspec.field(name=contract.ENV_USER_STORE)


class ReplaySettings(TableSettings, frozen=True):
    """Of the function that writes profiles, for all of whose workers there are `write_units` per second.

    `functions_sandbox` is the ARN of what runs profile functions. Without it profiles are written without
    results, and due: then these are made as for any profile that has changed.
    """

    write_units: int = msgspec.field(name=contract.ENV_REBUILD_WRITE_UNITS)
    functions_sandbox: str = msgspec.field(name=contract.ENV_FUNCTIONS_SANDBOX, default="")

    def write_units_each(self, partitions: int, workers: int) -> float:
        """Return what one worker may write per second, as many as there are at once."""
        return self.write_units / max(1, min(workers, partitions))


S = TypeVar("S", bound=RebuildSettings)


class Outcome(msgspec.Struct, frozen=True):
    """How far a state is: what the state machine is told, and what the log is."""

    answer: Answer
    counted: msgspec.Struct


def done(counted: msgspec.Struct, **references: int | str) -> Outcome:
    """Say that a state is done; references are what later states are told."""
    return Outcome({"status": "done", **references}, counted)


def again(counted: msgspec.Struct, **references: int | str) -> Outcome:
    """Say that there is more to do than one call has time for."""
    return Outcome({"status": "again", **references}, counted)


def waiting(counted: msgspec.Struct, wait_s: int) -> Outcome:
    """Say that there is nothing to do for some seconds."""
    return Outcome({"status": "waiting", "wait_s": wait_s}, counted)


class Call(NamedTuple):
    """A call of a state: for which version, with what, and for how many seconds its worker may go on."""

    name: BuildName
    event: Mapping[str, Any]
    left_s: Callable[[], float]

    def may_go_on(self) -> bool:
        """Say whether there is time for more."""
        return self.left_s() > 0


Work = Callable[[Call], Outcome]


class Known(NamedTuple):
    """A definition, frozen and compiled."""

    frozen: Frozen
    builder: Builder


class Rebuild(Generic[S]):
    """What the functions of a rebuild have in common; made once per process."""

    def __init__(self, kind: type[S]) -> None:
        self.settings = read_settings(kind, os.environ)
        self.registry = DynamoRegistry(self.settings.registry_table)
        self.progress = DynamoProgress(self.settings.registry_table)
        self.objects = S3Objects(aws.client("s3"), self.settings.archive_bucket)
        self._definitions: dict[str, Known] = {}

    def ensure_building(self, name: BuildName) -> Version:
        """Return a version's row; BuildEndedError if it has ended, BuildFailedError if it is of others."""
        row = ensure_building(self.registry, name)
        ensure_same_release(row, self.settings.release)
        return row

    def build(self, name: BuildName) -> Build:
        """Return the build of a version, with its compiled definition; likewise."""
        row = self.ensure_building(name)
        return Build(self._known(row).builder, row.version, row.t0)

    def definition(self, name: BuildName) -> Known:
        """Return the definition of a version, whatever its status is."""
        row = self.registry.version(name.builder, name.version)
        if row is None:
            raise BuildFailedError(f"the registry has no version {name.version} of {name.builder}")
        return self._known(row)

    def answer(
        self, state: str, work: Work, event: Mapping[str, Any], context: Any, *, gives_up: bool = True
    ) -> Answer:
        """Do a state's work for the version that an event names, and return what the state machine is told.

        StateFailedError when trying again may help. When the last try fails the version says why, if the
        state `gives_up`: it has then failed, whatever becomes of the execution.
        """
        name = BuildName(event["builder"], event["version"])
        where = {"state": state, "builder": name.builder, "version": name.version}
        try:
            outcome = work(Call(name, event, _time_of(context)))
        except BuildEndedError as error:
            log(LogCode.BUILD_ENDED, **where, reason=str(error))
            return {"status": "failed", "reason": str(error)}
        except BuildFailedError as error:
            log(LogCode.BUILD_FAILED, **where, reason=str(error))
            self._give_up(state, name, str(error))
            return {"status": "failed", "reason": str(error)}
        except Exception as error:  # noqa: BLE001 - whatever it is, its text must not be printed
            kind = type(error).__qualname__
            log_error(LogCode.REBUILD_STATE_FAILED, error, **where, attempt=event["attempt"])
            if gives_up and event["attempt"] >= contract.REBUILD_RETRIES:
                self._give_up(state, name, f"{kind}, {contract.REBUILD_RETRIES + 1} times")
            raise StateFailedError(f"{state}: {kind}") from None
        log(
            LogCode.REBUILD_STATE_DONE,
            **where,
            **outcome.answer,
            counted=msgspec.to_builtins(outcome.counted),
        )
        return outcome.answer

    def _give_up(self, state: str, name: BuildName, reason: str) -> None:
        """Say in the registry why a version cannot be built."""
        try:
            give_up(self.registry, name, f"{state}: {reason}", now_ms())
        except Exception as error:  # noqa: BLE001 - likewise
            log_error(LogCode.REBUILD_STATE_FAILED, error, state=state, builder=name.builder)
            raise StateFailedError(f"{state}: {type(error).__qualname__}") from None

    def _known(self, row: Version) -> Known:
        """Return a version's definition; it is read once, since a version never changes."""
        if row.sha256 not in self._definitions:
            found = self.objects.get(row.definition_key)
            if found is None:
                raise BuildFailedError(f"the frozen definition is gone: {row.definition_key}")
            try:
                frozen = thaw(found[0], row.sha256, row.definition_key)
            except DamagedDefinitionError as error:
                raise BuildFailedError(str(error)) from None
            self._definitions[row.sha256] = Known(frozen, Builder(frozen.definition))
        return self._definitions[row.sha256]


def now_ms() -> int:
    """Return ms UTC."""
    return time.time_ns() // 1_000_000


def _time_of(context: Any) -> Callable[[], float]:
    """Say, of an invocation, for how many seconds its worker may go on."""
    remaining_ms: Callable[[], int] = context.get_remaining_time_in_millis
    return lambda: (remaining_ms() - RESERVE_MS) / 1000
