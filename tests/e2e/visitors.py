"""A builder of its own on the shared local cloud: its versions, as somebody sees who publishes them."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from local.event_sources.kinesis import list_mappings
from shared import contract
from shared.adapters.lambda_ import LambdaConsumers
from tests.e2e.conftest import Live, eventually

KITH: Final = Path(sys.executable).with_name("kith")
BUILDER: Final = "visitors"
BUILD_S_MAX: Final = 300
"""Some ten functions start cold, one after another, and again where their workers are killed."""
DEFINITION: Final = """\
name: visitors
identifiers:
  user_id: {from: userId, known: true}
  cookie_id: {from: anonymousId}
attributes:
  visits: {aggregation: count}
"""


class Visitors:
    """The builder as its owner sees it: definitions are published, profiles read by the active version."""

    def __init__(self, live: Live, folder: Path) -> None:
        self.live = live
        self.folder = folder / BUILDER

    def publish(self, definition: str) -> int:
        """Publish a definition, and return its version; it is then building."""
        self.draft(definition)
        return int(json.loads(self.kith("publish", BUILDER, "--json"))["version"])

    def publish_at_once(self, definition: str, publishers: int) -> tuple[int, list[str]]:
        """Have several publish a definition at once; return its version, and what those are told who lose."""
        self.draft(definition)
        with ThreadPoolExecutor(publishers) as pool:
            ran = list(pool.map(lambda _: self.run("publish", BUILDER), range(publishers)))
        assert {one.returncode for one in ran} <= {0, 1}, ran
        told = [one.stderr for one in ran if one.returncode]
        return int(self.versions()[-1]["version"]), told

    def draft(self, definition: str) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "builder.yaml").write_text(definition)
        self.kith("draft", str(self.folder))

    def versions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kith("versions", BUILDER, "--json"))["versions"]
        return found

    def row(self, version: int) -> dict[str, Any]:
        """Read a version's row as it is now."""
        key = {
            contract.REGISTRY_PK: {"S": BUILDER},
            contract.REGISTRY_SK: {"S": contract.registry_version(version)},
        }
        return self._get(contract.OUTPUT_REGISTRY_TABLE, key) or {}

    def active(self) -> int:
        key = {
            contract.REGISTRY_PK: {"S": BUILDER},
            contract.REGISTRY_SK: {"S": contract.REGISTRY_ACTIVE},
        }
        row = self._get(contract.OUTPUT_REGISTRY_TABLE, key)
        return int(row["active_version"]["N"]) if row else 0

    def has(self, version: int, status: str) -> bool:
        found = self.row(version).get("status", {}).get("S")
        assert found in {status, "building"}, self.row(version)
        return found == status

    def until(self, version: int, status: str) -> None:
        eventually(lambda: self.has(version, status), BUILD_S_MAX)

    def execution(self, version: int, suffix: str = "") -> str:
        """How the execution of a version is: RUNNING, or how it ended."""
        client = self.live.client("stepfunctions")
        return str(client.describe_execution(executionArn=self._arn(version, suffix))["status"])

    def stop_execution(self, version: int) -> None:
        """End the execution of a version's build, whose row stays as it is."""
        self.live.client("stepfunctions").stop_execution(executionArn=self._arn(version))
        assert self.ended(version) == "ABORTED"

    def progress(self, version: int) -> dict[str, int]:
        """Read what was counted of a version's build."""
        key = {
            contract.REGISTRY_PK: {"S": BUILDER},
            contract.REGISTRY_SK: {"S": contract.registry_progress(version)},
        }
        row = self._get(contract.OUTPUT_REGISTRY_TABLE, key) or {}
        return {name: int(value["N"]) for name, value in row.items() if "N" in value}

    def ended(self, version: int, suffix: str = "") -> str:
        """Wait for the end of a version's execution; return how it ended."""
        running = "RUNNING"
        ended = lambda: (found := self.execution(version, suffix)) != running and found  # noqa: E731
        return eventually(ended, BUILD_S_MAX)

    def profile(self, cookie: str, version: int | None = None) -> dict[str, Any] | None:
        prefix = f"{BUILDER}#{version or self.active()}#"
        pointer = self._get(
            contract.OUTPUT_IDENTIFIERS_TABLE,
            {contract.IDENTIFIERS_PK: {"S": f"{prefix}cookie_id#{cookie}"}},
        )
        if pointer is None:
            return None
        key = {
            contract.PROFILES_PK: {"S": prefix + pointer["profile_id"]["S"]},
            contract.PROFILES_SK: {"S": contract.SK_PROFILE},
        }
        return self._get(contract.OUTPUT_PROFILES_TABLE, key)

    def items(self, version: int) -> int:
        """Count what is stored of a version in both tables."""
        prefix = f"{BUILDER}#{version}#"
        tables = (contract.OUTPUT_PROFILES_TABLE, contract.OUTPUT_IDENTIFIERS_TABLE)
        return sum(
            item[contract.PROFILES_PK]["S"].startswith(prefix)
            for table in tables
            for page in self.live.client("dynamodb")
            .get_paginator("scan")
            .paginate(TableName=self.live.outputs[table])
            for item in page["Items"]
        )

    def consumers(self) -> set[str]:
        """The aliases of this builder that consume the stream."""
        mappings = list_mappings(self.live.client("lambda"))
        aliases = {mapping["FunctionArn"].rpartition(":")[2] for mapping in mappings}
        return {alias for alias in aliases if alias.startswith(f"{BUILDER}-v")}

    def objects(self, version: int) -> list[str]:
        """What the build of a version has left for itself."""
        return self.live.objects(f"{contract.PREFIX_REBUILD}{BUILDER}/{contract.registry_version(version)}/")

    def stop(self) -> None:
        """Remove the builder's consumers, so that what others put on the stream is theirs alone."""
        client = self.live.client("lambda")
        name = self.live.function("IngestFunction")
        arn = client.get_function_configuration(FunctionName=name)["FunctionArn"]
        for alias in self.consumers():
            LambdaConsumers(client, arn).remove(*contract.version_of_alias(alias))

    def kith(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            [KITH, *arguments],
            cwd=self.live.cloud.folder.parent,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _arn(self, version: int, suffix: str = "") -> str:
        machine: str = self.live.outputs[contract.OUTPUT_REBUILD]
        name = contract.version_alias(BUILDER, version) + suffix
        return f"{machine.replace(':stateMachine:', ':execution:')}:{name}"

    def _get(self, output: str, key: dict[str, Any]) -> dict[str, Any] | None:
        answer = self.live.client("dynamodb").get_item(
            TableName=self.live.outputs[output], Key=key, ConsistentRead=True
        )
        item: dict[str, Any] | None = answer.get("Item")
        return item
