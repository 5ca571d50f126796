"""`python -m local.event_sources`: runs the engine's event source mappings of streams until stopped.

It is told by the environment where the engine is and where checkpoints go (`environment`), and
ends by itself when the engine has been gone for a minute.
"""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import boto3

from local.event_sources.checkpoints import FileCheckpoints
from local.event_sources.kinesis import Clients, LambdaInvoker, S3Destination, list_mappings
from local.event_sources.ports import Checkpoints, PortError, Stream
from local.event_sources.settings import Settings
from local.event_sources.sources import open_stream
from local.event_sources.supervisor import Outside, Supervisor
from local.event_sources.worker import Ports

TICK_S = 0.5
ENGINE_GONE_S_MAX = 60

logger = logging.getLogger("local.event_sources")


def main() -> int:
    """Run until SIGTERM or SIGINT; returns 1 if the engine went away."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(message)s", stream=sys.stdout
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # boto3 reads region and credentials from the environment.
    clients = Clients(os.environ["AWS_ENDPOINT_URL"], boto3.Session())
    supervisor = Supervisor(_outside(clients, Path(os.environ["KITH_LOCAL_CHECKPOINTS"])))
    try:
        return _follow(clients, supervisor, stop)
    finally:
        supervisor.stop()


def _follow(clients: Clients, supervisor: Supervisor, stop: threading.Event) -> int:
    seen_s = time.monotonic()
    while not stop.wait(TICK_S):
        try:
            mappings = list_mappings(clients.mappings)
        except PortError as error:
            if time.monotonic() - seen_s > ENGINE_GONE_S_MAX:
                logger.error("the engine is gone: %s", error)  # noqa: TRY400 - says it all
                return 1
            continue
        seen_s = time.monotonic()
        supervisor.tick(mappings)
    return 0


def _outside(clients: Clients, folder: Path) -> Outside:
    invoker = LambdaInvoker(clients.functions)

    def connect(settings: Settings, checkpoints: Checkpoints) -> tuple[Stream, Ports]:
        # Reading the stream and writing failures take the function's role, as on AWS: with the
        # engine's IAM enforcement on, a permission that is missing there is missing here.
        theirs = clients.assume(invoker.role(settings.function_arn))
        stream = open_stream(settings.stream_arn, theirs.reader, _now_ms)
        return stream, Ports(invoker, S3Destination(theirs.s3), checkpoints, _now_ms)

    return Outside(connect, lambda uuid: FileCheckpoints(folder, uuid))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    sys.exit(main())
