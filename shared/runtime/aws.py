"""AWS clients, as every function but ingestion makes them: on the environment's region and endpoint."""

from typing import Any, Final

import botocore.session
from botocore.config import Config

ATTEMPTS_MAX: Final = 5


def client(service: str, read_timeout_s: int = 30) -> Any:
    """Return a botocore client that retries what is worth retrying, with backoff and jitter."""
    config = Config(
        connect_timeout=5,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
    )
    return botocore.session.get_session().create_client(service, config=config)
