"""AWS clients, as every function but ingestion makes them: on the environment's region and endpoint."""

from typing import Any, Final

import botocore.session
from botocore.config import Config

ATTEMPTS_MAX: Final = 5
READ_TIMEOUT_S: Final = 30
CALL_TIMEOUT_S: Final = 130
"""Longer than ingestion may run, 120 s: who stopped waiting would not know what became of the records."""


def client(service: str, read_timeout_s: int = READ_TIMEOUT_S) -> Any:
    """Return a botocore client that retries what is worth retrying, with backoff and jitter."""
    return _client(service, read_timeout_s, ATTEMPTS_MAX)


def caller() -> Any:
    """Return a client that calls a function once and waits for its answer.

    It never calls again by itself: a slow call would go on beside its own repetition.
    """
    return _client("lambda", CALL_TIMEOUT_S, 1)


def presigner() -> Any:
    """Return a client of S3 whose URLs any bucket takes: left to itself, it signs some as new ones refuse."""
    return _client("s3", READ_TIMEOUT_S, ATTEMPTS_MAX, signature_version="s3v4")


def _client(service: str, read_timeout_s: int, attempts_max: int, **more: Any) -> Any:
    config = Config(
        **more,
        connect_timeout=5,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts_max},
    )
    return botocore.session.get_session().create_client(service, config=config)
