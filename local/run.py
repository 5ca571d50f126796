"""`make run`: the local cloud from nothing to profiles, and quick when there is nothing to do."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from local import deploy
from local.cloud import BusyError, LocalCloud
from local.deploy import DeployError
from local.drafts import drafts
from local.engine import ROOT, EngineError
from shared import contract

KITH: Final = Path(sys.executable).with_name("kith")
SAMPLES: Final = ROOT / "builders" / "customers" / "samples" / "events.jsonl"
PROFILES_SHOWN: Final = 3
FOLD_S_MAX: Final = 120
POLL_S: Final = 0.3
COMMAND_S_MAX: Final = 300


class RunError(Exception):
    """A step failed; the message says which and where to look."""


def main() -> int:
    """Bring the local cloud up, and show profiles if it is a new one; 0, or 1 with a message on stderr."""
    console = Console(highlight=False, soft_wrap=True)
    cloud = LocalCloud()
    try:
        with cloud.locked():
            return _run(cloud, console)
    except (BusyError, EngineError, DeployError, RunError) as error:
        sys.stderr.write(f"kith: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("kith: interrupted; make run goes on from here, make stop ends what runs\n")
        return 130


def _run(cloud: LocalCloud, console: Console) -> int:
    started_s = time.monotonic()
    cloud.start(lambda line: console.print(f"{line} ..."))
    _tell_of_drafts(cloud, console)
    if not cloud.sampled_file.exists():
        _step(console, f"Sending the sample stream: {SAMPLES.relative_to(ROOT)}")
        _kith(cloud, "send", str(SAMPLES))
        _step(console, "Folding events into profiles")
        _wait_until_folded(cloud)
        cloud.sampled_file.touch()
    for identifier in _some_identifiers(cloud):
        _step(console, f"kith get {' '.join(identifier)}")
        _kith(cloud, "get", *identifier)
    _farewell(cloud, console, time.monotonic() - started_s)
    return 0


def _tell_of_drafts(cloud: LocalCloud, console: Console) -> None:
    """Say which builders' folders differ from what builds the profiles: a deploy does not publish changes."""
    table = cloud.connection().outputs[contract.OUTPUT_REGISTRY_TABLE]
    for builder, version in drafts(_dynamodb(cloud), table):
        console.print(f"{builder}: changed; kept as a draft, version {version} goes on until it is published")


def _dynamodb(cloud: LocalCloud) -> Any:
    endpoint = cloud.engine.find()
    if endpoint is None:
        raise RunError(f"the local engine ended; see {cloud.engine.log}")
    return deploy.client(endpoint, "dynamodb")


def _step(console: Console, line: str) -> None:
    console.print()
    console.print(Text(line, style="bold"))


def _kith(cloud: LocalCloud, *arguments: str) -> None:
    """Run Kith's own command line against this cloud, its output shown as it comes."""
    sys.stdout.flush()
    try:
        code = subprocess.run(  # noqa: S603 - our own command
            [str(KITH), *arguments], cwd=ROOT, env=cloud.environment(), timeout=COMMAND_S_MAX, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        raise RunError(f"kith {arguments[0]} did not end within {COMMAND_S_MAX} seconds") from None
    if code:
        raise RunError(f"kith {arguments[0]} failed; see the logs in {cloud.folder}")


def _wait_until_folded(cloud: LocalCloud) -> None:
    deadline_s = time.monotonic() + FOLD_S_MAX
    while not cloud.is_caught_up():
        if time.monotonic() > deadline_s:
            raise RunError(
                f"the events were not folded within {FOLD_S_MAX} seconds; see the logs in {cloud.folder}; "
                f"the end of {cloud.engine.log}:\n{cloud.engine.log_end()}"
            )
        time.sleep(POLL_S)


def _some_identifiers(cloud: LocalCloud) -> list[tuple[str, str]]:
    """Choose (type, value) of a few profiles, those with the most kinds of identifiers first."""
    table = cloud.connection().outputs[contract.OUTPUT_PROFILES_TABLE]
    pages = (
        _dynamodb(cloud)
        .get_paginator("scan")
        .paginate(
            TableName=table,
            FilterExpression="#sk = :profile",
            ExpressionAttributeNames={"#sk": contract.PROFILES_SK},
            ExpressionAttributeValues={":profile": {"S": contract.SK_PROFILE}},
            ProjectionExpression="identifiers",
            PaginationConfig={"MaxItems": 500},
        )
    )
    found = [
        identifiers for page in pages for item in page["Items"] if (identifiers := list(_identifiers(item)))
    ]
    richest = sorted(found, key=lambda identifiers: (-len({kind for kind, _ in identifiers}), identifiers))
    return [identifiers[0] for identifiers in richest[:PROFILES_SHOWN]]


def _identifiers(item: dict[str, Any]) -> Iterator[tuple[str, str]]:
    found = item.get("identifiers", {"M": {}})  # what a merged profile leaves has none
    for kind, values in sorted(found["M"].items(), reverse=True):
        for value in values.get("SS") or [one["S"] for one in values["L"]]:
            yield kind, value


def _farewell(cloud: LocalCloud, console: Console, seconds: float) -> None:
    connection = cloud.connection()
    console.print()
    console.print(f"The local cloud runs at {connection.endpoint_url} (ready after {seconds:.0f} s).")
    for command, purpose in (
        ("kith send FILE", "send more events, one JSON object per line"),
        ("kith get TYPE VALUE", "read a profile"),
        ("kith --help", "all commands"),
        ("make stop", "end the local cloud and drop what it holds"),
    ):
        prefix = "" if command.startswith("make") else ".venv/bin/"
        console.print(f"  {prefix + command:<30} {purpose}")


if __name__ == "__main__":
    sys.exit(main())
