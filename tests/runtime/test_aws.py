"""Clients of AWS: how long they wait, and how often they try."""

import pytest
from botocore.exceptions import ReadTimeoutError

from cli.target import Target
from infra.ingestion import INGEST_TIMEOUT
from shared.adapters.lambda_ import LambdaIngestion
from shared.app.delivery import IngestionUnavailableError
from shared.app.drain import CALL_MS_MAX
from shared.runtime import aws


@pytest.fixture(autouse=True)
def _region(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


@pytest.mark.parametrize("caller", [aws.caller, Target("dev", {}).caller], ids=["drain", "command line"])
def test_who_calls_ingestion_waits_longer_than_it_may_run_and_tries_once(caller):
    config = caller().meta.config
    assert config.read_timeout > INGEST_TIMEOUT.to_seconds()
    assert config.retries["total_max_attempts"] == 1


def test_a_call_that_takes_too_long_is_not_repeated():
    client, calls = aws.caller(), []

    def time_out(request, **_):
        calls.append(request)
        raise ReadTimeoutError(endpoint_url=request.url)

    client.meta.events.register("before-send.lambda.Invoke", time_out)
    with pytest.raises(IngestionUnavailableError):
        LambdaIngestion(client, "ingest").ingest("customers", 1, [])
    assert len(calls) == 1


def test_the_drain_starts_no_call_that_could_outlast_it():
    assert aws.CALL_TIMEOUT_S * 1000 <= CALL_MS_MAX


def test_other_clients_retry():
    config = aws.client("s3").meta.config
    assert (config.retries["total_max_attempts"], config.read_timeout) == (aws.ATTEMPTS_MAX, 30)
