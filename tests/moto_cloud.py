"""A pretended AWS in the process, for tests of one adapter in one thread: moto is not atomic under more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import botocore.session
import pytest
from moto import mock_aws

from shared import contract


@contextmanager
def moto_clients(region: str, **environment: str) -> Iterator[Callable[[str], Any]]:
    """Pretend AWS in a region, under further environment variables; yield what makes clients."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
            patch.setenv(name, region)
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        session = botocore.session.Session()  # one for all clients: it keeps what it has loaded
        yield cache(lambda service: session.create_client(service, region_name=region))


def create_registry_table(dynamodb: Any, name: str) -> None:
    keys = {contract.REGISTRY_PK: "HASH", contract.REGISTRY_SK: "RANGE"}
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        BillingMode="PAY_PER_REQUEST",
    )


def empty_registry_table(dynamodb: Any, name: str) -> None:
    for item in dynamodb.scan(TableName=name)["Items"]:
        key = {part: item[part] for part in (contract.REGISTRY_PK, contract.REGISTRY_SK)}
        dynamodb.delete_item(TableName=name, Key=key)


def create_bucket(s3: Any, name: str, region: str) -> None:
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
