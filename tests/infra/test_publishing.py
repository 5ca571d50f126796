import json

import pytest

from infra.bundle import bundle_function, digest_of
from shared import contract
from shared.adapters.lambda_ import SETTLE_S_MAX
from tests.infra.conftest import flat


@pytest.fixture
def consumer(dev):
    return json.loads(flat(dev.functions()["publish"]["Environment"]["Variables"][contract.ENV_CONSUMER]))


@pytest.fixture
def builders(dev):
    [resource] = [
        resource
        for resource in dev.template["Resources"].values()
        if resource["Type"] == "Custom::KithBuilders"
    ]
    return resource


def test_a_version_consumes_in_batches_that_fail_in_part_and_end(consumer):
    assert consumer["BatchSize"] == 1000
    assert consumer["MaximumBatchingWindowInSeconds"] == 5
    assert consumer["ParallelizationFactor"] == 1
    assert consumer["MaximumRetryAttempts"] == 5
    assert consumer["BisectBatchOnFunctionError"] is True
    assert consumer["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert consumer["StartingPosition"] == "TRIM_HORIZON"


def test_nothing_is_retried_past_half_the_dedup_window(consumer):
    assert 2 * consumer["MaximumRecordAgeInSeconds"] < contract.DEDUP_WINDOW_H * 3600


def test_batches_that_fail_for_good_go_to_the_archive(dev, consumer):
    [archive] = dev.resources("S3::Bucket")
    assert consumer["DestinationConfig"] == {"OnFailure": {"Destination": f"<{archive}.Arn>"}}


def test_the_function_itself_answers_cloudformation(dev, builders):
    [function] = [name for name in dev.resources("Lambda::Function") if "PublishFunction" in name]
    assert builders["Properties"]["ServiceToken"] == {"Fn::GetAtt": [function, "Arn"]}
    assert int(builders["Properties"]["ServiceTimeout"]) <= 900


def test_publishing_runs_again_when_builders_code_or_settings_change(builders, consumer):
    properties = builders["Properties"]
    assert properties["Builders"] == digest_of(contract.BUNDLED_BUILDERS)
    assert properties["Ingestion"] == bundle_function("ingest", "aws").digest
    assert properties["Consumer"]["BatchSize"] == consumer["BatchSize"]


def test_publishing_outlasts_its_waits_for_consumers(dev, builders):
    assert dev.functions()["publish"]["Timeout"] > 1.2 * SETTLE_S_MAX
    assert int(builders["Properties"]["ServiceTimeout"]) > 1.2 * SETTLE_S_MAX


def test_consumers_start_after_what_they_need(dev, builders):
    needed = {
        name
        for kind in ("IAM::Policy", "DynamoDB::Table", "S3::Bucket", "Lambda::Function")
        for name in dev.resources(kind)
        if not name.startswith(("Rebuild", "Functions"))  # consumers do without them
    }
    assert needed <= set(builders["DependsOn"])
