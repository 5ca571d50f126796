import re

import pytest

from infra.bundle import ROOT, functions_in
from shared import contract
from tests.infra.conftest import as_list, flat

REBUILD = functions_in("rebuild")
PROFILE_FUNCTIONS = ["functions_dispatch", "functions_run", "functions_sandbox"]
FUNCTIONS = ["archive", "ingest", "drain", "publish", "transform", *PROFILE_FUNCTIONS, *REBUILD]

WILDCARDS = {
    ("archive", "s3:PutObject", "/events/*"),
    ("archive", "s3:PutObject", "/markers/*"),
    ("ingest", "s3:GetObject", "/definitions/*"),
    ("ingest", "s3:PutObject", "/quarantine/*"),
    ("ingest", "s3:PutObject", "/markers/*"),
    ("ingest", "s3:PutObject", "/aws/lambda/*"),
    ("drain", "lambda:InvokeFunction", ":*"),
    ("drain", "s3:DeleteObject", "/aws/lambda/*"),
    ("drain", "s3:GetObject", "/aws/lambda/*"),
    ("drain", "s3:PutObject", "/quarantine/*"),
    ("ingest", "s3:PutObject", "/retries/*"),
    ("drain", "s3:DeleteObject", "/retries/*"),
    ("drain", "s3:GetObject", "/retries/*"),
    ("publish", "s3:PutObject", "/definitions/*"),
    ("publish", "lambda:CreateAlias", ":*"),
    ("publish", "lambda:DeleteAlias", ":*"),
    ("publish", "lambda:ListAliases", ":*"),
    ("publish", "lambda:CreateEventSourceMapping", "*"),
    ("publish", "lambda:DeleteEventSourceMapping", "*"),
    ("publish", "lambda:UpdateEventSourceMapping", "*"),
    ("publish", "lambda:ListEventSourceMappings", "*"),
    ("drain", "lambda:GetEventSourceMapping", "*"),
    ("functions_dispatch", "dynamodb:ListStreams", "/stream/*"),
    ("functions_run", "s3:GetObject", "/definitions/*"),
    ("functions_run", "s3:PutObject", "/functions/errors/*"),
    ("functions_run", "s3:GetObject", "/functions/inputs/*"),
    ("functions_run", "s3:PutObject", "/functions/inputs/*"),
    ("functions_sandbox", "secretsmanager:GetSecretValue", ":secret:kith/*"),
    ("transform", "secretsmanager:GetSecretValue", ":secret:kith/*"),
    ("rebuild_replay", "s3:GetObject", "/functions/inputs/*"),
    ("rebuild_replay", "s3:PutObject", "/functions/inputs/*"),
    *(
        (f"rebuild_{state}", f"s3:{verb}Object", "/rebuild/*")
        for state in ("plan", "scan", "link", "shuffle", "replay", "verify", "follow")
        for verb in ("Get", "Put")
    ),
    ("rebuild_scan", "s3:GetObject", "/events/*"),
    ("rebuild_scan", "s3:PutObject", "/quarantine/*"),
    *((f"rebuild_{state}", "s3:GetObject", "/definitions/*") for state in ("scan", "replay", "verify")),
    *(("rebuild_clean_up", f"s3:{verb}Object", "/rebuild/*") for verb in ("Get", "Put", "Delete")),
    ("rebuild_clean_up", "s3:DeleteObject", "/quarantine/*"),
    ("rebuild_clean_up", "s3:DeleteObject", "/functions/errors/*"),
    ("rebuild_plan", "lambda:GetAccountSettings", "*"),
    ("rebuild_follow", "lambda:CreateAlias", ":*"),
    ("rebuild_follow", "lambda:CreateEventSourceMapping", "*"),
    ("rebuild_follow", "lambda:UpdateEventSourceMapping", "*"),
    ("rebuild_cut_over", "lambda:DeleteAlias", ":*"),
    ("rebuild_cut_over", "lambda:DeleteEventSourceMapping", "*"),
    ("rebuild_fail", "lambda:DeleteAlias", ":*"),
    ("rebuild_fail", "lambda:DeleteEventSourceMapping", "*"),
    ("rebuild_follow", "lambda:DeleteAlias", ":*"),
    ("rebuild_follow", "lambda:DeleteEventSourceMapping", "*"),
    ("rebuild_clean_up", "lambda:DeleteAlias", ":*"),
    ("rebuild_clean_up", "lambda:DeleteEventSourceMapping", "*"),
    *(
        (f"rebuild_{state}", "lambda:ListEventSourceMappings", "*")
        for state in ("follow", "cut_over", "fail", "clean_up")
    ),
}
"""All that roles may do on more than named resources: keys of objects, aliases, and mappings not yet made."""


