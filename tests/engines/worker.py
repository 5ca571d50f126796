"""One process of the ingestion function: batches in through a pipe, what became of them out.

It may be killed at any moment, and is.
"""

import time
from contextlib import suppress
from random import Random

from shared.adapters.dynamo.store import DynamoStore
from shared.adapters.quarantine import S3Quarantine
from shared.app.batch import Batch
from shared.app.ingest import Ingest
from shared.app.retries import Retries
from shared.contract import PREFIX_MARKERS
from tests.contracts.engines import new_client
from tests.engines.faults import FaultyClient
from tests.engines.objects import FolderObjects
from tests.simulation.chains import ChainAlone
from tests.simulation.scenario import ENGINES, setting_of
from tests.simulation.tuning import tuned
from tests.simulation.world import BUILDERS

VERSION = 1
PAUSE_S = 0.002
SKEW_US_MAX = 2_000_000


class Clock:
    """The time of the world, as it was told with the last batch, and a little wrong."""

    def __init__(self, skew_us=0):
        self._skew_us = skew_us
        self._told_us = self._at = 0

    def tell(self, now_ms):
        self._told_us, self._at = now_ms * 1000, time.monotonic_ns()

    def now_us(self):
        return self._told_us + (time.monotonic_ns() - self._at) // 1000 + self._skew_us

    def pause(self, attempt):
        time.sleep(attempt * PAUSE_S)


class Markers:
    """The `Markers` port on the bucket."""

    def __init__(self, objects):
        self._objects = objects

    def acknowledge(self, token, shard):
        self._objects.put(f"{PREFIX_MARKERS}{token}/{shard}", b"{}")


class Careless:
    """A client that writes without any condition: the planted fault that runs must find."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def put_item(self, **arguments):
        return self._client.put_item(TableName=arguments["TableName"], Item=arguments["Item"])


def store_on(endpoint, tables, setting, clock, client=None):
    """Return a store on an engine."""
    builder = BUILDERS[setting.kind]
    client = client or new_client(endpoint)
    return DynamoStore(client, builder, VERSION, *tables, clock, cache=setting.cache)


def serve(config, pipe):
    """Ingest batches until nobody is left to ask for it."""
    setting = setting_of(config["seed"], ENGINES)
    random = Random(f"worker {config['seed']} {config['number']}")
    clock = Clock(random.randint(-SKEW_US_MAX, SKEW_US_MAX))
    real = new_client(config["endpoint"])
    client = FaultyClient(Careless(real) if config["careless"] else real, random)
    objects = FolderObjects(config["folder"])
    with tuned(setting):
        store = store_on(config["endpoint"], config["tables"], setting, clock, client)
        ingest = Ingest(BUILDERS[setting.kind], store, clock, setting.actions_max)
        retries = Retries(objects, lambda: clock.now_us() // 1000)
        batch = Batch(
            BUILDERS[setting.kind],
            VERSION,
            0,
            ingest,
            S3Quarantine(objects),
            retries,
            Markers(objects),
            ChainAlone() if setting.has_chain else None,
        )
        with suppress(EOFError, BrokenPipeError):
            while True:
                pipe.send(answer(pipe.recv(), batch, client, clock, objects))


def answer(request, batch, client, clock, objects):
    clock.tell(request["now_ms"])
    objects.now = request["now_ms"]
    client.rate = request["fault_rate"]
    try:
        outcome = batch.run(request["records"])
    except Exception as error:  # noqa: BLE001 - the one that calls decides whether it is a mistake
        return {"error": type(error).__name__, "text": str(error)}
    finally:
        if request["settle"]:
            client.settle()
    return {"failed": outcome.failed, "errors": outcome.errors, "tally": dict(outcome.tally)}
