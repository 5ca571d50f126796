"""DynamoDB without a network: a botocore client whose HTTP layer is a dictionary.

All of botocore runs but its connections: requests are built, signed and written, answers are read. What
stands behind them keeps items in memory and takes every write: benchmarks have one writer and no rivals, so
every condition holds. The time it takes itself is measured, to be left out.
"""

import os
import re
import threading
import time
import zlib
from io import BytesIO
from typing import Any, Final, cast

import msgspec
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from shared.adapters.dynamo.client import dynamo_client

Json = dict[str, Any]
_INSERT: Final = re.compile(r'INSERT INTO "([^"]+)"')
_NAME: Final = re.compile(r"'([^']+)': \?")


class Tables:
    """What a table holds, by its key, and what it takes to answer; in place of botocore's HTTP session."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Json]] = {}
        self.calls = 0
        self.own_s = 0.0
        """CPU seconds spent here."""
        self._lock = threading.Lock()

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Answer a request of botocore's."""
        started = time.thread_time()
        operation = cast("bytes", request.headers["X-Amz-Target"]).decode().partition(".")[2]
        with self._lock:
            self.calls += 1
            body = msgspec.json.decode(cast("bytes", request.body))
            answer = msgspec.json.encode(getattr(self, f"_{operation}")(body))
        headers = HTTPHeaders()
        headers["x-amz-crc32"] = str(zlib.crc32(answer))
        response = AWSResponse(request.url, 200, headers, _Raw(answer))
        with self._lock:
            self.own_s += time.thread_time() - started
        return response

    def _BatchGetItem(self, body: Json) -> Json:  # noqa: N802 - as DynamoDB calls it; so below
        found = {}
        for table, request in body["RequestItems"].items():
            held = self.items.setdefault(table, {})
            found[table] = [held[key] for one in request["Keys"] if (key := _key(one)) in held]
        return {"Responses": found, "UnprocessedKeys": {}}

    def _PutItem(self, body: Json) -> Json:  # noqa: N802
        self.items.setdefault(body["TableName"], {})[_key(body["Item"])] = body["Item"]
        return {}

    def _DeleteItem(self, body: Json) -> Json:  # noqa: N802
        self.items.setdefault(body["TableName"], {}).pop(_key(body["Key"]), None)
        return {}

    def _UpdateItem(self, body: Json) -> Json:  # noqa: N802
        verb, _, rest = body["UpdateExpression"].partition(" ")
        if verb != "SET":
            raise NotImplementedError(verb)
        item = self.items.setdefault(body["TableName"], {}).setdefault(_key(body["Key"]), dict(body["Key"]))
        for part in rest.split(","):
            name, _, value = part.partition("=")
            item[name.strip()] = body["ExpressionAttributeValues"][value.strip()]
        return {}

    def _BatchWriteItem(self, body: Json) -> Json:  # noqa: N802
        for table, requests in body["RequestItems"].items():
            for request in requests:
                for verb, one in request.items():
                    getattr(self, f"_{verb.removesuffix('Request')}Item")({"TableName": table, **one})
        return {"UnprocessedItems": {}}

    def _BatchExecuteStatement(self, body: Json) -> Json:  # noqa: N802
        """Take inserts, as `adapters/dynamo/inserts.py` writes them."""
        for one in body["Statements"]:
            table, names = _INSERT.findall(one["Statement"])[0], _NAME.findall(one["Statement"])
            item = dict(zip(names, one["Parameters"], strict=True))
            self.items.setdefault(table, {}).setdefault(_key(item), item)
        return {"Responses": [{} for _ in body["Statements"]]}

    def _TransactWriteItems(self, body: Json) -> Json:  # noqa: N802
        for action in body["TransactItems"]:
            for verb, one in action.items():
                if verb != "ConditionCheck":
                    getattr(self, f"_{verb}Item")(one)
        return {}


class _Raw(BytesIO):
    """An HTTP body as botocore wants it."""

    def stream(self, **_options: Any) -> Any:
        yield self.read()


def stubbed_client(tables: Tables) -> Any:
    """Return the client of the live path on these tables."""
    os.environ.update(
        AWS_DEFAULT_REGION="eu-central-1",
        AWS_ACCESS_KEY_ID="benchmark",
        AWS_SECRET_ACCESS_KEY="benchmark",  # noqa: S106 - nobody checks it
    )
    client = dynamo_client("http://localhost:1")
    client._endpoint.http_session = tables  # noqa: SLF001 - what botocore's own Stubber replaces is higher up
    return client


def _key(item: Json) -> str:
    sort: str = item["sk"]["S"] if "sk" in item else ""
    return f"{item['pk']['S']}\0{sort}"
