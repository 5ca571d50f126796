"""Publishes the bundled builders when the stack is deployed: a CloudFormation custom resource."""

import os
import time
from pathlib import Path
from typing import Any, Final

from shared import contract
from shared.adapters.builder_folders import read_builder_folders
from shared.adapters.cloudformation import answer
from shared.adapters.lambda_ import LambdaConsumers
from shared.adapters.registry import DynamoRegistry
from shared.adapters.s3 import S3Objects
from shared.app.deploy import Deployer, Outcome
from shared.app.folders import BrokenBuildersError
from shared.runtime import aws
from shared.runtime.log import LogCode, log, log_error, logger
from shared.runtime.settings import PublishSettings, read_consumer, read_settings

PHYSICAL_ID: Final = "kith-builders"
"""Always the same: another one would make CloudFormation delete the old one, and its consumers."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _context: Any) -> None:
    """Do what the request says, and tell CloudFormation how it went, whatever happens."""
    name = event.get("PhysicalResourceId", PHYSICAL_ID)
    try:
        data = _remove() if event["RequestType"] == "Delete" else _deploy()
    except BrokenBuildersError as error:
        log(LogCode.BUILDERS_BROKEN, problems=str(error).splitlines())
        answer(event, "FAILED", name, f"The builders are broken; nothing was changed:\n{error}")
    except Exception as error:  # noqa: BLE001 - without an answer the stack would hang for an hour
        log_error(LogCode.DEPLOY_FAILED, error)
        answer(event, "FAILED", name, f"{type(error).__name__}: {error}")
    else:
        answer(event, "SUCCESS", name, data=data)
    log(LogCode.DEPLOY_ANSWERED, request=event.get("RequestType"))


def _deploy() -> dict[str, str]:
    settings = read_settings(PublishSettings, os.environ)
    deployer = Deployer(
        DynamoRegistry(settings.registry_table),
        S3Objects(aws.client("s3"), settings.archive_bucket),
        LambdaConsumers(aws.client("lambda"), settings.ingest_function),
    )
    folders = read_builder_folders(Path(os.environ.get("LAMBDA_TASK_ROOT", ".")) / contract.BUNDLED_BUILDERS)
    outcomes = deployer.deploy(folders, read_consumer(settings.consumer), time.time_ns() // 1_000_000)
    for builder, found in outcomes.items():
        for outcome in found:
            line = LogCode.BUILDER_GONE if outcome is Outcome.GONE else LogCode.BUILDER_DEPLOYED
            log(line, builder=builder, outcome=outcome.value)
    return {builder: ", ".join(found) for builder, found in outcomes.items()}


def _remove() -> dict[str, str]:
    settings = read_settings(PublishSettings, os.environ)
    removed = LambdaConsumers(aws.client("lambda"), settings.ingest_function).remove_all()
    log(LogCode.CONSUMERS_REMOVED, aliases=removed)
    return {"removed": ", ".join(removed)}
