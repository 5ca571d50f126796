"""`kith functions`: which profiles it lists, and which it has run again."""

import json

import pytest
from typer.testing import CliRunner

from cli import target
from cli.main import app
from shared import contract
from shared.adapters.function_errors import S3FunctionErrors
from shared.adapters.s3 import S3Objects
from shared.app.functions.dispatch import Due
from shared.app.functions.errors import FunctionError
from tests.app.test_functions_dispatch import FakeSqs
from tests.moto_cloud import create_bucket, moto_clients

REGION = "eu-central-1"
OUTPUTS = {
    contract.OUTPUT_PROFILES_TABLE: "profiles",
    contract.OUTPUT_ARCHIVE_BUCKET: "archive",
    contract.OUTPUT_FUNCTIONS_QUEUE: "url",
}


class Cloud:
    """Profiles p1 and p2 of a shop: both failed, and one of them has had a result since."""

    def __init__(self, client):
        self.client = client
        self.queue = FakeSqs()
        self.errors = S3FunctionErrors(S3Objects(client("s3"), "archive"))
        for profile_id, due in (("p1", {"due": {"N": "30"}}), ("p2", {})):
            self.errors.put(self.error(profile_id))
            key = {"pk": {"S": f"shop#3#{profile_id}"}, "sk": {"S": "profile"}}
            client("dynamodb").put_item(TableName="profiles", Item={**key, **due, "rev": {"N": "17"}})

    def error(self, profile_id):
        return FunctionError(
            Due("shop", 3, profile_id, 5), "function_error", "ValueError in line 3", 6, 1_700_000_000_000
        )

    def make(self, service):
        return self.queue if service == "sqs" else self.client(service)

    def kith(self, *arguments, code=0):
        found = CliRunner().invoke(app, ["functions", *arguments])
        assert found.exit_code == code, found.output
        return found.output


@pytest.fixture
def cloud(monkeypatch):
    with moto_clients(REGION) as client:
        create_bucket(client("s3"), "archive", REGION)
        client("dynamodb").create_table(
            TableName="profiles",
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        cloud = Cloud(client)
        found = target.Target("dev", OUTPUTS)
        monkeypatch.setattr(found, "client", cloud.make)
        monkeypatch.setattr(target, "resolve", lambda _: found)
        yield cloud


def test_profiles_that_still_have_no_result_are_listed_with_the_reason(cloud):
    told = "shop v3 p1  2023-11-14T22:13:20.000Z  function_error  ValueError in line 3\n"
    assert cloud.kith("errors") == told
    assert cloud.kith("errors", "--builder", "shop") == told
    assert cloud.kith("errors", "--builder", "other") == "no profile function has failed for good\n"


def test_errors_are_printed_as_json_too(cloud):
    assert json.loads(cloud.kith("errors", "--json")) == {
        "builder": "shop",
        "version": 3,
        "profile_id": "p1",
        "reason": "function_error",
        "detail": "ValueError in line 3",
        "attempts": 6,
        "failed_at": "2023-11-14T22:13:20.000Z",
    }


def test_what_is_no_error_among_them_is_named(cloud):
    key = f"{contract.PREFIX_FUNCTION_ERRORS}shop/v3/p0.json"
    cloud.client("s3").put_object(Bucket="archive", Key=key, Body=b"{")
    told = f"kith: {key} is no error of a function; delete it to go on\n"
    assert told in cloud.kith("errors", code=1)
    assert told in cloud.kith("retry", "--all", code=1)


def test_all_that_failed_are_run_again_as_they_are_now_and_the_others_forgotten(cloud):
    assert cloud.kith("retry", "--all") == "to run again: 1, no longer due: 1\n"
    assert cloud.queue.sent == [('{"builder":"shop","version":3,"profile_id":"p1","rev":17,"asked":true}', 0)]
    assert list(cloud.errors.list()) == []
    assert json.loads(cloud.kith("retry", "--all", "--json")) == {"forgotten": 0, "sent": 0}


def test_one_profile_is_run_again_by_its_id(cloud):
    cloud.kith("retry", "p1")
    assert len(cloud.queue.sent) == 1
    assert [one.due.profile_id for one in cloud.errors.list()] == ["p2"]


def test_a_profile_that_is_not_listed_cannot_be_run_again(cloud):
    assert "lists no profile p9" in cloud.kith("retry", "p9", code=1)
    assert cloud.queue.sent == []


@pytest.mark.parametrize("arguments", [(), ("p1", "--all")])
def test_either_ids_are_given_or_all(cloud, arguments):
    cloud.kith("retry", *arguments, code=2)
