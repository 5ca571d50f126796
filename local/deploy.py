"""Deploys this CDK app to a running engine, with the same `cdk bootstrap` and `cdk deploy` as to AWS."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import boto3

from local import processes
from local.engine import ACCESS_KEY, ACCOUNT, REGION, ROOT, SECRET_KEY, Endpoint

STAGE: Final = "local"
STACK: Final = f"kith-{STAGE}"
CDK: Final = ROOT / "node_modules" / ".bin" / "cdk"
CACHE: Final = ROOT / ".build" / "cdk"

CONTEXT: Final = {
    "target": "local",
    "stage": STAGE,
    # So that what works here works with more than one.
    "shards": "2",
    # To see events, and rebuilt versions, soon.
    "window_s": "0",
    "archive_window_s": "0",
    "rebuild_lead_s": "1",
    "rebuild_marker_delay_s": "0",
    "rebuild_poll_s": "1",
    "rebuild_concurrency": "2",
    "cleanup_grace_h": "0",
    "functions_attempts": "2",
    "functions_retry_s": "1",
}

SOURCES: Final = (
    *("app.py", "cdk.json", "requirements.txt", "package-lock.json", "local/deploy.py"),
    *("builders", "infra", "lambdas", "shared", "local/event_sources"),
)
"""What the deployed cloud is made of; when it changes, it is deployed again."""

COMMAND_S_MAX: Final = 300
CDK_STOP_S_MAX: Final = 5
OUTPUT_LINES_SHOWN: Final = 40


class DeployError(Exception):
    """A deployment failed; the message holds the end of its output."""


def environment(endpoint: Endpoint, folder: Path) -> dict[str, str]:
    """Give the environment for commands against the engine: nothing of the user's own AWS setup."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    nowhere = str(folder / "no-aws-config")
    return own | {
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "AWS_EC2_METADATA_DISABLED": "true",
        # CDK keeps its caches in the home folder otherwise, accounts of access keys among them.
        "CDK_HOME": str(CACHE),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(CACHE / "jsii"),
        "CI": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@cache
def client(endpoint: Endpoint, service: str) -> Any:
    """Give the boto3 client for a service of the engine; Any, because boto3 makes its methods at run time.

    To make one takes a tenth of a second: far longer than most calls.
    """
    return _session().client(service, endpoint_url=endpoint.url)  # type: ignore[call-overload]


@cache
def _session() -> boto3.Session:
    return boto3.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)


def bootstrap(endpoint: Endpoint, folder: Path) -> None:
    """Run `cdk bootstrap`; raises DeployError."""
    # From a folder without an app, which would be synthesised for nothing.
    _cdk(["bootstrap", f"aws://{ACCOUNT}/{REGION}"], endpoint, folder, working_folder=folder)


def deploy(endpoint: Endpoint, folder: Path) -> dict[str, str]:
    """Run `cdk deploy`, then set what the engine leaves out; returns the outputs of the stack.

    Raises DeployError.
    """
    outputs = folder / "outputs.json"
    outputs.unlink(missing_ok=True)
    arguments = ["deploy", STACK, "--require-approval", "never", "--progress", "events"]
    arguments += ["--outputs-file", str(outputs), "--output", str(folder / "cdk.out")]
    # The app runs with this very Python, wherever the command was started.
    arguments += ["--app", f"{sys.executable} app.py"]
    arguments += [part for name, value in CONTEXT.items() for part in ("-c", f"{name}={value}")]
    _cdk(arguments, endpoint, folder, working_folder=ROOT)
    template = json.loads((folder / "cdk.out" / f"{STACK}.template.json").read_text())
    set_ttl(client(endpoint, "cloudformation"), client(endpoint, "dynamodb"), template)
    return dict(json.loads(outputs.read_text())[STACK])


def set_ttl(cloudformation: Any, dynamodb: Any, template: Mapping[str, Any]) -> None:
    """Set the time to live of the template's tables, which the engine's CloudFormation leaves out."""
    wanted = {
        name: resource["Properties"]["TimeToLiveSpecification"]
        for name, resource in template["Resources"].items()
        if "TimeToLiveSpecification" in resource.get("Properties", {})
    }
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK)
    tables = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for page in pages
        for resource in page["StackResourceSummaries"]
    }
    for name, specification in wanted.items():
        table = tables[name]
        found = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        if found.get("AttributeName") != specification["AttributeName"]:
            dynamodb.update_time_to_live(
                TableName=table,
                TimeToLiveSpecification={"AttributeName": specification["AttributeName"], "Enabled": True},
            )


def fingerprint() -> str:
    """Digest all sources of the deployed cloud, by name and content."""
    digest = hashlib.sha256()
    for path in _source_files():
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _source_files() -> Iterator[Path]:
    for source in SOURCES:
        path = ROOT / source
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in files if file.is_file() and "__pycache__" not in file.parts)


def stop(folder: Path) -> bool:
    """End a cdk command that outlived whoever started it, and all its children; returns whether one ran."""
    return processes.stop(_cdk_file(folder), CDK_STOP_S_MAX)


def _cdk_file(folder: Path) -> Path:
    return folder / "cdk.process.json"


def _cdk(arguments: list[str], endpoint: Endpoint, folder: Path, *, working_folder: Path) -> None:
    log = folder / "deploy.log"
    with log.open("w") as output:
        command = subprocess.Popen(  # noqa: S603 - our own command
            [str(CDK), *arguments],
            cwd=working_folder,
            env=environment(endpoint, folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # to be ended with its children, and found again by the next command
        )
    processes.note(command.pid, _cdk_file(folder))
    try:
        code = command.wait(COMMAND_S_MAX)
    except subprocess.TimeoutExpired:
        code = -1
    finally:
        stop(folder)
        command.wait()
    if code:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-OUTPUT_LINES_SHOWN:])
        raise DeployError(f"cdk {arguments[0]} failed; the end of {log}:\n{end}")
