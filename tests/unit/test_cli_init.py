"""`kith init` makes a builder that is whole, and `kith test` runs the tests that builders bring."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).parents[2]


def kith(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], prog_name="kith")


def kith_test(*arguments, **more):
    """Run it as a program: what pytest prints goes past the runner."""
    command = [sys.executable, "-c", "from cli.main import main; main()", "test", *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **more}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)  # noqa: S603


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_new_builder_is_valid_folds_its_samples_and_passes_its_tests():
    made = kith("init", "builders/orders")
    assert made.exit_code == 0
    assert "builders/orders/transform.py\n" in made.stdout
    assert kith("validate").stdout == "builders/orders: ok\n"
    folded = kith(
        "fold", "builders/orders/samples/events.jsonl", "--builder", "builders/orders", "--out", "-"
    )
    assert "4 events, 1 profile, 1 dropped (transform)" in folded.stderr
    tested = kith_test()
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert tested.stdout.startswith("orders:\n.....")
    assert not list(Path("builders").rglob("*.pyc"))


def test_an_editor_finds_the_schema_where_there_is_one():
    Path("builder.schema.json").touch()
    kith("init", "with")
    assert Path("with/builder.yaml").read_text().startswith("# yaml-language-server: $schema=../builder")
    kith("init", "a/without")
    assert Path("a/without/builder.yaml").read_text().startswith("name: without\n")


def test_what_is_there_is_never_written_over():
    Path("orders").mkdir()
    Path("orders/builder.yaml").write_text("mine")
    result = kith("init", "orders")
    assert result.exit_code == 1
    assert result.stderr == "kith: orders is not empty: name a folder that is new\n"
    assert Path("orders/builder.yaml").read_text() == "mine"


def test_a_folder_that_cannot_name_a_builder_is_refused():
    assert "cannot be a builder's name" in kith("init", "My-Orders").stderr


TESTS = """
import pytest
import transform as module
from cli.fixtures import TransformationError

def test_fixtures(transform, profiles, samples, context, builder):
    assert builder.definition.name == "orders"
    assert [one["messageId"] for one in samples] == ["given"]
    assert module.drop_robots({"context": {"userAgent": "bot"}}, context) == "drop"
    assert transform({"type": "page"}) == [{"type": "page"}]
    [folded] = profiles([{"userId": "u1"}, {"userId": "u1", "messageId": "2"}])
    assert folded["attributes"] == {"events": 2}

def test_functions(profile):
    ordered = {"event": "Order Completed", "userId": "u1", "context": {"userAgent": "x"}}
    traits = profile([ordered] * 2, traits={"a": 1})["traits"]
    assert traits == {"favourite_product": None, "is_loyal": True}
    assert profile([{"context": {"userAgent": "bot"}}])["traits"]["is_loyal"] is False

def test_failures(transform, profiles):
    bad = {"userId": "u1", "event": "Order Completed", "properties": 5}
    with pytest.raises(TransformationError, match="transform_error: TypeError at transform.py"):
        transform(bad)
    with pytest.raises(TransformationError):
        profiles([bad])

def test_that_fails():
    assert 1 == 2
