"""The registry's promises, on the table and on the fake that stands for it; and how ingestion reads it."""

from contextlib import suppress
from dataclasses import replace

import botocore.session
import pytest

from shared import contract
from shared.adapters.definitions import Definitions, UnknownVersionError
from shared.adapters.registry import DynamoProgress, DynamoRegistry
from shared.app.frozen import DamagedDefinitionError, freeze
from shared.app.registry import DamagedRowError, Draft, RegistryConflictError, Status, Version
from shared.core.grammar import parse_definition
from tests.contracts.engines import CREDENTIALS
from tests.fakes.registry import FakeProgress, FakeRegistry
from tests.moto_cloud import create_bucket, create_registry_table, empty_registry_table, moto_clients

REGION = "eu-central-1"
DEFINITION = parse_definition("name: customers\nidentifiers: {user_id: {from: userId}}\n")


@pytest.fixture(scope="module")
def aws():
    """Return what makes clients of an AWS that has an empty registry table and an archive bucket."""
    with moto_clients(REGION) as client:
        create_registry_table(client("dynamodb"), "registry")
        create_bucket(client("s3"), "archive", REGION)
        yield client


@pytest.fixture(scope="module")
def dynamo_registry(aws):  # noqa: ARG001 - it needs the region that `aws` sets
    return DynamoRegistry("registry")


@pytest.fixture
def table(aws, dynamo_registry):
    empty_registry_table(aws("dynamodb"), "registry")
    return dynamo_registry


