"""The ingestion function on AWS Lambda: its aliases, their event source mappings, and calls to it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from shared import contract
from shared.app.delivery import Envelope, IngestionUnavailableError, VersionGoneError

SETTLE_WAITS_S: Final = (1.0, 2.0, 4.0, 8.0, *(10.0,) * 5)
"""A mapping takes some seconds to settle after each change; until then Lambda refuses the next."""
SETTLE_S_MAX: Final = 420.0
"""What all waits of one deploy may take together: its function must still have the time to answer."""

_BUSY: Final = frozenset({"ResourceInUseException", "ResourceConflictException"})
"""Lambda's answers while a mapping is still being made, changed or deleted."""
_CREATION: Final = "CreateEventSourceMapping"
_TOO_EARLY: Final = frozenset({"InvalidParameterValueException", "AccessDeniedException"})
"""Its answers to the creation of a mapping, too, while IAM still spreads the word of roles just made."""

_FIXED: Final = frozenset({"EventSourceArn", "StartingPosition", "StartingPositionTimestamp", "Tags"})
"""What only the creation of a mapping sets."""
_UNCOMPARED: Final = _FIXED | {"Enabled"}
"""Whoever disabled a mapping meant it: a change of settings does not enable it again."""


class LambdaConsumers:
    """The `Consumers` port; `function` is the ingestion function's ARN without an alias."""

    def __init__(self, client: Any, function: str, wait: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._function = function
        self._wait = wait
        self._left_s = SETTLE_S_MAX

    def ensure_alias(self, builder: str, version: int) -> None:
        """Make the version's alias, unless there is one. It points to the newest code."""
        name = contract.version_alias(builder, version)
        try:
            self._client.create_alias(FunctionName=self._function, Name=name, FunctionVersion="$LATEST")
        except self._client.exceptions.ResourceConflictException:
            return

    def ensure_mapping(self, builder: str, version: int, t0: int, consumer: Mapping[str, Any]) -> None:
        """Make the version's mapping, from T0 (ms UTC) on, or change its settings to these."""
        alias = self._arn(contract.version_alias(builder, version))
        self._settled(lambda: self._ensure_mapping(alias, t0, consumer))

    def remove(self, builder: str, version: int) -> None:
        """Remove the version's mapping, then its alias, as far as there are any."""
        with suppress(self._client.exceptions.ResourceNotFoundException):
            self._remove(contract.version_alias(builder, version))

    def remove_all(self) -> list[str]:
        """Remove all mappings, then all aliases; return the names of the aliases."""
        names = [
            alias["Name"]
            for page in self._client.get_paginator("list_aliases").paginate(FunctionName=self._function)
            for alias in page["Aliases"]
        ]
        for name in names:
            self._remove(name)
        return names

    def _remove(self, alias: str) -> None:
        for mapping in self._mappings(self._arn(alias)):
            self._settled(lambda uuid=mapping["UUID"]: self._delete_mapping(uuid))  # type: ignore[misc]
        self._client.delete_alias(FunctionName=self._function, Name=alias)

    def _ensure_mapping(self, alias: str, t0: int, consumer: Mapping[str, Any]) -> None:
        stream = consumer["EventSourceArn"]
        found = [one for one in self._mappings(alias) if one["EventSourceArn"] == stream]
        if not found:
            settings = {**consumer, "FunctionName": alias, **_start(t0)}
            self._client.create_event_source_mapping(**settings)
            return
        changed = {
            name: value
            for name, value in consumer.items()
            if name not in _UNCOMPARED and not _says(found[0].get(name), value)
        }
        if changed:
            self._client.update_event_source_mapping(UUID=found[0]["UUID"], **changed)

    def _delete_mapping(self, uuid: str) -> None:
        try:
            self._client.delete_event_source_mapping(UUID=uuid)
        except self._client.exceptions.ResourceNotFoundException:
            return

    def _mappings(self, alias: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_event_source_mappings").paginate(FunctionName=alias)
        for page in pages:
            for one in page["EventSourceMappings"]:
                if one["FunctionArn"] == alias and one.get("State") != "Deleting":
                    yield one

    def _arn(self, alias: str) -> str:
        return f"{self._function}:{alias}"

    def _settled(self, change: Callable[[], None]) -> None:
        """Repeat a change that Lambda refuses for now, for about a minute, as long as time is left."""
        for wait_s in SETTLE_WAITS_S:
            try:
                return change()
            except ClientError as error:
                if not _passes(error) or wait_s > self._left_s:
                    raise
            self._left_s -= wait_s
            self._wait(wait_s)
        return change()


def free_concurrency(client: Any) -> int:
    """Return how many functions may run at once beside those that have reserved their own share."""
    limit = client.get_account_settings()["AccountLimit"]
    return int(limit["UnreservedConcurrentExecutions"])


class LambdaIngestion:
    """The `Ingestion` port: calls the ingestion function as the stream does, and waits for its answer."""

    def __init__(self, client: Any, function: str) -> None:
        self._client = client
        self._function = function

    def ingest(self, builder: str, version: int, records: Sequence[Envelope]) -> int:
        """Have one version ingest records, and return how many it accepted, from the first one on."""
        errors = self._client.exceptions
        try:
            answer = self._client.invoke(
                FunctionName=self._function,
                Qualifier=contract.version_alias(builder, version),
                Payload=msgspec.json.encode({"Records": records}),
            )
            body = answer["Payload"].read()
        except errors.ResourceNotFoundException as error:
            raise VersionGoneError(f"version {version} of {builder} consumes no more") from error
        except errors.RequestTooLargeException:
            return 0
        except (BotoCoreError, ClientError) as error:
            raise IngestionUnavailableError(type(error).__name__) from error
        return 0 if answer.get("FunctionError") else _accepted(msgspec.json.decode(body), records)

    def alias_of(self, mapping: str) -> str | None:
        """Name the alias that an event source mapping calls; None if that cannot be told."""
        try:
            found = self._client.get_event_source_mapping(UUID=mapping)
        except (BotoCoreError, ClientError):
            return None
        alias = found["FunctionArn"].removeprefix(f"{self._function}:")
        return None if alias == found["FunctionArn"] else alias


def _accepted(answer: Any, records: Sequence[Envelope]) -> int:
    """Count the records before the first one that the answer names as failed, as the stream would."""
    failures = (answer or {}).get("batchItemFailures") or []
    if not failures:
        return len(records)
    failed = {failure.get("itemIdentifier") for failure in failures}
    numbers = (record["kinesis"]["sequenceNumber"] for record in records)
    return next((index for index, number in enumerate(numbers) if number in failed), 0)


def _passes(error: ClientError) -> bool:
    """Say whether Lambda may accept the same call a little later."""
    code = error.response["Error"]["Code"]
    return code in _BUSY or (error.operation_name == _CREATION and code in _TOO_EARLY)


def _start(t0: int) -> dict[str, Any]:
    if t0 == 0:
        return {"StartingPosition": "TRIM_HORIZON"}
    return {
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": datetime.fromtimestamp(t0 / 1000, tz=UTC),
    }


def _says(found: Any, wanted: Any) -> bool:
    """Compare settings; Lambda's answers may hold more than was asked for."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            _says(found.get(name), value) for name, value in wanted.items()
        )
    return bool(found == wanted)
