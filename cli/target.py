"""Which cloud a command talks to: a stage on AWS, or the local cloud that `make run` left running."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cli.errors import Failure
from shared import contract

if TYPE_CHECKING:
    from shared.adapters.s3 import S3Objects

CONNECTION_FILE: Final = Path(".local") / "cloud.json"
"""What `make run` leaves, below the folder it ran in."""


class Connection(msgspec.Struct, frozen=True):
    """The content of the connection file; `outputs` are those of the stack."""

    endpoint_url: str
    region: str
    stage: str
    outputs: dict[str, str]
    access_key_id: str
    secret_access_key: str


class Target:
    """A deployed stack: its outputs, and clients that reach it."""

    def __init__(self, stage: str, outputs: Mapping[str, str], *, is_local: bool = False) -> None:
        self.stage = stage
        self.is_local = is_local
        self._outputs = outputs
        self._clients: dict[str, Any] = {}

    def output(self, name: str) -> str:
        """Return an output of the stack."""
        try:
            return self._outputs[name]
        except KeyError:
            raise Failure(
                f"stack kith-{self.stage} has no output {name}: another release deployed it; deploy again"
            ) from None

    def client(self, service: str) -> Any:
        """Return a client for an AWS service."""
        from shared.runtime.aws import client

        if service not in self._clients:
            self._clients[service] = client(service)
        return self._clients[service]

    def bucket(self) -> "S3Objects":
        """Return the objects of the stack's bucket: the archive, and all that is kept beside it."""
        from shared.adapters.s3 import S3Objects

        return S3Objects(self.client("s3"), self.output(contract.OUTPUT_ARCHIVE_BUCKET))

    def caller(self) -> Any:
        """Return a client that calls functions: once each, and waits for the answer."""
        from shared.runtime.aws import caller

        return caller()


def resolve(stage: str | None) -> Target:
    """Return the named stage, or the local cloud if none is named.

    Points this process at it: PynamoDB and botocore read the environment.
    """
    return _on_aws(stage) if stage else _local()


def _local() -> Target:
    folder = Path.cwd()
    found = next(
        (one / CONNECTION_FILE for one in (folder, *folder.parents) if (one / CONNECTION_FILE).is_file()),
        None,
    )
    if found is None:
        raise Failure(
            f"no {CONNECTION_FILE} here or in a folder above: start the local cloud with `make run`, "
            "or name a stage on AWS with --stage"
        )
    try:
        connection = msgspec.json.decode(found.read_bytes(), type=Connection)
        _point_at(connection)
    except (OSError, ValueError, RecursionError) as error:  # also what no environment can hold
        raise Failure(f"{found} cannot be read ({error}): run `make run` again") from None
    return Target(connection.stage, connection.outputs, is_local=True)


def _point_at(connection: Connection) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"):
        os.environ.pop(name, None)  # the user's own account has no part in this
    os.environ.update(
        AWS_ENDPOINT_URL=connection.endpoint_url,
        AWS_REGION=connection.region,
        AWS_DEFAULT_REGION=connection.region,
        AWS_ACCESS_KEY_ID=connection.access_key_id,
        AWS_SECRET_ACCESS_KEY=connection.secret_access_key,
    )


def _on_aws(stage: str) -> Target:
    from botocore.exceptions import ClientError

    from shared.runtime.aws import client

    # botocore reads AWS_DEFAULT_REGION alone; elsewhere AWS_REGION is the usual one.
    if "AWS_REGION" in os.environ:
        os.environ.setdefault("AWS_DEFAULT_REGION", os.environ["AWS_REGION"])
    name = f"kith-{stage}"
    try:
        stacks = client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise Failure(
            f"there is no stack {name} in this account and region: deploy it with "
            f"`make deploy STAGE={stage}`, or check AWS_PROFILE and AWS_REGION"
        ) from None
    return Target(stage, {one["OutputKey"]: one["OutputValue"] for one in stacks[0].get("Outputs", ())})
