import os
import subprocess
import sys

import pytest

from infra import bundle
from shared import contract

INGEST_MB_MAX = 60

IMPORT_ALONE = """
import sys
sys.path[:] = [sys.argv[1], *(path for path in sys.path if "site-packages" not in path)]
import importlib
for handler in sys.argv[2:]:
    importlib.import_module(handler)
"""

REACH_OUT_ALONE = """
import sys
sys.path[:] = [sys.argv[1], *(path for path in sys.path if "site-packages" not in path)]
from kith import FetchError, WarehouseError
from shared.adapters.tools import network_tools
from shared.core.fetch_rules import FetchRules
fetch, warehouse = network_tools(FetchRules(), {"main": "postgresql+pg8000://nobody@127.0.0.1:1/none"})
for call in (lambda: fetch("http://127.0.0.1:1/"), lambda: warehouse("main").query("SELECT 1")):
    try:
        call()
    except (FetchError, WarehouseError) as error:
        print(error)
"""

ENVIRONMENT = {
    contract.ENV_STAGE: "dev",
    contract.ENV_STREAM: "stream",
    contract.ENV_PROFILES_TABLE: "profiles",
    contract.ENV_IDENTIFIERS_TABLE: "identifiers",
    contract.ENV_REGISTRY_TABLE: "registry",
    contract.ENV_ARCHIVE_BUCKET: "archive",
    contract.ENV_INGEST_FUNCTION: "arn:aws:lambda:eu-west-1:000000000000:function:ingest",
    contract.ENV_REBUILD_LEAD_S: "60",
    contract.ENV_REBUILD_MARKER_DELAY_S: "120",
    contract.ENV_REBUILD_POLL_S: "15",
    contract.ENV_REBUILD_WRITE_UNITS: "4000",
    contract.ENV_REBUILD_CONCURRENCY: "50",
    contract.ENV_RELEASE: "this",
    contract.ENV_CONSUMER: '{"MaximumRecordAgeInSeconds": 3600}',
    contract.ENV_TRANSFORM_FUNCTION: "arn:aws:lambda:eu-west-1:000000000000:function:transform",
    contract.ENV_FUNCTIONS_QUEUE: "https://sqs.eu-west-1.amazonaws.com/000000000000/queue",
    contract.ENV_FUNCTIONS_SANDBOX: "arn:aws:lambda:eu-west-1:000000000000:function:sandbox",
    contract.ENV_FUNCTIONS_ATTEMPTS: "6",
    contract.ENV_FUNCTIONS_RETRY_S: "30",
    contract.ENV_USER_STORE: "user-store",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "POWERTOOLS_SERVICE_NAME": contract.SERVICE,
}


@pytest.fixture(scope="session")
def ingest():
    return bundle.bundle_function("ingest", "aws")


def test_ingestion_is_light(ingest):
    size = sum(file.stat().st_size for file in ingest.path.rglob("*") if file.is_file())
    assert size < INGEST_MB_MAX * 1_000_000


def test_binaries_are_made_for_the_functions_processor(ingest):
    binaries = [file.name for file in ingest.path.rglob("*.so")]
    assert binaries
    assert not [name for name in binaries if "x86_64" in name]


def test_a_bundle_holds_its_function_and_what_it_stands_on(ingest):
    assert (ingest.path / "lambdas" / "ingest" / "handler.py").exists()
    assert (ingest.path / "shared" / "contract.py").exists()
    assert [path.name for path in (ingest.path / "lambdas").iterdir() if path.is_dir()] == ["ingest"]
    assert not {"cli", "local", "infra", "tests", "builders"} & {path.name for path in ingest.path.iterdir()}


def test_botocore_knows_only_the_services_in_use(ingest):
    models = {model.name for model in (ingest.path / "botocore" / "data").iterdir() if model.is_dir()}
    assert models == set(bundle.SERVICES)


def test_publishing_carries_the_builders():
    published = bundle.bundle_function("publish", "aws", (contract.BUNDLED_BUILDERS,))
    assert (published.path / contract.BUNDLED_BUILDERS / "customers" / "builder.yaml").exists()


def test_the_same_content_is_the_same_asset_wherever_it_is_built(ingest, tmp_path, monkeypatch):
    (tmp_path / "packages").symlink_to(bundle.BUILD / "packages")
    monkeypatch.setattr(bundle, "BUILD", tmp_path)
    again = bundle.bundle_function("ingest", "aws")
    assert again.path != ingest.path
    assert again.digest == ingest.digest


def test_another_content_is_another_asset(tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text("1")
    monkeypatch.setattr(bundle, "ROOT", tmp_path)
    before = bundle.digest_of(".")
    (tmp_path / "a.py").write_text("2")
    assert bundle.digest_of(".") != before


def test_an_interrupted_build_leaves_nothing_that_looks_finished(tmp_path):
    def interrupted(folder):
        (folder / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bundle._build_once(tmp_path / "built", interrupted)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        *("archive", "ingest", "drain", "publish", "transform", "rebuild"),
        *("functions_dispatch", "functions_run", "functions_sandbox"),
    ],
)
def test_a_handler_imports_from_its_bundle_alone(name):
    """On this machine's platform, which the local bundle is made for."""
    functions = bundle.functions_in(name)
    path = bundle.bundle_function(functions[0], "local").path
    handlers = [f"lambdas.{function}.handler" for function in functions]
    subprocess.run(  # noqa: S603  # our own interpreter, our own text
        [sys.executable, "-I", "-c", IMPORT_ALONE, str(path), *handlers],
        check=True,
        env={**os.environ, **ENVIRONMENT},
    )


@pytest.mark.parametrize("name", ["transform", "functions_sandbox"])
def test_user_code_fetches_and_queries_with_what_is_in_its_bundle_alone(name):
    """What these import when they are first used, and what that looks for, no import of a handler tells."""
    path = bundle.bundle_function(name, "local").path
    reached = subprocess.run(  # noqa: S603  # our own interpreter, our own text
        [sys.executable, "-I", "-c", REACH_OUT_ALONE, str(path)], check=True, capture_output=True, text=True
    )
    assert reached.stdout.splitlines() == [
        "the address is none of the public network",
        "the query failed: InterfaceError",
    ]
