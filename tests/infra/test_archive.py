import json

import pytest

from shared import contract
from tests.infra.conftest import Synthesized, flat

PASSING = {contract.PREFIX_MARKERS, contract.PREFIX_REBUILD, contract.PREFIX_FUNCTION_INPUTS}


@pytest.fixture
def bucket(dev):
    return dev.one("S3::Bucket", "Archive")


def rules(synthesized: Synthesized):
    bucket = synthesized.one("S3::Bucket", "Archive")
    return {rule.get("Prefix"): rule for rule in bucket["LifecycleConfiguration"]["Rules"]}


def test_nobody_outside_reads_the_archive(bucket):
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_the_archive_is_encrypted_and_versioned(bucket):
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}


def test_the_archive_is_spoken_to_by_tls_alone(dev):
    [policy] = dev.resources("S3::BucketPolicy").values()
    [statement] = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_events_grow_colder_and_are_kept_for_good_by_default(dev):
    events = rules(dev)[contract.PREFIX_EVENTS]
    assert "ExpirationInDays" not in events
    assert [step["TransitionInDays"] for step in events["Transitions"]] == [30, 90]
    assert contract.PREFIX_QUARANTINE not in rules(dev)


def test_a_retention_ends_events_and_quarantine_and_nothing_else(prod):
    ended = {prefix for prefix, rule in rules(prod).items() if "ExpirationInDays" in rule}
    assert ended - PASSING == {contract.PREFIX_EVENTS, contract.PREFIX_QUARANTINE}
    assert rules(prod)[contract.PREFIX_EVENTS]["ExpirationInDays"] == 400


def test_what_is_needed_only_while_something_runs_goes_by_itself_and_for_good(dev):
    ended = {prefix: rule for prefix, rule in rules(dev).items() if "ExpirationInDays" in rule}
    assert ended.keys() == PASSING
    for rule in ended.values():
        assert rule["ExpirationInDays"] == 14
        assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}


def test_nothing_empties_the_archive_when_the_stack_goes(dev):
    assert "AutoDeleteObjects" not in json.dumps(dev.template)


def mapping(synthesized: Synthesized):
    return synthesized.one("Lambda::EventSourceMapping", "Archive")


def test_the_archiver_never_gives_up_and_keeps_the_order_of_each_shard(dev):
    asked = mapping(dev)
    assert (asked["MaximumRetryAttempts"], asked["MaximumRecordAgeInSeconds"]) == (-1, -1)
    assert asked["ParallelizationFactor"] == 1
    assert asked["BisectBatchOnFunctionError"] is False
    assert not {"DestinationConfig", "FilterCriteria", "FunctionResponseTypes"} & asked.keys()


def test_the_archiver_reads_the_stream_from_its_beginning_in_large_batches(dev, prod):
    asked = mapping(dev)
    assert "Archive" in flat(asked["FunctionName"])
    assert flat(asked["EventSourceArn"]).startswith("<Stream")
    assert asked["StartingPosition"] == "TRIM_HORIZON"
    assert asked["BatchSize"] == 10_000
    assert [mapping(one)["MaximumBatchingWindowInSeconds"] for one in (dev, prod)] == [60, 30]


def test_the_archiver_may_read_the_stream_before_its_mapping_is_made(dev):
    [raw] = [one for name, one in dev.raw("Lambda::EventSourceMapping").items() if "Archive" in name]
    assert any("Policy" in name for name in raw["DependsOn"])
