"""What reads what services keep for Kith, and what they tell it: rows, changes, settings, documents."""

from contextlib import suppress
from types import SimpleNamespace

import msgspec

from shared import contract
from shared.adapters.dynamo.failures import FailureItems
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.function_errors import S3FunctionErrors
from shared.adapters.registry import RegistryRow, damages, progress_of, version_of
from shared.app.backfill import Backfill, Manifest
from shared.app.functions.deliver import Deliver, Message
from shared.app.functions.dispatch import DELAY_S_MAX, read_change
from shared.app.functions.errors import DamagedFunctionError
from shared.app.functions.failing import Failing
from shared.app.functions.run import Became
from shared.app.rebuild.build import BuildFailedError, BuildName
from shared.app.rebuild.formats import compress
from shared.app.rebuild.link import links_of
from shared.app.rebuild.naming import choose_names
from shared.app.registry import DamagedRowError, Version
from shared.core.archive import read_object
from shared.runtime.settings import RunSettings, SettingsError, read_consumer, read_settings
from tests.fakes.objects import FakeObjects
from tests.fuzz.outside import ARRIVAL, Source, Spool, puts
from tests.fuzz.stored import is_wire

NAME = BuildName("people", 1)


def _item(data):
    """Return an item of DynamoDB, as msgpack; None if the bytes are none."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = msgspec.msgpack.decode(data)
        if isinstance(found, dict) and all(map(is_wire, found.values())):
            return found
    return None


def row(data):
    """A row of the registry: a version, or what a build has counted."""
    found = _item(data)
    if found is None or not all(isinstance(one, str) for one in found):
        return
    found = {
        contract.REGISTRY_PK: {"S": "people"},
        contract.REGISTRY_SK: {"S": contract.registry_version(1)},
    } | found
    with suppress(DamagedRowError), damages("a row"):
        assert isinstance(version_of(RegistryRow.from_raw_data(found)), Version)
    with suppress(DamagedRowError), damages("what was counted"):
        assert all(isinstance(one, int) for one in progress_of(found).values())


def names(data):
    """The ids that a partition takes over: as they stand, and once they are compressed."""
    for held in (data, compress(data)):
        objects = FakeObjects()
        objects.put(NAME.names(0), held)
        with suppress(BuildFailedError):
            choose_names(objects, NAME, 0, [], None, 0)


def links(data):
    """What links the components of a part: as they stand, and once they are compressed."""
    for held in (data, compress(data)):
        with suppress(BuildFailedError):
            found = links_of(held, "links")
            assert len(found.weights) == len(found.counts)
            assert len(found.hashes) == found.counts.sum()


def change(data):
    """A change of the profiles table, as its stream tells of it."""
    found = read_change({"dynamodb": {"NewImage": _item(data)}})
    assert found is None or 0 <= found.delay_s <= DELAY_S_MAX


def message(data):
    """What the queue of due profiles delivers."""
    text = data.decode("utf-8", "surrogateescape")
    deliver = Deliver(lambda _builder, _version: None, None, None, None, lambda: 0)
    delivery = deliver.take(Message("1", "receipt", text, 1))
    assert delivery.due is None or delivery.became is Became.GONE


def failing(data):
    """What is kept of the failures of a profile's function."""
    found = _item(data)
    if found is not None:
        client = SimpleNamespace(get=lambda *_arguments, **_options: [found])
        kept = FailureItems(client, "profiles", Keyspace("people", 1)).get("0" * 32)
        assert kept is None or all(isinstance(getattr(kept, one), int) for one in Failing.__struct_fields__)


def function_error(data):
    """An object below the errors of functions."""
    objects = FakeObjects()
    objects.put(f"{contract.PREFIX_FUNCTION_ERRORS}people/v1/x.json", data)
    with suppress(DamagedFunctionError):
        assert all(one.key for one in S3FunctionErrors(objects).list("people"))


def manifest(data):
    """What says that a file of history has been added: where it is damaged, the file is added again."""
    bucket, source = FakeObjects(), Source(b'{"userId": "u", "timestamp": "2026-01-02T03:04:05Z"}\n')
    adding = Backfill(bucket, lambda: puts(bucket), ARRIVAL, object_bytes_max=300, held_bytes_max=500)
    adding.add(source, Spool(), lambda _: None)
    [key] = [one for one in bucket.held if one.startswith(contract.PREFIX_BACKFILL)]
    bucket.held = {key: (data, "1")}
    if adding.add(source, Spool(), lambda _: None).before:
        return
    msgspec.json.decode(bucket.held.pop(key)[0], type=Manifest)
    [(held, _)] = bucket.held.values()
    assert len(list(read_object(held))) == 1


def settings(data):
    """The environment of a function: names and values, one a line; and the settings of a consumer."""
    text = data.decode("utf-8", "surrogateescape")
    pairs = (line.partition("=") for line in text.splitlines())
    with suppress(SettingsError):
        found = read_settings(RunSettings, {name: value for name, _, value in pairs})
        assert isinstance(found.attempts, int)
    with suppress(SettingsError):
        assert read_consumer(text)["MaximumRecordAgeInSeconds"] > 0
