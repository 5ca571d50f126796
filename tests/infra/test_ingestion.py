from tests.infra.conftest import flat


def test_the_drain_runs_every_five_minutes_and_never_twice_at_once(dev):
    [rule] = dev.resources("Events::Rule").values()
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    assert "DrainFunction" in flat(rule["Targets"][0]["Arn"])
    assert dev.functions()["drain"]["Timeout"] < 5 * 60


def test_the_drain_outlasts_an_ingestion_it_waits_for(dev):
    assert dev.functions()["drain"]["Timeout"] > 2 * dev.functions()["ingest"]["Timeout"]


def test_no_mapping_is_made_but_by_publishing(dev):
    assert dev.resources("Lambda::EventSourceMapping") == {}
