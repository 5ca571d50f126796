from collections.abc import Iterator

import pytest

from tests.contracts.engines import dynoxide, ministack
from tests.contracts.worlds import DynamoWorld, MemoryWorld


@pytest.fixture(scope="session")
def ministack_endpoint(tmp_path_factory) -> Iterator[str]:
    with ministack(tmp_path_factory.mktemp("ministack")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def dynoxide_endpoint(tmp_path_factory) -> Iterator[str]:
    with dynoxide(tmp_path_factory.mktemp("dynoxide")) as endpoint:
        yield endpoint


@pytest.fixture(
    scope="module", params=["memory", "ministack", pytest.param("dynoxide", marks=pytest.mark.soak)]
)
def world(request):
    """A storage that any store is under contract with."""
    if request.param == "memory":
        return MemoryWorld()
    return _dynamo_world(request)


@pytest.fixture(scope="module", params=["ministack", pytest.param("dynoxide", marks=pytest.mark.soak)])
def dynamo(request):
    """A storage that speaks DynamoDB."""
    return _dynamo_world(request)


def _dynamo_world(request):
    endpoint = request.getfixturevalue(f"{request.param}_endpoint")
    return DynamoWorld(
        endpoint, f"{request.module.__name__.rpartition('.')[2]}-{request.param}-{request.fixturename}"
    )