"""


def test_tests_get_what_is_promised_and_what_fails_is_told():
    kith("init", "orders")
    Path("orders/tests/test_profile.py").unlink()
    Path("orders/tests/test_transform.py").write_text(TESTS)
    Path("given.jsonl").write_text('{"messageId": "given"}\n\n')
    result = kith_test("orders", "--events", "given.jsonl")
    assert result.returncode == 1
    assert "1 failed, 3 passed" in result.stdout


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("builder.yaml", "name: [", "builder.yaml:1:8: "),
        ("transform.py", "import os\ndef f(:", "transform.py:2: "),
        (
            "transform.py",
            "import os\nfrom helper import fix",
            "transform.py:2: imports `helper`, which is not in the cloud",
        ),
        (
            "transform.py",
            "def transform(event, context):\n    import helper",
            "transform.py:2: imports `helper`, which is not in the cloud",
        ),
        ("profile.py", "def profile(events, user): pass", "profile.py:1: `profile` must take three"),
        ("profile.py", "\nimport helper", "profile.py:2: imports `helper`, which is not in the cloud"),
        ("profile.py", "profile = print\nraise ValueError", "profile.py:2: cannot be run: ValueError"),
        (
            "transform.py",
            "try:\n    import helper\nfinally:\n    pass\ndef transform(event, context): pass",
            "transform.py:2: cannot be run: ModuleNotFound",
        ),
    ],
)
def test_a_builder_that_cannot_be_run_is_told_before_any_test(file, text, told):
    kith("init", "builders/orders")
    Path("builders/orders/helper.py").write_text("fix = 1\n")
    Path("builders/orders", file).write_text(text)
    tested = kith_test()
    assert tested.returncode != 0
    assert tested.stdout == ""
    assert f"builders/orders/{told}" in tested.stderr


SECRETIVE = """
import os

def test_that_fails(context, transform, profile):
    print(context.env["KEY"], os.environ["KEY"])
    assert context.env["KEY"] == transform({"a": 1})
    assert profile

def test_more(profile, context):
    assert repr(profile([{"a": context.env["KEY"]}])) == ""
"""


def test_secrets_come_from_the_environment_and_are_not_seen_in_what_tests_print():
    kith("init", "orders")
    yaml = Path("orders/builder.yaml").read_text()
    Path("orders/builder.yaml").write_text(yaml + "  KEY: {secret: kith/key}\n")
    Path("orders/tests/test_profile.py").unlink()
    Path("orders/tests/test_transform.py").write_text(SECRETIVE)
    Path("orders/profile.py").write_text(
        "def profile(events, user, context):\n    return {'traits': {'key': context.env['KEY']}}\n"
    )
    result = kith_test("orders", KEY="s3cret'value")
    assert "2 failed" in result.stdout
    assert "***" in result.stdout
    assert "s3cret" not in result.stdout + result.stderr
    result = kith_test("orders")
    assert "KEY: if builder.yaml says that it is a secret, set it in the environment" in result.stdout


COPYING = """
def transform(event, context):
    context.store.set("seen", (context.store.get("seen") or 0) + 1)
    return [event, {**event, "event": "copy"}]
"""
LISTING = """
def profile(events, user, context):
    names = [one["event"] for one in events]
    return {"traits": {"names": names, "seen": context.store.get("seen")}}
"""
OF_COPIES = """
ORDER = {"event": "order", "messageId": "m1", "timestamp": "2026-01-01T00:00:00Z"}

def test_each_of_a_fan_out_counts_once(profile):
    assert profile([ORDER, ORDER])["traits"]["names"] == ["order", "copy"]

def test_chain_function_and_test_have_one_store(profile, profiles, context):
    context.store.set("seen", 5)
    assert profile([ORDER])["traits"]["seen"] == 6
    [folded] = profiles([{**ORDER, "userId": "u1"}])
    assert folded["traits"]["seen"] == context.store.get("seen") == 7

def test_another_test_has_another(context):
    assert context.store.get("seen") is None
"""


def test_tests_see_what_a_cloud_would_give():
    kith("init", "orders")
    Path("orders/tests/test_profile.py").unlink()
    Path("orders/tests/test_transform.py").write_text(OF_COPIES)
    Path("orders/transform.py").write_text(COPYING)
    Path("orders/profile.py").write_text(LISTING)
    result = kith_test("orders")
    assert result.returncode == 0, result.stdout


def test_where_no_builder_has_tests_it_is_told():
    assert "no builder in builders/ has a folder tests/" in kith("test").stderr
    Path("empty").mkdir()
    assert kith("test", "empty").stderr == "kith: there is no folder tests/ in empty\n"
