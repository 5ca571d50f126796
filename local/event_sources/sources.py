"""The streams that are read here, each by its ARN."""

from collections.abc import Callable
from typing import Any, Final

from local.event_sources.dynamodb import TableStream
from local.event_sources.kinesis import KinesisStream
from local.event_sources.ports import Clock, Stream
from local.event_sources.settings import DYNAMODB, service_of

TABLES: Final = "dynamodbstreams"
"""The service that reads the streams of tables."""


def open_stream(arn: str, client: Callable[[str], Any], clock: Clock) -> Stream:
    """Open the stream of an ARN with the client of its service, which `client` gives by name."""
    if service_of({"EventSourceArn": arn}) == DYNAMODB:
        return TableStream(client(TABLES), arn, clock)
    return KinesisStream(client("kinesis"), arn, clock)
