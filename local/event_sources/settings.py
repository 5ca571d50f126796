"""What an event source mapping asks for, read from Lambda's own description of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from local.event_sources.filters import Filters, UnsupportedFilterError, read_filters

PositionKind = Literal["TRIM_HORIZON", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"]

KINESIS: Final = "kinesis"
DYNAMODB: Final = "dynamodb"
SERVICES: Final = frozenset({KINESIS, DYNAMODB})
"""The sources run here; mappings of other services stay with the engine."""

UNSUPPORTED: Final = ("TumblingWindowInSeconds",)


class UnsupportedMappingError(Exception):
    """The mapping asks for something that this runner would have to ignore."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a shard: a sequence number, or milliseconds UTC for AT_TIMESTAMP."""

    kind: PositionKind
    value: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """One mapping. `retries_max` and `age_ms_max` are None where AWS retries for ever."""

    uuid: str
    stream_arn: str
    function_arn: str
    enabled: bool = True
    batch_size: int = 100
    window_ms: int = 0
    parallelization: int = 1
    partial_failures: bool = False
    bisect: bool = False
    retries_max: int | None = None
    age_ms_max: int | None = None
    failure_bucket: str | None = None
    start: Position = Position("TRIM_HORIZON")
    filters: Filters = ()
    """What a record must be like to be delivered: like one of them, if there are any."""

    @property
    def service(self) -> str:
        """Name the service of the source."""
        return self.stream_arn.split(":")[2]


def service_of(mapping: Mapping[str, Any]) -> str:
    """Name the service that the mapping reads from, e.g. `kinesis`."""
    parts = str(mapping.get("EventSourceArn", "")).split(":")
    return parts[2] if len(parts) > 2 else ""  # noqa: PLR2004 - arn:partition:service


def read_settings(mapping: Mapping[str, Any]) -> Settings:
    """Read an item of ListEventSourceMappings; raises UnsupportedMappingError, never ignores a wish."""
    for name in UNSUPPORTED:
        if mapping.get(name):
            raise UnsupportedMappingError(f"{name} is not supported by the local cloud")
    return Settings(
        uuid=mapping["UUID"],
        stream_arn=mapping["EventSourceArn"],
        function_arn=mapping["FunctionArn"],
        enabled=mapping.get("State") in {"Enabled", "Enabling", "Creating", "Updating"},
        batch_size=int(mapping.get("BatchSize") or 100),
        window_ms=1000 * int(mapping.get("MaximumBatchingWindowInSeconds") or 0),
        parallelization=int(mapping.get("ParallelizationFactor") or 1),
        partial_failures="ReportBatchItemFailures" in (mapping.get("FunctionResponseTypes") or ()),
        bisect=bool(mapping.get("BisectBatchOnFunctionError")),
        retries_max=_limit(mapping.get("MaximumRetryAttempts")),
        age_ms_max=_limit(mapping.get("MaximumRecordAgeInSeconds"), unit=1000),
        failure_bucket=_failure_bucket(mapping),
        start=_start(mapping),
        filters=_filters(mapping),
    )


def _limit(value: Any, unit: int = 1) -> int | None:
    """AWS says -1, or nothing at all, for "no limit"."""
    return None if value is None or int(value) < 0 else int(value) * unit


def _failure_bucket(mapping: Mapping[str, Any]) -> str | None:
    destination = ((mapping.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
    if not destination:
        return None
    if not destination.startswith("arn:aws:s3:::"):
        raise UnsupportedMappingError("only S3 on-failure destinations are supported by the local cloud")
    return str(destination).removeprefix("arn:aws:s3:::")


def _filters(mapping: Mapping[str, Any]) -> Filters:
    criteria = mapping.get("FilterCriteria") or {}
    try:
        filters = read_filters(criteria)
    except UnsupportedFilterError as error:
        raise UnsupportedMappingError(f"the local cloud does not support {error}") from None
    if filters and service_of(mapping) != DYNAMODB:
        raise UnsupportedMappingError("only streams of tables are filtered by the local cloud")
    return filters


def _start(mapping: Mapping[str, Any]) -> Position:
    kind = mapping.get("StartingPosition", "TRIM_HORIZON")
    if kind == "TRIM_HORIZON":
        return Position("TRIM_HORIZON")
    if service_of(mapping) == DYNAMODB:
        raise UnsupportedMappingError("streams of tables are read from TRIM_HORIZON by the local cloud")
    # The engine keeps no StartingPositionTimestamp for mappings that CloudFormation makes.
    # Like LATEST, such a mapping starts when it was made: an instant, unlike the tip of a
    # shard, still means the same records after a restart.
    since = mapping.get("StartingPositionTimestamp") if kind == "AT_TIMESTAMP" else None
    return Position("AT_TIMESTAMP", str(_milliseconds(since or mapping["LastModified"])))


def _milliseconds(value: Any) -> int:
    if isinstance(value, datetime):
        return int(value.astimezone(UTC).timestamp() * 1000)
    return int(float(value) * 1000)
