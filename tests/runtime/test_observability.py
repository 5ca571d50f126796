"""Logs by catalogue, metrics in CloudWatch's format, settings from the environment."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from shared import contract
from shared.runtime import metrics
from shared.runtime.catalogue import catalogue_text
from shared.runtime.log import LogCode, log, log_error
from shared.runtime.settings import DrainSettings, SettingsError, read_settings

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "logs.md"


def test_the_page_of_logs_is_the_catalogue():
    assert PAGE.read_text() == catalogue_text(), "run: python -m shared.runtime.catalogue > docs/logs.md"


def test_codes_are_unique_and_well_formed():
    codes = [line.code for line in LogCode]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"KITH-\d{3}", code) for code in codes)


def test_every_line_of_the_catalogue_is_logged_somewhere():
    folders = (ROOT / "shared", ROOT / "lambdas")
    code = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    assert set(re.findall(r"\bLogCode\.([A-Z_]+)", code)) == {line.name for line in LogCode}


@pytest.mark.parametrize("line", LogCode)
def test_every_line_can_be_logged_with_any_field(line, caplog):
    log(line, created=1, name="x", message="y", level=3)
    [record] = caplog.records
    assert (record.code, record.levelno, record.getMessage()) == (line.code, line.level, line.message)
    assert record.data == {"created": 1, "name": "x", "message": "y", "level": 3}


def test_an_error_is_logged_without_its_text(caplog):
    try:
        int("ann@example.com")
    except ValueError as error:
        log_error(LogCode.BATCH_FAILED, error, shard="s")
    [record] = caplog.records
    assert record.data["error"] == "ValueError"
    assert "test_an_error_is_logged" in record.data["raised_at"][0]
    assert "ann@" not in repr(record.__dict__)


def emitted(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_metrics_are_emitted_per_stage_and_per_builder(capsys):
    metrics.emit({contract.METRIC_EVENTS_IN: 3, contract.METRIC_BATCH_AGE: 250}, "customers")
    [line] = emitted(capsys)
    [embedded] = line["_aws"]["CloudWatchMetrics"]
    assert embedded["Namespace"] == contract.METRICS_NAMESPACE
    dimensions = {frozenset(one) for one in embedded["Dimensions"]}
    assert dimensions == {frozenset({"service", "stage"}), frozenset({"service", "stage", "builder"})}
    units = {one["Name"]: one["Unit"] for one in embedded["Metrics"]}
    assert units == {contract.METRIC_EVENTS_IN: "Count", contract.METRIC_BATCH_AGE: "Milliseconds"}
    assert (line[contract.METRIC_EVENTS_IN], line["builder"]) == ([3.0], "customers")


def test_one_builders_metrics_never_carry_anothers_name(capsys):
    metrics.emit({"A": 1}, "customers")
    metrics.emit({"A": 1})
    metrics.emit({"A": 1}, "accounts")
    assert [line.get("builder") for line in emitted(capsys)] == ["customers", None, "accounts"]


def test_zeros_are_not_emitted(capsys):
    metrics.emit({contract.METRIC_EVENTS_IN: 0}, "customers")
    assert emitted(capsys) == []


def test_many_metrics_take_several_lines_with_all_dimensions(capsys):
    metrics.emit({f"EventsDropped.{number}": 1 for number in range(250)}, "customers")
    lines = emitted(capsys)
    assert sum(len(line["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for line in lines) == 250
    assert all(line["builder"] == "customers" for line in lines)


def test_settings_are_read_by_the_names_of_the_contract():
    environment = {
        contract.ENV_STAGE: "dev",
        contract.ENV_REGISTRY_TABLE: "registry",
        contract.ENV_ARCHIVE_BUCKET: "archive",
        contract.ENV_INGEST_FUNCTION: "arn",
        "PATH": "/bin",
    }
    assert read_settings(DrainSettings, environment) == DrainSettings("dev", "registry", "archive", "arn")


def test_all_missing_settings_are_named_at_once():
    with pytest.raises(SettingsError) as caught:
        read_settings(DrainSettings, {contract.ENV_STAGE: "dev", contract.ENV_ARCHIVE_BUCKET: ""})
    assert contract.ENV_ARCHIVE_BUCKET in str(caught.value)
    assert contract.ENV_INGEST_FUNCTION in str(caught.value)


def test_logging_and_metrics_load_no_heavy_library():
    code = (
        "import sys, shared.runtime.log, shared.runtime.metrics, shared.runtime.settings;"
        "print({'boto3', 'botocore.session', 'pydantic', 'aws_xray_sdk'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "set()"
