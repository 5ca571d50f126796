"""What Kith keeps beside profiles and events: rows of the registry, messages, failures, values of user code.

Each is made by what writes it in the product, and read by what reads it.
"""

from dataclasses import asdict
from types import SimpleNamespace

import msgspec

from shared import contract
from shared.adapters.dynamo.client import Client
from shared.adapters.dynamo.failures import FailureItems
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.dynamo.user_values import DynamoUserValues
from shared.adapters.function_errors import S3FunctionErrors
from shared.adapters.registry import DynamoRegistry, RegistryRow, progress_of, version_of
from shared.adapters.sqs import SqsQueue
from shared.app.functions.deliver import Deliver, Message
from shared.app.functions.dispatch import Delayed, Due
from shared.app.functions.errors import FunctionError
from shared.app.functions.failing import Failing
from shared.app.registry import Draft, Status, Version
from shared.app.retries import Retries, read_waiting, retry_of_contended
from shared.app.user_store import Held
from shared.core.archive import object_key
from shared.core.control import Marker, control_of, control_record
from shared.core.spool import pack, unpack
from tests.fakes.objects import FakeObjects
from tests.kinesis import ARRIVAL, SEQUENCE, SHARD, envelope, json_of
from tests.people import T0

DUE = Due("shoppers", 3, "0" * 32, 1_789_000_000_000_000)
ASKED = msgspec.structs.replace(DUE, asked=True)
FAILURE = FunctionError(DUE, "function_error", "ValueError at profile.py:3", 6, T0)
FAILING = Failing(times=2, rev=DUE.rev, until_us=T0 * 1000)
VALUES = {"kept": Held(b'{"n":1.5,"of":[null,true]}', T0 // 1000), "for ever": Held(b'"x"', None)}
_KEYSPACE = Keyspace("shoppers", 3)


def made(contributions):
    """Return what is kept, by name; `contributions` are of events with UUIDs."""
    return {
        "contended.json": _contended(),
        "control_lane": control_record(Marker("0123456789abcdef" * 2, "customers-v3", 7)),
        "failing.json": json_of(_failing()),
        "frame_of_uuids": pack(contributions),
        "function_error.json": _function_error(),
        "messages.json": json_of(_messages()),
        "names.json": json_of(_names()),
        "registry.json": json_of(_registry()),
        "user_values.json": json_of(_user_values()),
    }


def _contended():
    bucket = FakeObjects()
    Retries(bucket, lambda: T0).put("shoppers", 3, [retry_of_contended(envelope(b"{}"))])
    [(data, _)] = bucket.held.values()
    return data


def _names():
    """Names of objects tell what they hold, and when it is due: they are read as well."""
    bucket = FakeObjects()
    Retries(bucket, lambda: T0).put("shoppers", 3, [retry_of_contended(envelope(b"{}"))])
    S3FunctionErrors(bucket).put(FAILURE)
    return [
        *sorted(bucket.held),
        object_key(ARRIVAL, SHARD, SEQUENCE, SEQUENCE),
        contract.definition_key("shoppers", "3", "0" * 64),
        contract.version_alias("shoppers", 3),
    ]


def _failing():
    items = []
    client = Client(SimpleNamespace(), None)
    client.write = lambda _table, puts, _deletes: items.extend(puts)
    FailureItems(client, "profiles", _KEYSPACE).put("0" * 32, FAILING, T0)
    return items


def _read_failing(items):
    client = SimpleNamespace(get=lambda *_arguments, **_options: items)
    return FailureItems(client, "profiles", _KEYSPACE).get("0" * 32)


def _function_error():
    bucket = FakeObjects()
    S3FunctionErrors(bucket).put(FAILURE)
    [(data, _)] = bucket.held.values()
    return data


def _read_function_error(data):
    bucket = FakeObjects()
    bucket.put(f"{contract.PREFIX_FUNCTION_ERRORS}shoppers/v3/x.json", data)
    return list(S3FunctionErrors(bucket).list())


def _messages():
    sent = []
    client = SimpleNamespace(send_message_batch=lambda Entries, **_: sent.extend(Entries) or {})  # noqa: N803 - an argument of AWS
    SqsQueue(client, "url").send([Delayed(DUE, 30), Delayed(ASKED, 0)])
    return [one["MessageBody"] for one in sent]


def _read_message(body):
    deliver = Deliver(lambda _builder, _version: None, None, None, None, lambda: 0)
    return deliver.take(Message("1", "receipt", body, 1)).due


def _registry():
    registry = DynamoRegistry("registry", "eu-central-1")
    first = Version(
        builder="shoppers",
        version=1,
        status=Status.FAILED,
        definition_key="definitions/shoppers/1/0.json",
        sha256="0" * 64,
        t0=0,
        created_at=T0,
        created_by="somebody",
        finished_at=T0 + 5,
        reason="cancelled by somebody",
        cleaned_at=T0 + 9,
        has_items=False,
    )
    second = Version(
        builder="shoppers",
        version=12,
        status=Status.BUILDING,
        definition_key="definitions/shoppers/12/0.json",
        sha256="1" * 64,
        t0=T0,
        created_at=T0,
        created_by="somebody",
        release="abc",
        rev=4,
    )
    draft = Draft(builder="shoppers", definition_key="d", sha256="2" * 64, created_at=T0, created_by="s")
    rows = [registry._of(first), registry._of(second)]
    rows.append(registry._row(version=contract.REGISTRY_DRAFT, **asdict(draft)))
    rows.append(registry._row("shoppers", contract.REGISTRY_ACTIVE, active_version=12))
    return [*(row.serialize() for row in rows), {"scan.parts": {"N": "3"}, "replay.profiles": {"N": "0"}}]


def _read_registry(rows):
    """Tell what rows mean: versions, a draft, the pointer to the active version, and what was counted."""
    *versions, draft, active = map(RegistryRow.from_raw_data, rows[:-1])
    registry = DynamoRegistry("registry", "eu-central-1")
    registry._get = lambda _builder, _version: draft
    told = [asdict(version_of(one)) for one in versions]
    return [told, asdict(registry.draft("shoppers")), int(active.active_version), progress_of(rows[-1])]


class _Values:
    """A table of one value, whatever its key."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=KeyError)

    def __init__(self, item=None):
        self.item = item

    def put_item(self, *, Item, **_):  # noqa: N803 - an argument of AWS
        self.item = Item

    def get_item(self, **_):
        return {"Item": self.item}


def _user_values():
    found = []
    for key, held in VALUES.items():
        table = _Values()
        DynamoUserValues(table, "values").put(f"shoppers#3#{key}", held)
        found.append(table.item)
    return found


def _read_user_values(items):
    return [DynamoUserValues(_Values(item), "values").get("any") for item in items]


READERS = {
    "contended.json": read_waiting,
    "control_lane": control_of,
    "failing.json": lambda data: _read_failing(msgspec.json.decode(data)),
    "frame_of_uuids": unpack,
    "function_error.json": _read_function_error,
    "messages.json": lambda data: [_read_message(one) for one in msgspec.json.decode(data)],
    "names.json": msgspec.json.decode,
    "registry.json": lambda data: _read_registry(msgspec.json.decode(data)),
    "user_values.json": lambda data: _read_user_values(msgspec.json.decode(data)),
}
