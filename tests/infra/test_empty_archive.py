import subprocess
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError

from infra import empty_archive
from infra.bundle import ROOT
from infra.empty_archive import STACK, main
from shared import contract
from tests.moto_cloud import create_bucket, moto_clients

REGION = "eu-central-1"


class Stacks:
    """CloudFormation as the resource of it that is asked: stacks by name, with their outputs."""

    def __init__(self):
        self.outputs = {STACK: [{"OutputKey": contract.OUTPUT_ARCHIVE_BUCKET, "OutputValue": "archive"}]}

    def Stack(self, name):  # noqa: N802 - boto3's
        if name not in self.outputs:
            raise ClientError({"Error": {"Code": "ValidationError"}}, "DescribeStacks")
        return SimpleNamespace(stack_id=f"arn:{name}", outputs=self.outputs[name])


@pytest.fixture
def stacks(monkeypatch):
    stacks = Stacks()
    resources = {"cloudformation": stacks}
    real = boto3.resource
    monkeypatch.setattr(boto3, "resource", lambda service: resources.get(service) or real(service))
    return stacks


@pytest.fixture
def aws(stacks):  # noqa: ARG001 - the stack is there
    """A deployed stack whose archive holds an object and an older version of it."""
    with moto_clients(REGION) as client:
        s3 = client("s3")
        create_bucket(s3, "archive", REGION)
        s3.put_bucket_versioning(Bucket="archive", VersioningConfiguration={"Status": "Enabled"})
        for body in (b"old", b"new"):
            s3.put_object(Bucket="archive", Key="events/1", Body=body)
        yield client


@pytest.fixture
def typed(monkeypatch):
    """Let somebody type this."""

    def typed(text: str):
        monkeypatch.setattr("builtins.input", lambda _: text)

    return typed


def held(aws):
    return len(aws("s3").list_object_versions(Bucket="archive").get("Versions", []))


def test_typing_the_stacks_name_deletes_every_version_of_every_object(aws, typed):
    typed(STACK)
    main("dev")
    assert held(aws) == 0


@pytest.mark.parametrize("text", ["", "y", "yes", "dev", "kith-prod", "KITH-DEV"])
def test_typing_anything_else_deletes_nothing(aws, typed, text):
    typed(text)
    with pytest.raises(SystemExit, match=r"Nothing was deleted\."):
        main("dev")
    assert held(aws) == 2


def test_what_was_confirmed_before_is_not_asked_again(aws, monkeypatch):
    monkeypatch.setattr("builtins.input", None)
    with pytest.raises(SystemExit, match=r"Nothing was deleted\."):
        main("dev", "kith-prod")
    main("dev", STACK)
    assert held(aws) == 0


def test_nothing_is_deleted_where_nobody_can_type(aws, monkeypatch):
    def closed(_):
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    with pytest.raises(SystemExit, match=r"Nothing was deleted\."):
        main("dev")
    assert held(aws) == 2


@pytest.mark.parametrize("stage", ["prod", "dev2", "Dev", ""])
def test_any_other_stage_is_refused_before_aws_is_asked(monkeypatch, stage):
    monkeypatch.setattr(empty_archive, "boto3", None)
    with pytest.raises(SystemExit, match=r"docs/infrastructure\.md") as refused:
        main(stage)
    assert isinstance(refused.value.code, str), "a text: the exit status is then 1"


def test_a_stack_whose_first_deploy_made_no_archive_has_none_to_empty(aws, stacks, typed):
    stacks.outputs[STACK] = None
    typed(STACK)
    main("dev")
    assert held(aws) == 2


def test_a_stack_that_is_not_there_is_said_to_be_missing(stacks, typed):
    stacks.outputs.clear()
    typed(STACK)
    with pytest.raises(SystemExit, match=f"{STACK} cannot be found"):
        main("dev")


def test_make_passes_the_stage_on_and_shows_what_it_would_do_without_doing_it():
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "destroy", "STAGE=prod"],  # noqa: S607 - whichever make there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    emptied, destroyed = done.stdout.replace("\\\n", "").splitlines()[-2:]
    assert emptied.endswith('-m infra.empty_archive "prod"')
    first, again = destroyed.split("||")
    assert first.rstrip().endswith("cdk destroy --force -c stage=dev")
    assert '-m infra.empty_archive "prod" kith-dev && ' in again
    assert "cdk destroy --force -c stage=dev;" in again
