"""What each function reads from its environment, as typed values, checked once when it starts."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from shared import contract


class SettingsError(Exception):
    """Environment variables are missing or wrong; the message names all that are missing."""


class IngestSettings(msgspec.Struct, frozen=True):
    """Of the function that folds events into profiles; `transform_function` is an ARN."""

    stage: str = msgspec.field(name=contract.ENV_STAGE)
    profiles_table: str = msgspec.field(name=contract.ENV_PROFILES_TABLE)
    identifiers_table: str = msgspec.field(name=contract.ENV_IDENTIFIERS_TABLE)
    registry_table: str = msgspec.field(name=contract.ENV_REGISTRY_TABLE)
    archive_bucket: str = msgspec.field(name=contract.ENV_ARCHIVE_BUCKET)
    transform_function: str = msgspec.field(name=contract.ENV_TRANSFORM_FUNCTION)


class ArchiveSettings(msgspec.Struct, frozen=True):
    """Of the function that archives the stream."""

    stage: str = msgspec.field(name=contract.ENV_STAGE)
    archive_bucket: str = msgspec.field(name=contract.ENV_ARCHIVE_BUCKET)


class DrainSettings(msgspec.Struct, frozen=True):
    """Of the function that drains the on-failure destination; `ingest_function` is an ARN."""

    stage: str = msgspec.field(name=contract.ENV_STAGE)
    registry_table: str = msgspec.field(name=contract.ENV_REGISTRY_TABLE)
    archive_bucket: str = msgspec.field(name=contract.ENV_ARCHIVE_BUCKET)
    ingest_function: str = msgspec.field(name=contract.ENV_INGEST_FUNCTION)


class DispatchSettings(msgspec.Struct, frozen=True):
    """Of the function that puts due profiles on the queue, of which `functions_queue` is the URL."""

    stage: str = msgspec.field(name=contract.ENV_STAGE)
    functions_queue: str = msgspec.field(name=contract.ENV_FUNCTIONS_QUEUE)


class RunSettings(msgspec.Struct, frozen=True):
    """Of the function that has profile functions run; `sandbox` is the ARN of the one that runs them.

    A run that fails is tried `attempts` times, the second time after `retry_s` seconds.
    """

    stage: str = msgspec.field(name=contract.ENV_STAGE)
    profiles_table: str = msgspec.field(name=contract.ENV_PROFILES_TABLE)
    identifiers_table: str = msgspec.field(name=contract.ENV_IDENTIFIERS_TABLE)
    registry_table: str = msgspec.field(name=contract.ENV_REGISTRY_TABLE)
    archive_bucket: str = msgspec.field(name=contract.ENV_ARCHIVE_BUCKET)
    functions_queue: str = msgspec.field(name=contract.ENV_FUNCTIONS_QUEUE)
    sandbox: str = msgspec.field(name=contract.ENV_FUNCTIONS_SANDBOX)
    attempts: int = msgspec.field(name=contract.ENV_FUNCTIONS_ATTEMPTS)
    retry_s: int = msgspec.field(name=contract.ENV_FUNCTIONS_RETRY_S)


class PublishSettings(msgspec.Struct, frozen=True):
    """Of the function that publishes builders.

    `ingest_function` is an ARN, `consumer` the JSON of a consumer's settings.
    """

    stage: str = msgspec.field(name=contract.ENV_STAGE)
    registry_table: str = msgspec.field(name=contract.ENV_REGISTRY_TABLE)
    archive_bucket: str = msgspec.field(name=contract.ENV_ARCHIVE_BUCKET)
    ingest_function: str = msgspec.field(name=contract.ENV_INGEST_FUNCTION)
    consumer: str = msgspec.field(name=contract.ENV_CONSUMER)


S = TypeVar("S", bound=msgspec.Struct)


def read_settings(kind: type[S], environment: Mapping[str, str]) -> S:
    """Read one function's settings; SettingsError if any is missing, blank or of the wrong type."""
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    given = {name: environment[name] for name in names if environment.get(name)}
    missing = [
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if field.required and field.encode_name not in given
    ]
    if missing:
        raise SettingsError(f"environment variables are missing: {', '.join(missing)}")
    try:
        return msgspec.convert(given, kind, strict=False)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise SettingsError(str(error)) from error


def read_consumer(text: str) -> dict[str, Any]:
    """Read a consumer's settings: the arguments of CreateEventSourceMapping, all but `FunctionName`.

    SettingsError if they would retry records past half the dedup window.
    """
    try:
        consumer = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise SettingsError(f"{contract.ENV_CONSUMER}: {error}") from error
    age_s = consumer.get("MaximumRecordAgeInSeconds", -1)
    if type(age_s) is not int or not 0 < age_s <= contract.RECORD_AGE_H_MAX * 3600:
        raise SettingsError(
            f"{contract.ENV_CONSUMER}: MaximumRecordAgeInSeconds must be at most "
            f"{contract.RECORD_AGE_H_MAX} hours: duplicates are known for {contract.DEDUP_WINDOW_H}"
        )
    return consumer
