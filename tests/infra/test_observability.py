import json

import pytest

from shared import contract
from tests.infra.conftest import flat

OURS = {value for name, value in vars(contract).items() if name.startswith("METRIC_")}
AWS = {
    "AWS/Lambda": {"Errors", "Throttles", "IteratorAge"},
    "AWS/Kinesis": {"WriteProvisionedThroughputExceeded"},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
    "AWS/States": {"ExecutionsFailed", "ExecutionsTimedOut"},
}


def alarms(synthesized):
    return synthesized.resources("CloudWatch::Alarm").values()


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_every_function_has_an_alarm_on(dev, metric):
    """All but those of a rebuild: their errors are tried again, and its executions have alarms."""
    watching = [alarm for alarm in alarms(dev) if alarm["MetricName"] == metric]
    watched = {flat(alarm["Dimensions"][0]["Value"]) for alarm in watching}
    functions = dev.resources("Lambda::Function")
    assert watched == {f"<{function}>" for function in functions if not function.startswith("Rebuild")}


@pytest.mark.parametrize(
    "metric",
    [
        "IteratorAge",
        "WriteProvisionedThroughputExceeded",
        "ExecutionsFailed",
        "ExecutionsTimedOut",
        "ApproximateNumberOfMessagesVisible",
        contract.METRIC_EVENTS_QUARANTINED,
        contract.METRIC_EVENTS_FAILED,
        contract.METRIC_FUNCTIONS_QUARANTINED,
        contract.METRIC_PROFILES_BROKEN,
        contract.METRIC_INVARIANT_VIOLATIONS,
        contract.METRIC_BATCHES_FAILED,
    ],
)
def test_an_alarm_watches(dev, metric):
    assert metric in {alarm["MetricName"] for alarm in alarms(dev)}


def test_each_consumer_of_a_stream_has_an_alarm_on_its_lag(dev):
    lags = [alarm for alarm in alarms(dev) if alarm["MetricName"] == "IteratorAge"]
    watched = {flat(alarm["Dimensions"][0]["Value"]): alarm["Threshold"] for alarm in lags}
    parts = ("Ingest", "Archive", "Dispatch")
    lag_of = {part: next(lag for name, lag in watched.items() if part in name) for part in parts}
    assert lag_of == {"Ingest": 600_000, "Archive": 3_600_000, "Dispatch": 600_000}


def test_every_alarm_cites_a_metric_that_exists_and_says_what_to_do(dev):
    for alarm in alarms(dev):
        known = OURS if alarm["Namespace"] == contract.METRICS_NAMESPACE else AWS[alarm["Namespace"]]
        assert alarm["MetricName"] in known
        assert alarm["AlarmDescription"].endswith(".")


def test_alarms_on_our_metrics_cover_all_builders_of_the_stage(prod):
    ours = [alarm for alarm in alarms(prod) if alarm["Namespace"] == contract.METRICS_NAMESPACE]
    for alarm in ours:
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
        assert dimensions == {"service": contract.SERVICE, "stage": "prod"}


def test_alarms_are_mailed_where_a_stage_names_an_address(dev, prod):
    assert not any("AlarmActions" in alarm for alarm in alarms(dev))
    [topic] = prod.resources("SNS::Topic")
    assert all(alarm["AlarmActions"] == [{"Ref": topic}] for alarm in alarms(prod))
    [subscription] = prod.resources("SNS::Subscription").values()
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_alarms_travel_encrypted(prod):
    [topic] = prod.resources("SNS::Topic").values()
    assert "KmsMasterKeyId" in topic
    [key] = prod.resources("KMS::Key").values()
    assert key["EnableKeyRotation"] is True
    assert "cloudwatch.amazonaws.com" in json.dumps(key["KeyPolicy"])


def test_the_dashboard_shows_the_flow_of_events(dev):
    [dashboard] = dev.resources("CloudWatch::Dashboard").values()
    body = flat(dashboard["DashboardBody"])
    for metric in (
        contract.METRIC_EVENTS_IN,
        contract.METRIC_EVENTS_FAILED,
        contract.METRIC_FOLLOW_UPS_UNFINISHED,
        contract.METRIC_BATCH_AGE,
        contract.METRIC_REQUEST_UNITS,
        contract.METRIC_FUNCTIONS_RUN,
        contract.METRIC_FUNCTION_AGE,
        contract.METRIC_REBUILD_EVENTS,
        "ExecutionsStarted",
    ):
        assert f'"{metric}"' in body
