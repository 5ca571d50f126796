import pytest

from infra.bundle import ROOT
from shared import contract
from tests.infra.conftest import as_list, flat

FUNCTIONS = ["ingest", "drain", "publish"]

WILDCARDS = {
    ("ingest", "s3:GetObject", "/definitions/*"),
    ("ingest", "s3:PutObject", "/quarantine/*"),
    ("ingest", "s3:PutObject", "/aws/lambda/*"),
    ("drain", "lambda:InvokeFunction", ":*"),
    ("drain", "s3:DeleteObject", "/aws/lambda/*"),
    ("drain", "s3:GetObject", "/aws/lambda/*"),
    ("drain", "s3:PutObject", "/quarantine/*"),
    ("publish", "s3:GetObject", "/definitions/*"),
    ("publish", "s3:PutObject", "/definitions/*"),
    ("publish", "lambda:CreateAlias", ":*"),
    ("publish", "lambda:DeleteAlias", ":*"),
    ("publish", "lambda:GetAlias", ":*"),
    ("publish", "lambda:ListAliases", ":*"),
    ("publish", "lambda:UpdateAlias", ":*"),
    ("publish", "lambda:CreateEventSourceMapping", "*"),
    ("publish", "lambda:DeleteEventSourceMapping", "*"),
    ("publish", "lambda:GetEventSourceMapping", "*"),
    ("publish", "lambda:UpdateEventSourceMapping", "*"),
    ("publish", "lambda:ListEventSourceMappings", "*"),
    ("drain", "lambda:GetEventSourceMapping", "*"),
}
"""All that roles may do on more than named resources: keys of objects, aliases, and mappings not yet made."""


def permissions(dev, function):
    for statement in dev.statements(function):
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                yield action, flat(resource)


def test_every_function_has_its_handler(dev):
    assert sorted(dev.functions()) == sorted(FUNCTIONS)
    for name in dev.functions():
        assert "def handler(" in (ROOT / "lambdas" / name / "handler.py").read_text()


def test_every_function_has_a_role_of_its_own_without_managed_policies(dev):
    roles = [function["Role"]["Fn::GetAtt"][0] for function in dev.functions().values()]
    assert len(set(roles)) == len(FUNCTIONS)
    for role in dev.resources("IAM::Role").values():
        assert "ManagedPolicyArns" not in role
        assert "Policies" not in role


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_never_allows_actions_by_wildcard(dev, function):
    assert not [action for action, _ in permissions(dev, function) if "*" in action]


def test_a_role_allows_more_than_named_resources_only_where_it_must(dev):
    found = {
        (function, action, resource[resource.rfind(">") + 1 :])
        for function in FUNCTIONS
        for action, resource in permissions(dev, function)
        if "*" in resource
    }
    assert found == WILDCARDS


def test_changing_mappings_is_held_to_the_ingestion_function(dev):
    [conditions] = [
        statement["Condition"]
        for statement in dev.statements("publish")
        if "lambda:CreateEventSourceMapping" in as_list(statement["Action"])
    ]
    assert "IngestFunction" in flat(conditions["ArnLike"]["lambda:FunctionArn"])


def test_ingestion_may_write_profiles_and_only_read_the_registry(dev):
    registry = {action for action, resource in permissions(dev, "ingest") if "Registry" in resource}
    assert registry == {"dynamodb:GetItem"}
    for table in ("Profiles", "Identifiers"):
        allowed = {action for action, resource in permissions(dev, "ingest") if f"Storage{table}" in resource}
        assert {"dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:UpdateItem"} <= allowed
        assert "dynamodb:Scan" not in allowed


def test_only_ingestion_touches_profiles(dev):
    for function in ("drain", "publish"):
        assert not [resource for _, resource in permissions(dev, function) if "StorageProfiles" in resource]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_runs_on_arm_with_logs_of_its_own(dev, function):
    properties = dev.functions()[function]
    assert properties["Runtime"] == "python3.13"
    assert properties["Architectures"] == ["arm64"]
    assert "TracingConfig" not in properties
    assert properties["LoggingConfig"]["LogGroup"]["Ref"] in dev.resources("Logs::LogGroup")


def test_logs_are_kept_as_long_as_the_stage_says(dev, prod):
    assert {group["RetentionInDays"] for group in dev.resources("Logs::LogGroup").values()} == {14}
    assert {group["RetentionInDays"] for group in prod.resources("Logs::LogGroup").values()} == {365}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_knows_its_stage_and_what_its_metrics_are_filed_under(dev, function):
    environment = dev.functions()[function]["Environment"]["Variables"]
    assert environment[contract.ENV_STAGE] == "dev"
    assert environment["POWERTOOLS_SERVICE_NAME"] == contract.SERVICE
