"""Command lines that mean harm, on a stack of which all is there that commands ask for first."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import contract
from shared.runtime import aws
from tests.fuzz.commands import COMMANDS, WORDS, run
from tests.moto_cloud import create_bucket, moto_clients
from tests.unit.test_cli_cloud import NAMES, REGION, FakeCloudFormation, create_tables, publish


@pytest.fixture(scope="module")
def _stack():
    """A stack `kith-dev` with one builder, version 1 of which is active."""
    with moto_clients(REGION) as client, pytest.MonkeyPatch.context() as patch:
        create_tables(client("dynamodb"))
        create_bucket(client("s3"), NAMES[contract.OUTPUT_ARCHIVE_BUCKET], REGION)
        client("kinesis").create_stream(StreamName=NAMES[contract.OUTPUT_STREAM], ShardCount=1)
        publish(client, "people")
        made = {"cloudformation": FakeCloudFormation()}
        patch.setattr(aws, "client", lambda service: made.get(service) or client(service))
        yield


@pytest.mark.usefixtures("_stack")
@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(COMMANDS), st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=5))
def test_no_command_line_ends_in_a_traceback(command, words):
    run([*command, *words, "--stage", "dev"])
