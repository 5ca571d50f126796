"""`kith validate`: each problem with its path and line."""

import json

import pytest
from typer.testing import CliRunner

from cli.main import app

GOOD = """\
name: {name}
identifiers:
  user_id: {{from: userId}}
attributes:
  events: {{aggregation: count}}
"""
BAD = """\
name: bad
identifiers:
  user_id: {from: userId}
attributes:
  total: {from: properties.total, type: string, aggregation: sum}
  oops: 1
"""


def kith(*arguments):
    return CliRunner().invoke(app, ["validate", *map(str, arguments)])


@pytest.fixture
def builders(tmp_path, monkeypatch):
    folder = tmp_path / "builders"
    for name in ("accounts", "customers"):
        (folder / name).mkdir(parents=True)
        (folder / name / "builder.yaml").write_text(GOOD.format(name=name))
    monkeypatch.chdir(tmp_path)
    return folder


def test_every_folder_of_builders_is_checked_by_default(builders):
    (builders / ".hidden").mkdir()
    result = kith()
    assert result.exit_code == 0
    assert result.stdout == "builders/accounts: ok\nbuilders/customers: ok\n"


def test_all_problems_are_told_with_path_and_line(builders):
    (builders / "bad").mkdir()
    (builders / "bad" / "builder.yaml").write_text(BAD)
    result = kith()
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("builders/bad/builder.yaml:5: attributes.total")
    assert second.startswith("builders/bad/builder.yaml:6: attributes.oops: must be a mapping")
    assert "builders/customers: ok" in result.stdout


def test_options_of_a_profile_function_that_is_not_there_are_an_error_that_says_what_to_do(builders):
    source = builders / "customers" / "builder.yaml"
    source.write_text(GOOD.format(name="customers") + "profile_function: {debounce: 0 seconds}\n")
    result = kith(builders / "customers")
    assert result.exit_code == 1
    assert result.stderr == (
        f"{source}:6: profile_function: there is no profile.py beside it: "
        "add one that defines `profile`, or leave this out\n"
    )
    (builders / "customers" / "profile.py").write_text("def profile(events, user, context):\n    pass\n")
    assert kith(builders / "customers").exit_code == 0


def test_json_tells_the_same(builders):
    (builders / "customers" / "builder.yaml").write_text(BAD.replace("bad", "customers"))
    result = kith("--json", builders / "customers")
    assert result.exit_code == 1
    (told,) = json.loads(result.stdout)
    assert told["ok"] is False
    assert [one["line"] for one in told["problems"]] == [5, 6]


def test_a_folder_of_builders_must_be_called_as_its_builder(builders):
    (builders / "customers" / "builder.yaml").write_text(GOOD.format(name="shop"))
    assert "name: must be the folder's name, customers" in kith().stderr


def test_a_folder_elsewhere_may_be_called_as_it_likes(tmp_path):
    (tmp_path / "builder.yaml").write_text(GOOD.format(name="shop"))
    assert kith(tmp_path).exit_code == 0


def test_python_files_must_be_python(builders):
    (builders / "customers" / "transform.py").write_text("def transform(event, context):\n  return {\n")
    result = kith()
    assert result.exit_code == 1
    assert "builders/customers/transform.py:2: " in result.stderr


@pytest.mark.parametrize("name", ["transform.py", "profile.py"])
@pytest.mark.parametrize("deep", ["-" * 100_000 + "1", "a" + ".a" * 20_000, "a" + ".a" * 2000])
def test_a_python_file_that_nests_too_deep_is_a_problem_like_any_other(builders, name, deep):
    (builders / "customers" / name).write_text(f"x = {deep}\n")
    result = kith()
    assert result.exit_code == 1
    assert result.stderr == f"builders/customers/{name}:1: nests too deep to be read\n"
    assert "builders/accounts: ok" in result.stdout


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_folder_without_a_readable_definition_is_a_problem(builders, content):
    (builders / "empty").mkdir()
    if content:
        (builders / "empty" / "builder.yaml").write_bytes(content)
    result = kith()
    assert result.exit_code == 1
    what = "is not UTF-8" if content else "is missing"
    assert result.stderr == f"builders/empty/builder.yaml:1: {what}\n"


@pytest.mark.parametrize("name", ["nowhere", "customers/builder.yaml"])
def test_what_is_no_folder_is_told(builders, name):
    result = kith(builders / name)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{builders / name}:1: is no folder: ")


def test_without_a_folder_of_builders_it_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = kith()
    assert result.exit_code == 1
    assert "no folder builders/" in result.stderr
    (tmp_path / "builders").mkdir()
    assert "holds no folder" in kith().stderr
