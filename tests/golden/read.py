"""Reading what a release has written, by what reads it in the product; all that it means, as plain JSON."""

import gzip
import hashlib
from base64 import b64decode, b64encode
from decimal import Decimal

import msgspec
import zstandard

from shared.adapters.dynamo.items import pointer_of
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.quarantine import S3Quarantine
from shared.app.backfill import Manifest
from shared.app.frozen import thaw
from shared.app.rebuild.formats import decompress, read_block, read_spool, records_of_block
from shared.app.retries import read_waiting
from shared.contract import PREFIX_QUARANTINE, PROFILES_SK, SK_DELTA_PREFIX, SK_PROFILE
from shared.core.archive import read_object
from shared.core.control import control_of
from shared.core.history import events_of
from shared.core.profile import Profile, canonical, missing_segments
from shared.core.spool import unpack
from tests.fakes.objects import FakeObjects
from tests.golden import beside
from tests.golden.made import IDENTIFIERS, PROFILES, Tables
from tests.simulation.dynamo import KEYS

WRITES_AT_ONCE = 25
"""Of a batch that writes items."""


def tables_on(items):
    """Return tables that hold these items: {table: [item, ...]}."""
    parts = [
        (table, some[at : at + WRITES_AT_ONCE])
        for table, some in items.items()
        for at in range(0, len(some), WRITES_AT_ONCE)
    ]
    return Tables(parts)


def meaning_of_tables(builder, items):
    """Tell what items of the tables mean, each by its key."""
    tables = tables_on(items)
    versions = sorted({int(one["pk"]["S"].split("#")[1]) for one in items[PROFILES]})
    found = {}
    for version in versions:
        found |= _profiles(builder, tables, version)
    keyspace = Keyspace(builder.name, versions[0])
    for item in items[IDENTIFIERS]:
        key = f"{IDENTIFIERS} {item[KEYS[IDENTIFIERS][0]]['S']}"
        found[key] = plain([*pointer_of(item), keyspace.identifier(item).type])
    return found


def _profiles(builder, tables, version):
    store, keyspace = tables.store(builder, version), Keyspace(builder.name, version)
    prefix = f"{builder.name}#{version}#"
    mine = [one for one in tables.dynamo.tables[PROFILES].values() if one["pk"]["S"].startswith(prefix)]
    ids = [keyspace.profile_id(one) for one in mine if one[PROFILES_SK]["S"] == SK_PROFILE]
    found = {}
    for profile_id, stored in store.profiles(ids, fresh=True).items():
        told = _profile(builder, store, stored) if isinstance(stored, Profile) else plain(stored)
        found[f"{PROFILES} {prefix}{profile_id}"] = {"kind": type(stored).__name__, **told}
    for item in mine:
        if item[PROFILES_SK]["S"].startswith(SK_DELTA_PREFIX):
            name = f"{keyspace.profile_id(item)}/{item[PROFILES_SK]['S'].removeprefix(SK_DELTA_PREFIX)}"
            found[f"delta {prefix}{name}"] = plain(store.deltas([name])[name])
    return found


def _profile(builder, store, profile):
    """Tell all of a profile, segments and memory included."""
    names = missing_segments(builder, profile)
    whole = store.load(builder, profile, names) if names else profile
    fields = {name: getattr(whole, name) for name in whole.__struct_fields__}
    states = [
        None if state is None else aggregation.split(state)[1]
        for aggregation, state in zip(builder.aggregations, whole.attributes, strict=True)
    ]
    del fields["attributes"], fields["memory"]
    fields["identifiers"] = sorted(whole.identifiers.items())
    return {
        "canonical": msgspec.json.decode(canonical(builder, whole)),
        "keys": plain(states),
        "traces": plain(whole.memory.traces()),
        "segments": len(names),
        **({"history": _history(store, profile)} if profile.heads else {}),
        **plain(fields),
    }


def _history(store, profile):
    return list(events_of(store.chunks(profile, 0).values(), 0))


def meaning_of_object(name, data):
    """Tell what an object of the bucket means, or a record of the stream."""
    return plain(READERS[name](data))


def unpacked(name, data):
    """Return what an object holds, free of how well it was compressed."""
    if name.endswith(".gz"):
        return gzip.decompress(data)
    if name.endswith(".zst"):
        return b"".join(zstandard.ZstdDecompressor().read_to_iter(data))
    return _block(data) if name == "shuffled" else data


def _block(data):
    bucket = FakeObjects()
    bucket.put("shuffled", data)
    blocks = [read_block(bucket, "shuffled", partition, 4) for partition in range(4)]
    return b"|".join(decompress(one, "shuffled") if one else b"" for one in blocks)


def _shuffled(data):
    bucket = FakeObjects()
    bucket.put("shuffled", data)
    return [
        [
            (component, unpack(bytes(frame)))
            for component, frame in records_of_block(read_block(bucket, "shuffled", partition, 4), "shuffled")
        ]
        for partition in range(4)
    ]


def _quarantine(data):
    bucket = FakeObjects()
    bucket.put(f"{PREFIX_QUARANTINE}shoppers/v3/dt=2026-01-02/x.json", data)
    [(entry, _)] = S3Quarantine(bucket).list()
    return msgspec.to_builtins(entry)


READERS = {
    "archive.jsonl.gz": lambda data: list(read_object(data)),
    "control": control_of,
    "definition.json": lambda data: thaw(data, hashlib.sha256(data).hexdigest()),
    "frame": unpack,
    "manifest.json": lambda data: msgspec.json.decode(data, type=Manifest),
    "quarantine.json": _quarantine,
    "shuffled": _shuffled,
    "spool.zst": lambda data: [unpack(frame) for frame in read_spool(data, "spool")],
    "waiting.json": read_waiting,
    **beside.READERS,
}


def plain(value):
    """Return a value as JSON holds it, kinds and all."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, bytes):
        return {"base64": b64encode(value).decode()}
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in (sorted(value) if isinstance(value, set | frozenset) else value)]
    return value


def from_json(held):
    """Return an item that `as_json` gave."""
    return {
        name: {letter: b64decode(one) if letter == "B" else one for letter, one in value.items()}
        for name, value in held.items()
    }
