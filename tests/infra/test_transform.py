from shared import contract
from tests.infra.conftest import as_list, flat


def statements_on(dev, function):
    return [
        (action, flat(resource))
        for statement in dev.statements(function)
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]


def test_ingestion_calls_it_and_outlasts_a_call(dev):
    [name] = [one for one in dev.resources("Lambda::Function") if "TransformFunction" in one]
    environment = dev.functions()["ingest"]["Environment"]["Variables"]
    assert flat(environment[contract.ENV_TRANSFORM_FUNCTION]) == f"<{name}.Arn>"
    invoked = [arn for action, arn in statements_on(dev, "ingest") if action == "lambda:InvokeFunction"]
    assert invoked == [f"<{name}.Arn>"]
    assert dev.functions()["transform"]["Timeout"] < dev.functions()["ingest"]["Timeout"]
