"""DynamoDB engines for tests: each on a free port, thrown away afterwards."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import botocore.session

from local.engine import Engine
from shared.adapters.dynamo.client import dynamo_client
from shared.contract import IDENTIFIERS_PK, PROFILES_PK, PROFILES_SK

DYNOXIDE = Path(__file__).parents[2] / "node_modules/@dynoxide/linux-x64/dynoxide"
START_S_MAX = 30
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "contracts",
    "AWS_SECRET_ACCESS_KEY": "contracts",
    "AWS_DEFAULT_REGION": "eu-central-1",
}


@contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """Run the engine of the local cloud; yield its endpoint."""
    engine = Engine(folder)
    try:
        yield engine.start().url
    finally:
        engine.stop()


@contextmanager
def dynoxide(folder: Path) -> Iterator[str]:
    """Run dynoxide; yield its endpoint."""
    port = _free_port()
    with (folder / "dynoxide.log").open("w") as log:
        process = subprocess.Popen([DYNOXIDE, "--port", str(port)], stdout=log, stderr=log)  # noqa: S603 - pinned
    try:
        _wait_until_it_listens(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def new_client(endpoint: str):
    """A client as the store has it, on an engine."""
    os.environ.update(CREDENTIALS)
    return dynamo_client(endpoint)


def create_tables(endpoint: str, suffix: str) -> tuple[str, str]:
    """Create an empty profiles table and an empty identifiers table; return their names."""
    os.environ.update(CREDENTIALS)
    dynamo = botocore.session.get_session().create_client("dynamodb", endpoint_url=endpoint)
    names = f"profiles-{suffix}", f"identifiers-{suffix}"
    for name, keys in zip(names, [(PROFILES_PK, PROFILES_SK), (IDENTIFIERS_PK,)], strict=True):
        dynamo.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ["HASH", "RANGE"], strict=False)
            ],
        )
    dynamo.close()
    return names


def _wait_until_it_listens(process: subprocess.Popen, port: int) -> None:
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("dynoxide does not answer")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
