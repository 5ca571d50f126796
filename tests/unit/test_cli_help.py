"""Every command has help, plain in a pipe; usage errors exit with 2, failures with 1 and a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from pynamodb.exceptions import GetError
from typer.testing import CliRunner

from cli import errors, target
from cli.main import app

CUSTOMERS = Path(__file__).parents[2] / "builders" / "customers"

COMMANDS = [
    [],
    ["init"],
    ["validate"],
    ["test"],
    ["send"],
    ["get"],
    ["events"],
    ["fold"],
    ["backfill"],
    ["draft"],
    ["preview"],
    ["publish"],
    ["builds"],
    ["versions"],
    ["rollback"],
    ["cancel"],
    ["verify"],
    ["quarantine"],
    ["quarantine", "list"],
    ["quarantine", "show"],
    ["quarantine", "replay"],
    ["functions"],
    ["functions", "errors"],
    ["functions", "retry"],
]


def kith(*arguments, **options):
    return CliRunner().invoke(app, [str(one) for one in arguments], prog_name="kith", **options)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_plain_help(command):
    result = kith(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: {' '.join(['kith', *command])} ")
    assert result.stdout.isascii(), "no boxes"
    assert "\x1b" not in result.stdout, "no colours"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["get"],
        ["get", "user_id"],
        ["get", "user_id", "u1", "--id", "p1"],
        ["get", "user_id", "u1", "--version", "0"],
        ["send"],
        ["send", "-", "--rate", "0"],
        ["fold", "missing.jsonl", "--builder", ".", "--out", "x"],
        ["fold"],
        ["events", "user_id"],
        ["draft", "builders/customers", "--builder", "customers"],
        ["rollback", "customers"],
        ["rollback", "customers", "0"],
        ["cancel"],
        ["verify", "customers", "--versions", "1"],
        ["quarantine", "show"],
        ["quarantine", "replay"],
        ["functions", "retry"],
        ["functions", "retry", "an-id", "--all"],
        ["quarantine", "replay", "an-id", "--all"],
        ["quarantine", "replay", "an-id", "--reason", "not_json"],
        ["quarantine", "list", "--since", "yesterday"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_says_so_on_stderr(arguments, local_cloud):
    assert local_cloud
    result = kith(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.fixture
def local_cloud(tmp_path, monkeypatch):
    """A folder whose connection file names a cloud that nobody runs."""
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "to be restored")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "to be restored")
    (tmp_path / ".local").mkdir()
    file = tmp_path / target.CONNECTION_FILE
    file.write_text(
        '{"endpoint_url": "http://127.0.0.1:9", "region": "us-east-1", "stage": "local",'
        ' "access_key_id": "k",'
        ' "secret_access_key": "s", "outputs": {"StreamName": "s", "ProfilesTable": "p",'
        ' "IdentifiersTable": "i", "RegistryTable": "r", "ArchiveBucket": "a", "IngestFunction": "f"}}'
    )
    below = tmp_path / "some" / "folder"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return file


def test_without_a_cloud_a_command_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = kith("get", "user_id", "u1")
    assert result.exit_code == 1
    assert "make run" in result.stderr
    assert "--stage" in result.stderr


@pytest.mark.parametrize("arguments", [["list"], ["replay", "--all"]], ids=" ".join)
def test_wrong_usage_is_told_without_a_cloud_as_well(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert kith("quarantine", *arguments, "--since", "yesterday").exit_code == 2


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["at its end", "at once"])
def test_what_could_not_be_printed_is_told_in_a_sentence(unbuffered):
    command = [sys.executable, "-c", "from cli.main import main; main()", "validate", str(CUSTOMERS)]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(  # noqa: S603 - our own command
            command,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode == 1
    assert ended.stderr == "kith: what was to be written is not written whole: No space left on device\n"


def test_the_local_cloud_is_found_from_a_folder_below(local_cloud):
    assert local_cloud
    assert target.resolve(None).output("StreamName") == "s"


def test_a_damaged_connection_file_says_what_to_do(local_cloud):
    local_cloud.write_text("{")
    result = kith("get", "user_id", "u1")
    assert result.exit_code == 1
    assert "run `make run` again" in result.stderr


def test_an_output_that_is_missing_says_what_to_do(local_cloud):
    assert local_cloud
    with pytest.raises(errors.Failure, match="deploy again"):
        target.resolve(None).output("Nonsense")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["send", "./nothing"], "./nothing cannot be read: No such file or directory"),
        (["send", "folder/"], "folder/ cannot be read: Is a directory"),
        (["validate", "a" * 300], f"{'a' * 300}: File name too long"),
        (["draft", "a" * 300], f"{'a' * 300}: File name too long"),
        (["init", "file/below"], "file/below: Not a directory"),
        (["validate", "\udcff", "--json"], "an argument, or the name of a file, is no UTF-8"),
    ],
    ids=" ".join,
)
def test_what_is_no_file_is_told_in_a_sentence(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    result = kith(*arguments)
    assert (result.exit_code, result.stderr) == (1, f"kith: {message}\n")


def test_an_error_of_aws_is_told_in_a_sentence(monkeypatch):
    refusal = ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "DescribeStacks")
    unreached = EndpointConnectionError(endpoint_url="x")
    of_registry = GetError("Failed to get item", unreached)
    for error in (refusal, NoCredentialsError(), NoRegionError(), unreached, of_registry):
        monkeypatch.setattr(target, "_on_aws", _raising(error))
        result = kith("get", "user_id", "u1", "--stage", "dev")
        assert result.exit_code == 1
        assert result.stderr.startswith("kith: ")
        assert result.stderr.count("\n") == 1
        assert ".." not in result.stderr


def test_an_unexpected_error_is_not_hidden(monkeypatch):
    monkeypatch.setattr(target, "_on_aws", _raising(KeyError("a mistake")))
    assert isinstance(kith("get", "user_id", "u1", "--stage", "dev").exception, KeyError)


def _raising(error):
    def fail(_stage):
        raise error

    return fail


def test_help_imports_neither_aws_nor_pydantic():
    code = (
        "import sys, cli.main; "
        "print([name for name in ('botocore', 'boto3', 'pydantic', 'pynamodb') if name in sys.modules])"
    )
    ran = subprocess.run(  # noqa: S603 - our own code, in a process that has imported nothing yet
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "[]\n"
