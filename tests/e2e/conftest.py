"""One local cloud per test run: an engine of its own, in a temporary folder, deployed once."""

import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import uuid4

import boto3
import pytest
from boto3.dynamodb.types import TypeDeserializer

from local import deploy
from local.cloud import LocalCloud
from local.engine import REGION
from local.event_sources.kinesis import list_mappings
from shared import contract
from shared.core.archive import read_object
from shared.core.records import Record

T = TypeVar("T")

DEADLINE_S = 120
POLL_S = 0.1
BUILDER, VERSION = "customers", 1


class Live:
    """What somebody does with a running Kith: puts records, reads profiles, looks around."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.outputs = cloud.connection().outputs
        alias = f":{contract.version_alias(BUILDER, VERSION)}"
        [self.mapping_uuid] = [
            mapping["UUID"]
            for mapping in list_mappings(self.client("lambda"))
            if mapping["FunctionArn"].endswith(alias)
        ]

    def client(self, service: str) -> Any:
        endpoint = self.cloud.engine.find()
        assert endpoint is not None
        return deploy.client(endpoint, service)

    def client_as(self, role: str, service: str) -> Any:
        """Make a client with the permissions of a role, and no others."""
        lent = self.client("sts").assume_role(RoleArn=role, RoleSessionName="e2e")["Credentials"]
        session = boto3.Session(
            lent["AccessKeyId"], lent["SecretAccessKey"], lent["SessionToken"], region_name=REGION
        )
        return session.client(service, endpoint_url=self.cloud.connection().endpoint_url)

    def put(self, *events: dict[str, Any] | bytes, key: str = "k") -> None:
        records = [
            {"Data": event if isinstance(event, bytes) else json.dumps(event).encode(), "PartitionKey": key}
            for event in events
        ]
        answer = self.client("kinesis").put_records(
            StreamName=self.outputs[contract.OUTPUT_STREAM], Records=records
        )
        assert answer["FailedRecordCount"] == 0

    def profile(self, kind: str, value: str, builder: str = BUILDER) -> dict[str, Any] | None:
        """Read a profile as README.md shows it: its pointer, then the profile."""
        prefix = f"{builder}#{VERSION}#"
        pointer = self._item(
            contract.OUTPUT_IDENTIFIERS_TABLE, {contract.IDENTIFIERS_PK: f"{prefix}{kind}#{value}"}
        )
        if pointer is None:
            return None
        return self._item(
            contract.OUTPUT_PROFILES_TABLE,
            {
                contract.PROFILES_PK: prefix + pointer["profile_id"],
                contract.PROFILES_SK: contract.SK_PROFILE,
            },
        )

    def profile_with(self, kind: str, value: str, event_count: int) -> dict[str, Any]:
        """Wait until a profile has that many events."""

        def found() -> dict[str, Any] | None:
            profile = self.profile(kind, value)
            # A profile that was merged away has left a tombstone, which counts nothing.
            return profile if profile and profile.get("event_count", 0) >= event_count else None

        profile = eventually(found)
        assert profile["event_count"] == event_count
        return profile

    def settle(self) -> None:
        """Wait until every record on the stream is dealt with."""
        eventually(self.cloud.is_caught_up)

    def objects(self, prefix: str) -> list[str]:
        pages = (
            self.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=self.outputs[contract.OUTPUT_ARCHIVE_BUCKET], Prefix=prefix)
        )
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def archived_since(self, before: Collection[str]) -> list[Record]:
        """Read the records of the objects of the archive that were not there before."""
        keys = [key for key in self.objects(contract.PREFIX_EVENTS) if key not in before]
        return [record for key in keys for record in self.archived(key)]

    def archived(self, key: str) -> list[Record]:
        """Read the records of an object of the archive."""
        bucket = self.outputs[contract.OUTPUT_ARCHIVE_BUCKET]
        return list(read_object(self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()))

    def function(self, part: str) -> str:
        """Find the name of the function that has this in its name."""
        [name] = [
            function["FunctionName"]
            for page in self.client("lambda").get_paginator("list_functions").paginate()
            for function in page["Functions"]
            if part in function["FunctionName"]
        ]
        return name

    def invoke(self, part: str) -> None:
        """Run a function to its end; it must not fail."""
        answer = self.client("lambda").invoke(FunctionName=self.function(part), Payload=b"{}")
        assert "FunctionError" not in answer, answer["Payload"].read()

    @contextmanager
    def misled(self, part: str, variable: str) -> Iterator[None]:
        """Have a function look for something where nothing is: it fails, and whoever needs it waits."""
        client, name = self.client("lambda"), self.function(part)
        environment = client.get_function_configuration(FunctionName=name)["Environment"]
        misled = {"Variables": environment["Variables"] | {variable: "nowhere"}}
        client.update_function_configuration(FunctionName=name, Environment=misled)
        try:
            yield
        finally:
            client.update_function_configuration(FunctionName=name, Environment=environment)

    def _item(self, output: str, key: dict[str, str]) -> dict[str, Any] | None:
        answer = self.client("dynamodb").get_item(
            TableName=self.outputs[output],
            Key={name: {"S": value} for name, value in key.items()},
            ConsistentRead=True,
        )
        decode = TypeDeserializer().deserialize
        return {name: decode(value) for name, value in answer["Item"].items()} if "Item" in answer else None


class Person:
    """Somebody whose events nobody else's can be mistaken for."""

    def __init__(self) -> None:
        self.id = uuid4().hex
        self.user_id = f"user-{self.id}"
        self.cookie = f"cookie-{self.id}"
        self.email = f"{self.id}@example.com"

    def event(self, event_type: str, **changes: Any) -> dict[str, Any]:
        return {
            "type": event_type,
            "messageId": uuid4().hex,
            "anonymousId": self.cookie,
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        } | changes

    def order(self, total: Any, **changes: Any) -> dict[str, Any]:
        return self.event("track", event="Order Completed", properties={"total": total}, **changes)


def eventually(look: Callable[[], T | None], within_s: float = DEADLINE_S) -> T:
    """Look until there is something to see."""
    deadline_s = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(POLL_S)
    return seen


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    folder = tmp_path_factory.mktemp("cloud") / ".local"
    cloud = LocalCloud(folder, keep_state=True)
    try:
        with cloud.locked():
            cloud.start(lambda _: None)
            yield cloud
    finally:
        cloud.stop()


@pytest.fixture(scope="session")
def live(cloud: LocalCloud) -> Live:
    return Live(cloud)


@pytest.fixture(scope="session")
def guarded(cloud: LocalCloud) -> Live:
    """The deployed cloud, restarted with the engine's IAM enforcement on; it stays on afterwards."""
    cloud.restart_enforcing_iam()
    return Live(cloud)


@pytest.fixture
def person() -> Person:
    return Person()