@pytest.fixture
def engine(ministack_endpoint, monkeypatch):
    """Return a registry on an empty table of an engine that other tests use as well."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": ministack_endpoint, "AWS_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    client = botocore.session.Session().create_client("dynamodb", region_name=REGION)
    with suppress(client.exceptions.ResourceInUseException):
        create_registry_table(client, "registry")
    empty_registry_table(client, "registry")
    return DynamoRegistry("registry", REGION)


@pytest.fixture(params=["table", "engine", "fake"])
def registry(request):
    return FakeRegistry() if request.param == "fake" else request.getfixturevalue(request.param)


@pytest.fixture(params=["table", "engine", "fake"])
def progress(request):
    if request.param == "fake":
        return FakeProgress()
    request.getfixturevalue(request.param)
    return DynamoProgress("registry", REGION)


def version(number: int = 1, **fields) -> Version:
    return Version(
        **{
            "builder": "customers",
            "version": number,
            "status": Status.BUILDING,
            "definition_key": f"definitions/customers/{number}/abc.json",
            "sha256": "abc",
            "t0": 0,
            "created_at": 1_700_000_000_123,
            "created_by": "ann",
            **fields,
        }
    )


def draft(at: int, sha256: str = "abc") -> Draft:
    return Draft(builder="customers", definition_key="k", sha256=sha256, created_at=at, created_by="ann")


def test_an_empty_registry_knows_nothing(registry):
    assert registry.builders() == []
    assert registry.active() == {}
    assert registry.versions("customers") == []
    assert registry.version("customers", 1) is None
    assert registry.draft("customers") is None


def test_a_version_comes_back_as_it_was_added(registry):
    one = version(
        reason="why",
        finished_at=1_700_000_000_456,
        cleaned_at=1_700_000_000_789,
        release="abc",
        has_items=False,
    )
    registry.add(one)
    assert registry.version("customers", 1) == one


def test_versions_are_listed_by_number_without_draft_and_pointer(registry):
    for number in (10, 2, 1):
        registry.add(version(number))
    registry.put_draft(draft(1), None)
    registry.activate(version(2), was=None)
    registry.add(version(1, builder="accounts"))
    assert [one.version for one in registry.versions("customers")] == [1, 2, 10]


def test_a_builder_is_known_by_a_version_or_a_draft(registry):
    registry.add(version(1, builder="accounts"))
    registry.put_draft(draft(1), None)
    assert registry.builders() == ["accounts", "customers"]


def test_a_version_is_added_once(registry):
    registry.add(version())
    with pytest.raises(RegistryConflictError):
        registry.add(version(sha256="other"))
    assert registry.version("customers", 1) == version()


def test_of_two_changes_to_one_version_the_second_is_refused(registry):
    registry.add(version())
    read = registry.version("customers", 1)
    written = registry.replace(read, replace(read, status=Status.FAILED, reason="object lost"))
    assert registry.version("customers", 1) == written
    with pytest.raises(RegistryConflictError):
        registry.replace(read, replace(read, status=Status.RETIRED))
    assert registry.version("customers", 1) == written


def test_activation_moves_status_and_pointer_together(registry):
    registry.add(version(1))
    registry.add(version(2))
    registry.activate(version(1), was=None)
    registry.activate(version(2), was=1)
    assert registry.active() == {"customers": 2}
    assert registry.version("customers", 2).status is Status.ACTIVE


def test_of_two_activations_at_once_the_second_changes_nothing(registry):
    registry.add(version(1))
    registry.add(version(2))
    registry.activate(version(1), was=None)
    with pytest.raises(RegistryConflictError):
        registry.activate(version(2), was=None)
    assert registry.active() == {"customers": 1}
    assert registry.version("customers", 2) == version(2)


def test_activation_refuses_a_stale_version(registry):
    registry.add(version())
    registry.replace(version(), replace(version(), t0=5))
    with pytest.raises(RegistryConflictError):
        registry.activate(version(), was=None)
    assert registry.active() == {}


def test_progress_adds_up_by_name_and_by_version(progress):
    assert progress.progress("customers", 1) == {}
    progress.add_progress("customers", 1, {"scan.events": 5, "scan.parts": 1})
    progress.add_progress("customers", 1, {"scan.events": 7})
    progress.add_progress("customers", 1, {})
    progress.add_progress("customers", 2, {"scan.events": 1})
    assert progress.progress("customers", 1) == {"scan.events": 12, "scan.parts": 1}


def test_a_row_of_progress_is_no_version(table):
    DynamoProgress("registry").add_progress("customers", 1, {"scan.events": 1})
    assert table.versions("customers") == []


def test_a_draft_takes_only_the_place_of_the_one_that_was_read(registry):
    registry.put_draft(draft(2, "two"), None)
    for was in (None, draft(2, "other"), draft(3, "two")):
        with pytest.raises(RegistryConflictError):
            registry.put_draft(draft(4, "four"), was)
    assert registry.draft("customers") == draft(2, "two")
    for _ in range(2):  # again is the same as once
        registry.put_draft(draft(1, "one"), draft(2, "two"))
        assert registry.draft("customers") == draft(1, "one"), "whatever the clocks say"


def test_dropping_a_draft_spares_a_newer_one(registry):
    registry.put_draft(draft(2), None)
    registry.drop_draft(draft(1))
    assert registry.draft("customers") == draft(2)
    registry.drop_draft(draft(2))
    assert registry.draft("customers") is None
    registry.drop_draft(draft(2))


@pytest.mark.parametrize(
    "damage",
    [
        {"status": {"S": "somehow"}},
        {"status": None},
        {"t0": {"S": "ann@example.com"}},
        {"sha256": None},
        {"created_at": None},
        {"definition_key": {"N": "1"}},
        {"rev": None},
    ],
    ids=str,
)
def test_a_row_that_nobody_of_kith_has_written_is_refused_by_name(aws, table, damage):
    """Somebody edited it by hand, in the console."""
    table.add(version(1))
    [item] = aws("dynamodb").scan(TableName="registry")["Items"]
    left = {name: value for name, value in (item | damage).items() if value is not None}
    aws("dynamodb").put_item(TableName="registry", Item=left)
    for look in (lambda: table.version("customers", 1), lambda: table.versions("customers")):
        with pytest.raises(DamagedRowError, match=r"the row of .* of customers cannot be read") as told:
            look()
        assert "ann@" not in str(told.value)


def key_of(sort):
    return {contract.REGISTRY_PK: {"S": "customers"}, contract.REGISTRY_SK: {"S": sort}}


def test_a_draft_and_a_pointer_that_nobody_of_kith_has_written_are_refused(aws, table):
    put = aws("dynamodb").put_item
    put(TableName="registry", Item=key_of(contract.REGISTRY_DRAFT))
    with pytest.raises(DamagedRowError, match="the draft of customers"):
        table.draft("customers")
    put(TableName="registry", Item=key_of(contract.REGISTRY_ACTIVE) | {"active_version": {"S": "one"}})
    with pytest.raises(DamagedRowError, match="pointers"):
        table.active()


@pytest.fixture
def definitions(aws, table):
    s3 = aws("s3")
    data, sha256 = freeze(DEFINITION, {"builder.yaml": "text"})
    s3.put_object(Bucket="archive", Key="right", Body=data)
    s3.put_object(Bucket="archive", Key="damaged", Body=data + b" ")
    table.add(version(1, definition_key="right", sha256=sha256, t0=77))
    table.add(version(2, definition_key="damaged", sha256=sha256))
    return Definitions(aws("dynamodb"), s3, "registry", "archive")


def test_ingestion_loads_a_definition_as_it_was_frozen(definitions):
    loaded = definitions.load("customers", 1)
    assert (loaded.frozen.definition, loaded.frozen.files) == (DEFINITION, {"builder.yaml": "text"})
    assert loaded.t0 == 77


def test_ingestion_loads_a_definition_once_per_process(aws, definitions):
    loaded = definitions.load("customers", 1)
    aws("s3").delete_object(Bucket="archive", Key="right")
    assert definitions.load("customers", 1) is loaded


def test_ingestion_refuses_a_damaged_definition(definitions):
    with pytest.raises(DamagedDefinitionError):
        definitions.load("customers", 2)


def test_ingestion_refuses_a_version_that_nobody_published(definitions):
    with pytest.raises(UnknownVersionError):
        definitions.load("customers", 3)
