"""What reads what services keep for Kith, and what they tell it: rows, changes, settings, documents."""

from contextlib import suppress
from types import SimpleNamespace

import msgspec

from shared import contract
from shared.adapters.definitions import Definitions
from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.active import DynamoActiveProfiles
from shared.adapters.dynamo.failures import FailureItems
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.function_errors import S3FunctionErrors
from shared.adapters.registry import RegistryRow, damages, progress_of, version_of
from shared.app.backfill import Backfill, Manifest
from shared.app.frozen import DamagedDefinitionError
from shared.app.functions.deliver import Deliver, Message
from shared.app.functions.dispatch import DELAY_S_MAX, read_change
from shared.app.functions.errors import DamagedFunctionError
from shared.app.functions.failing import Failing
from shared.app.functions.run import Became
from shared.app.rebuild.build import BuildFailedError, BuildName
from shared.app.rebuild.formats import compress, write_links
from shared.app.rebuild.link import links_of
from shared.app.rebuild.naming import choose_names
from shared.app.rebuild.ports import ActiveProfile
from shared.app.registry import DamagedRowError, Version
from shared.core.archive import read_object
from shared.core.compile import Builder
from shared.core.identity.identifiers import Identifier
from shared.runtime.settings import RunSettings, SettingsError, read_consumer, read_settings
from tests.fakes.objects import FakeObjects
from tests.fuzz.outside import ARRIVAL, Source, Spool, puts
from tests.fuzz.stored import is_wire
from tests.people import a_definition

NAME = BuildName("people", 1)
LINKS_MAX = 10_000
"""Of components: to write more anew takes long."""


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
    dynamodb = SimpleNamespace(get_item=lambda **_: {"Item": found})
    definitions = Definitions(dynamodb, _NoBucket(), "registry", "archive")
    with suppress(DamagedDefinitionError, NoObjectError):
        definitions.load("people", 1)
    assert isinstance(definitions.has_ended("people", 1), bool)


class NoObjectError(Exception):
    """What a row leads to is not there."""


class _NoBucket:
    """Holds no object, whatever its name."""

    def get_object(self, *, Bucket, Key):  # noqa: N803 - arguments of AWS
        assert isinstance(Bucket, str)
        assert isinstance(Key, str)
        raise NoObjectError


def owner(data):
    """What a rebuild asks the active version: a pointer, and the profile that it leads to."""
    found = _item(data)
    if found is None:
        return
    pointer = {"profile_id": {"S": "0" * 32}, "first_seen": {"S": "2026-01-02T03:04:05.678Z"}}
    kept = {
        "identifiers": pointer | found | {"pk": {"S": "people#1#user_id#u"}},
        "profiles": found | {"pk": {"S": f"people#1#{'0' * 32}"}, "sk": {"S": "profile"}},
    }
    active = DynamoActiveProfiles(None, Builder(a_definition()), 1, Tables("profiles", "identifiers"), None)
    active._client = SimpleNamespace(get=lambda table, keys, **_: [kept[table]] if keys else [])
    asked = Identifier("user_id", "u")
    assert all(isinstance(one, ActiveProfile) for one in active.owners([asked], ARRIVAL).values())


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
            if len(found.counts) < LINKS_MAX:
                ends = [int(one) for one in found.counts.cumsum()]
                theirs = [
                    found.hashes[end - count : end].tolist()
                    for end, count in zip(ends, found.counts.tolist(), strict=True)
                ]
                again = links_of(write_links(found.weights.tolist(), theirs), "links")
                assert all((one == other).all() for one, other in zip(again, found, strict=True))


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