ADAPTER = ROOT / "shared" / "adapters" / "dynamo"
CALLS = "".join((ADAPTER / name).read_text() for name in ("client.py", "inserts.py"))
STORE = "".join(file.read_text() for file in sorted(ADAPTER.glob("*.py")))
TRANSACTION = "transact_write_items"
STATEMENTS = "batch_execute_statement"


def permissions(dev, function):
    for statement in dev.statements(function):
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                yield action, flat(resource)


def allowed(dev, function, resource):
    return {action for action, arn in permissions(dev, function) if resource in arn}


def stored_actions():
    """IAM's names of the DynamoDB calls that the source of the store makes."""
    calls = set(re.findall(r"self\._client\.([a-z_]+_(?:items?|statement))\b", CALLS))
    actions = {call.title().replace("_", "") for call in calls - {TRANSACTION, STATEMENTS}}
    if STATEMENTS in calls:  # and for what its statements do
        actions |= {f"PartiQL{verb.title()}" for verb in re.findall(r'"?\b([A-Z]+) INTO "', STORE)}
    if TRANSACTION in calls:  # IAM asks for what a transaction does
        verbs = re.findall(r'\b(?:act|Action)\("(\w+)"', STORE)
        actions |= {f"{verb}Item" for verb in verbs}
    return {f"dynamodb:{action}" for action in actions}


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


@pytest.mark.parametrize(
    ("function", "action"),
    [
        ("publish", "lambda:CreateEventSourceMapping"),
        ("drain", "lambda:GetEventSourceMapping"),
        ("rebuild_follow", "lambda:CreateEventSourceMapping"),
        ("rebuild_follow", "lambda:DeleteEventSourceMapping"),
        ("rebuild_cut_over", "lambda:DeleteEventSourceMapping"),
        ("rebuild_fail", "lambda:DeleteEventSourceMapping"),
    ],
)
def test_mappings_are_held_to_the_ingestion_function_with_an_alias_or_without(dev, function, action):
    [conditions] = [
        statement["Condition"]
        for statement in dev.statements(function)
        if action in as_list(statement["Action"])
    ]
    [ingest] = [name for name in dev.resources("Lambda::Function") if "IngestFunction" in name]
    arns = [flat(arn) for arn in conditions["ArnLike"]["lambda:FunctionArn"]]
    assert arns == [f"<{ingest}.Arn>", f"<{ingest}.Arn>:*"]


def test_ingestion_may_do_to_profiles_exactly_what_its_store_does(dev):
    assert allowed(dev, "ingest", "StorageProfiles") == stored_actions()


def test_ingestion_reads_and_moves_pointers_and_deletes_none(dev):
    assert not re.search(r"client\.(write|delete)\(\s*self\._tables\.identifiers", STORE)
    assert set(re.findall(r'Action\("(\w+)", tables\.identifiers', STORE)) == {"Put"}
    assert allowed(dev, "ingest", "StorageIdentifiers") == {
        "dynamodb:BatchGetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    }


@pytest.mark.parametrize("function", REBUILD)
def test_a_rebuild_sees_and_writes_rows_of_the_registry_that_it_knows(dev, function):
    assert allowed(dev, function, "StorageRegistry") <= {
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
    }


def test_only_publishing_and_rebuilds_write_the_registry(dev):
    assert allowed(dev, "ingest", "StorageRegistry") == {"dynamodb:GetItem"}
    assert allowed(dev, "functions_run", "StorageRegistry") == {"dynamodb:GetItem"}
    assert allowed(dev, "drain", "StorageRegistry") == {"dynamodb:GetItem"}
    assert allowed(dev, "publish", "StorageRegistry") == {
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Scan",
    }


@pytest.mark.parametrize(
    ("function", "actions"),
    [
        ("archive", {"s3:PutObject"}),
        ("ingest", {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}),
        ("drain", {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"}),
        ("publish", {"s3:PutObject"}),
        ("functions_dispatch", set()),
        ("functions_run", {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}),
        ("functions_sandbox", set()),
    ],
)
def test_a_function_does_to_the_archive_what_it_must(dev, function, actions):
    """Listing also tells a missing object from a forbidden one, and Lambda asks for it of a destination."""
    assert allowed(dev, function, "ArchiveBucket") == actions


def test_only_ingestion_and_the_runs_of_functions_touch_profiles(dev):
    for function in ("archive", "drain", "publish", "transform", "functions_sandbox"):
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
