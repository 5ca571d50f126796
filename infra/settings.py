"""Settings of one stage: defaults, under cdk.json's `stages`, under `cdk ... -c name=value`."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from aws_cdk import RemovalPolicy
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from shared import contract

DEVELOPMENT_STAGE: Final = "dev"
CONTEXT_STAGES: Final = "stages"
DIGITS_MAX: Final = 18
"""More than any setting has; Python refuses to read thousands of them."""


def _number(text: Any) -> Any:
    """Read a number that the command line gives as text; the type that follows judges the rest."""
    return int(text) if str(text).isdecimal() and len(str(text)) <= DIGITS_MAX else text


LogRetentionDays = Annotated[
    Literal[1, 3, 7, 14, 30, 60, 90, 180, 365, 731, 1827, 3653], BeforeValidator(_number)
]
"""CloudWatch Logs keeps only for certain numbers of days."""


class SettingsError(ValueError):
    """One or more settings are wrong; the message names each and says what is allowed."""


class Settings(BaseModel):
    """What may differ between stages; docs/settings.md describes each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,15}$")] = DEVELOPMENT_STAGE
    target: Literal["aws", "local"] = "aws"
    stream_mode: Literal["on_demand", "provisioned"] = "on_demand"
    shards: Annotated[int, Field(ge=1, le=500)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 1000
    window_s: Annotated[int, Field(ge=0, le=300)] = 5
    parallelization: Annotated[int, Field(ge=1, le=10)] = 1
    retries: Annotated[int, Field(ge=0, le=10_000)] = 5
    record_age_h: Annotated[int, Field(ge=1, le=contract.RECORD_AGE_H_MAX)] = contract.RECORD_AGE_H_MAX
    memory_mb: Annotated[int, Field(ge=256, le=10_240)] = 1769
    ingest_concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    archive_window_s: Annotated[int, Field(ge=0, le=300)] = 60
    archive_concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    rebuild_concurrency: Annotated[int, Field(ge=1, le=1000)] = 50
    rebuild_write_units: Annotated[int, Field(ge=25, le=1_000_000)] = 4000
    rebuild_memory_mb: Annotated[int, Field(ge=512, le=10_240)] = 1769
    rebuild_link_memory_mb: Annotated[int, Field(ge=512, le=10_240)] = 3008
    rebuild_lead_s: Annotated[int, Field(ge=1, le=600)] = 60
    rebuild_marker_delay_s: Annotated[int, Field(ge=0, le=600)] = 120
    rebuild_poll_s: Annotated[int, Field(ge=1, le=300)] = 15
    cleanup_grace_h: Annotated[int, Field(ge=0, le=168)] = 24
    functions_concurrency: Annotated[int, Field(ge=2, le=1000)] = 20
    functions_attempts: Annotated[int, Field(ge=1, le=20)] = 6
    functions_retry_s: Annotated[int, Field(ge=1, le=900)] = 30
    functions_memory_mb: Annotated[int, Field(ge=512, le=10_240)] = 2048
    archive_retention: Literal["forever"] | PositiveInt = "forever"
    log_retention_days: LogRetentionDays = 90
    alarm_email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")] | None = None

    @property
    def is_development(self) -> bool:
        """Say whether the stage may be destroyed with all it holds."""
        return self.stage == DEVELOPMENT_STAGE

    @property
    def removal_policy(self) -> RemovalPolicy:
        """Say what becomes of what holds data when the stack goes."""
        return RemovalPolicy.DESTROY if self.is_development else RemovalPolicy.RETAIN

    @property
    def archive_days(self) -> int | None:
        """How long the archive is kept; None means for good."""
        return None if self.archive_retention == "forever" else self.archive_retention

    @model_validator(mode="before")
    @classmethod
    def _none_is_true_or_false(cls, values: dict[str, Any]) -> dict[str, Any]:
        wrong = [name for name, value in values.items() if isinstance(value, bool)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: a setting is a number or a text, never true or false")
        return values

    @model_validator(mode="before")
    @classmethod
    def _shards_mean_provisioned(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("shards") is not None:
            return {"stream_mode": "provisioned", **values}
        if values.get("stream_mode") == "provisioned":
            return {**values, "shards": 1}
        return values

    @model_validator(mode="after")
    def _on_demand_has_no_shards(self) -> Self:
        if self.stream_mode == "on_demand" and self.shards is not None:
            raise ValueError("shards: an on_demand stream has none to set; leave it out, or use provisioned")
        return self


def read_settings(context: Mapping[str, Any]) -> Settings:
    """Read the settings of the stage that the context names; SettingsError lists all that is wrong."""
    given = {name: value for name, value in context.items() if _is_ours(name)}
    stages = given.pop(CONTEXT_STAGES, {})
    stage = str(given.get("stage", DEVELOPMENT_STAGE))
    try:
        return Settings.model_validate({**_of_stage(stages, stage), **given})
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def _of_stage(stages: Any, stage: str) -> Mapping[str, Any]:
    """Return what cdk.json says of a stage; SettingsError if it says nothing that can be read."""
    if not isinstance(stages, Mapping):
        raise SettingsError(f"{CONTEXT_STAGES}: must be a mapping, of stages to their settings")
    settings = stages.get(stage, {})
    if not isinstance(settings, Mapping):
        raise SettingsError(f"{CONTEXT_STAGES}.{stage}: must be a mapping of settings")
    if "stage" in settings:
        raise SettingsError(f"{CONTEXT_STAGES}.{stage}: a stage cannot be another one; leave `stage` out")
    return settings


def _is_ours(name: str) -> bool:
    """Tell Kith's context from CDK's own, whose names carry `:`, `@` or `-`."""
    return re.fullmatch(r"[a-z][a-z_]*", name) is not None


def _explain(error: ValidationError) -> str:
    return "\n".join(dict.fromkeys(_complaint(dict(detail)) for detail in error.errors()))


def _complaint(detail: dict[str, Any]) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else ""
    match detail["type"]:
        case "extra_forbidden":
            return f"{name}: no such setting; there are {', '.join(Settings.model_fields)}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            return f"{name} = {detail['input']}: {detail['msg']}"
