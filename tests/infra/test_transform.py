from shared import contract
from tests.infra.conftest import as_list, flat


def statements_on(dev, function):
    return [
        (action, flat(resource))
        for statement in dev.statements(function)
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    ]


def test_user_code_may_write_its_log_and_nothing_else(dev):
    allowed = statements_on(dev, "transform")
    assert {action for action, _ in allowed} == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert all("TransformTransformFunctionLogs" in resource for _, resource in allowed)


def test_user_code_learns_no_name_of_what_it_may_not_touch(dev):
    environment = dev.functions()["transform"]["Environment"]["Variables"]
    assert set(environment) == {contract.ENV_STAGE, "POWERTOOLS_SERVICE_NAME"}


def test_ingestion_calls_it_and_outlasts_a_call(dev):
    [name] = [one for one in dev.resources("Lambda::Function") if "TransformFunction" in one]
    environment = dev.functions()["ingest"]["Environment"]["Variables"]
    assert flat(environment[contract.ENV_TRANSFORM_FUNCTION]) == f"<{name}.Arn>"
    invoked = [arn for action, arn in statements_on(dev, "ingest") if action == "lambda:InvokeFunction"]
    assert invoked == [f"<{name}.Arn>"]
    assert dev.functions()["transform"]["Timeout"] < dev.functions()["ingest"]["Timeout"]
