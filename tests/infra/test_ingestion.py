from tests.infra.conftest import flat


def test_the_drain_runs_every_five_minutes_and_never_twice_at_once(dev):
    [rule] = dev.resources("Events::Rule").values()
    assert rule["ScheduleExpression"] == "rate(5 minutes)"
    assert "DrainFunction" in flat(rule["Targets"][0]["Arn"])
    assert dev.functions()["drain"]["Timeout"] < 5 * 60


def test_the_drain_outlasts_an_ingestion_it_waits_for(dev):
    assert dev.functions()["drain"]["Timeout"] > 2 * dev.functions()["ingest"]["Timeout"]


def test_no_mapping_of_ingestion_is_made_but_by_publishing(dev):
    mapped = [flat(one["FunctionName"]) for one in dev.resources("Lambda::EventSourceMapping").values()]
    assert not [name for name in mapped if "Ingest" in name]


def test_concurrency_is_reserved_only_where_a_stage_says_so(dev, prod):
    for name in ("ingest", "archive"):
        assert "ReservedConcurrentExecutions" not in dev.functions()[name]
    assert prod.functions()["ingest"]["ReservedConcurrentExecutions"] == 20
    assert prod.functions()["archive"]["ReservedConcurrentExecutions"] == 4
