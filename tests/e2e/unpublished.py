"""Versions of builders that are put where functions find them: without a build, and without a consumer."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from shared import contract
from shared.app.frozen import freeze
from shared.app.registry import Status
from shared.core.grammar import parse_definition
from tests.e2e.conftest import Live
from tests.kinesis import envelope


@contextmanager
def unpublished(live: Live, text: str, files: Mapping[str, str]) -> Iterator[str]:
    """Make version 1 of a builder, which no mapping consumes and to which nothing points: its alias."""
    definition = parse_definition(text)
    name = definition.name
    data, sha256 = freeze(definition, {"builder.yaml": text, **files})
    key = contract.definition_key(name, "1", sha256)
    live.client("s3").put_object(Bucket=live.outputs[contract.OUTPUT_ARCHIVE_BUCKET], Key=key, Body=data)
    row = {contract.REGISTRY_PK: {"S": name}, contract.REGISTRY_SK: {"S": contract.registry_version(1)}}
    held = {
        "definition_key": {"S": key},
        "sha256": {"S": sha256},
        "t0": {"N": "0"},
        "status": {"S": Status.ACTIVE},
    }
    table = live.outputs[contract.OUTPUT_REGISTRY_TABLE]
    dynamodb, lambda_ = live.client("dynamodb"), live.client("lambda")
    dynamodb.put_item(TableName=table, Item=row | held)
    alias = {"FunctionName": live.function("IngestFunction"), "Name": contract.version_alias(name, 1)}
    lambda_.create_alias(**alias, FunctionVersion="$LATEST")
    yield alias["Name"]
    lambda_.delete_alias(**alias)
    dynamodb.delete_item(TableName=table, Key=row)


def ingest(live: Live, alias: str, events: Sequence[dict[str, Any]]) -> Any:
    """Have a version ingest events, a record each, as if they came from the stream; return the answer."""
    records = [
        envelope(json.dumps(event).encode(), arrival=time.time_ns() // 1_000_000, sequence=f"{number:056}")
        for number, event in enumerate(events, 1)
    ]
    answer = live.client("lambda").invoke(
        FunctionName=live.function("IngestFunction"),
        Qualifier=alias,
        Payload=json.dumps({"Records": records}),
    )
    return json.loads(answer["Payload"].read())
