import pytest

from shared import contract

KEYS = {
    "Profiles": [contract.PROFILES_PK, contract.PROFILES_SK],
    "Identifiers": [contract.IDENTIFIERS_PK],
    "Registry": [contract.REGISTRY_PK, contract.REGISTRY_SK],
    "UserStore": [contract.USER_STORE_PK],
}


@pytest.mark.parametrize("name", KEYS)
def test_a_table_has_the_keys_that_runtime_writes(dev, name):
    table = dev.one("DynamoDB::Table", name)
    assert [key["AttributeName"] for key in table["KeySchema"]] == KEYS[name]
    assert {key["AttributeType"] for key in table["AttributeDefinitions"]} == {"S"}


@pytest.mark.parametrize("name", ["Profiles", "Identifiers", "UserStore"])
def test_what_belongs_to_people_expires(dev, name):
    assert dev.one("DynamoDB::Table", name)["TimeToLiveSpecification"] == {
        "AttributeName": contract.TTL_ATTRIBUTE,
        "Enabled": True,
    }


def test_only_the_table_of_profiles_tells_of_changes(dev):
    told = {
        name: table["StreamSpecification"]
        for name, table in dev.resources("DynamoDB::Table").items()
        if "StreamSpecification" in table
    }
    assert list(told.values()) == [{"StreamViewType": "NEW_IMAGE"}]
    assert "Profiles" in next(iter(told))


def test_versions_never_expire(dev):
    assert "TimeToLiveSpecification" not in dev.one("DynamoDB::Table", "Registry")


def test_every_table_is_billed_by_request_recoverable_and_encrypted(dev):
    for table in dev.resources("DynamoDB::Table").values():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["SSESpecification"]["SSEEnabled"] is True


@pytest.mark.parametrize(
    "kind", ["DynamoDB::Table", "S3::Bucket", "Kinesis::Stream", "SQS::Queue", "Logs::LogGroup"]
)
def test_only_the_development_stage_takes_its_data_with_it(dev, prod, kind):
    assert {resource["DeletionPolicy"] for resource in dev.raw(kind).values()} == {"Delete"}
    assert {resource["DeletionPolicy"] for resource in prod.raw(kind).values()} == {"Retain"}
    assert {resource["UpdateReplacePolicy"] for resource in prod.raw(kind).values()} == {"Retain"}


def test_only_the_development_stage_has_tables_that_can_be_deleted(dev, prod):
    assert not any(table["DeletionProtectionEnabled"] for table in dev.resources("DynamoDB::Table").values())
    assert all(table["DeletionProtectionEnabled"] for table in prod.resources("DynamoDB::Table").values())
