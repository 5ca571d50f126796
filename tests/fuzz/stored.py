"""What reads what Kith itself has written: items, segments, deltas, frames, objects of a rebuild.

Nobody but Kith should write there. Still, whatever stands there ends with a result or with the error that the
code under test documents, in time and memory that what is there allows. What could be read is written anew,
and must say the same.
"""

import hashlib
import zlib
from contextlib import suppress
from functools import cache
from operator import attrgetter

import msgspec

from shared.adapters.dynamo import deltas
from shared.adapters.dynamo.deltas import contributions_of
from shared.adapters.dynamo.items import Items, pointer_of, traces_of
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.dynamo.overflow import CHUNKS, FORMAT, whole
from shared.adapters.dynamo.state import UnknownFormatError
from shared.adapters.process import LostError, Process
from shared.adapters.quarantine import S3Quarantine
from shared.app.frozen import DamagedDefinitionError, thaw
from shared.app.quarantine import DamagedEntryError, size_of
from shared.app.rebuild.build import BuildFailedError
from shared.app.rebuild.formats import (
    SpoolWriter,
    compress,
    fetch_json,
    read_assignments,
    read_block,
    read_entries,
    read_spool,
    record_header,
    records_of_block,
    write_shuffled,
)
from shared.app.rebuild.plan import Extent
from shared.app.user_store import MemoryUserValues, StoreDesk
from shared.contract import PREFIX_QUARANTINE, PROFILES_SK, SK_PROFILE
from shared.core.functions import FunctionOutcome
from shared.core.history import UnreadableChunkError, chain, events_of, open_chunk, pieces_of, rows_of
from shared.core.profile import Profile, canonical, missing_segments
from shared.core.sandbox import Answer, FunctionAnswer
from shared.core.spool import Rows, UnreadableFrameError, identifiers_of, pack, unpack
from tests.fakes.objects import FakeObjects
from tests.golden.made import LARGE, PROFILES, builder
from tests.golden.release import releases, tables_of

BUILDER = builder()
ITEMS = Items(BUILDER, Keyspace(BUILDER.name, LARGE))
DEPTH_MAX = 32
_TYPES = {"S": str, "N": str, "B": bytes, "BOOL": bool, "NULL": bool, "L": list, "M": dict}


@cache
def profiles():
    """Return the profiles, tombstones and redirects of the last release, whole."""
    return [
        one
        for one in tables_of(releases()[-1])[PROFILES]
        if one[PROFILES_SK]["S"] == SK_PROFILE and CHUNKS not in one
    ]


def item(data):
    """An item of the profiles table, whatever it holds, as msgpack: all that DynamoDB would let through."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = msgspec.msgpack.decode(data)
        if not isinstance(found, dict) or not all(map(is_wire, found.values())):
            return
        found = {"pk": {"S": "people#1#" + "0" * 32}, "sk": {"S": "profile"}} | found
        _stored(found)
        for read in (traces_of, contributions_of, pointer_of, ITEMS.parts):
            with suppress(UnknownFormatError):
                read(found)


def state(data):
    """The state of an item, beside what one of the golden items shows: the first byte picks which."""
    if data:
        base = profiles()[data[0] % len(profiles())]
        _stored(base | {"state": {"B": data[1:]}})


def _stored(found):
    with suppress(UnknownFormatError):
        stored = ITEMS.stored(found)
        if isinstance(stored, Profile) and not missing_segments(BUILDER, stored):
            item = ITEMS.profile(stored)
            again = ITEMS.stored(item)
            assert canonical(BUILDER, again) == canonical(BUILDER, stored)
            assert ITEMS.profile(again) == item


def is_wire(value, depth=0):
    """Whether DynamoDB has such a value."""
    if not isinstance(value, dict) or len(value) != 1 or depth > DEPTH_MAX:
        return False
    [(letter, one)] = value.items()
    if letter in {"L", "M"}:
        inner = one if letter == "L" else one.values() if isinstance(one, dict) else None
        return isinstance(one, _TYPES[letter]) and all(is_wire(each, depth + 1) for each in inner)
    if letter == "SS":
        return isinstance(one, list) and bool(one) and all(isinstance(each, str) for each in one)
    if letter == "N" and isinstance(one, str):
        return one.isascii() and one.lstrip("-").isdigit()
    return letter in _TYPES and isinstance(one, _TYPES[letter])


def chunks(data):
    """What a profile overflowed into: as it stands, and once it is compressed."""
    for held in (data, FORMAT + zlib.compress(data)):
        parts = {"overflow#a#0": {"state": {"B": held}}}
        slim = profiles()[0] | {CHUNKS: {"L": [{"S": name} for name in parts]}}
        with suppress(UnknownFormatError):
            found = whole(slim, parts)
            if all(map(is_wire, found.values())):
                _stored(found)


def delta(data):
    """Events parked beside a profile, as they stand and once they are compressed."""
    for held in (data, b"\x02" + zlib.compress(data)):
        with suppress(UnknownFormatError):
            found = contributions_of({"state": {"B": held}})
            assert _same(contributions_of(deltas.delta(found)), found)


def frame(data):
    """A frame of contributions, which are the same whichever way it is read."""
    with suppress(UnreadableFrameError):
        found = unpack(data)
        assert _same(unpack(pack(found)), found)
        assert {one.identifiers for one in found} <= set(identifiers_of(data))
        arrived = [one for some in Rows([data]).by_arrival() for one in some]
        assert _same(arrived, sorted(found, key=attrgetter("arrival")))
    with suppress(UnreadableFrameError):
        list(identifiers_of(data))
    with suppress(UnreadableFrameError):
        list(Rows([data]).by_arrival())


def _same(left, right):
    """Whether both say the same, and be it that something is no number."""
    return repr(left) == repr(right)


def history(data):
    """A chunk of a history with the events in it, and one whose piece this is."""
    packed = msgspec.msgpack.encode((1, 0, 9, 9, [], compress(data)))
    for held in (data, packed):
        with suppress(UnreadableChunkError):
            opened = open_chunk(held, "0" * 32)
            assert not opened.tells_all or len(opened.times) == len(opened.before)
            list(events_of([held], 0))
            rows = list(rows_of(opened))
            again = chain("0" * 32, 5, [], pieces_of(rows, 9), 0)
            assert [row for one in again for row in rows_of(open_chunk(one.data))] == sorted(rows)


def spool(data):
    """What Scan leaves for Shuffle, as it stands and once it is compressed: spooled again, it is the same."""
    for held in (data, compress(data)):
        with suppress(BuildFailedError):
            frames = list(read_spool(held, "spool"))
            again = SpoolWriter()
            for one in frames:
                again.add(one)
            assert list(read_spool(again.finish(), "spool")) == frames


def rebuild(data):
    """What else the states of a rebuild leave for each other."""
    objects = FakeObjects()
    objects.put("key", data)
    for held in (data, compress(data)):
        with suppress(BuildFailedError):
            read_assignments(held, "key")
        with suppress(BuildFailedError):
            read_entries(held, "key")
    for held in (data, compress(data)):
        with suppress(BuildFailedError):
            found = [(component, bytes(one)) for component, one in records_of_block(held, "key")]
            assert sum(len(record_header(0, 0)) + len(one) for _, one in found) == len(data) or held is data
            objects.put("shuffled", write_shuffled(3, [(1, held)]))
            again = records_of_block(read_block(objects, "shuffled", 1, 3), "shuffled")
            assert [(component, bytes(one)) for component, one in again] == found
            assert read_block(objects, "shuffled", 2, 3) == b""
    with suppress(BuildFailedError):
        fetch_json(objects, "key", Extent)
    for partition in range(2):
        with suppress(BuildFailedError):
            list(records_of_block(read_block(objects, "key", partition, 2), "key"))


def frozen(data):
    """A frozen definition that the registry says is this one."""
    with suppress(DamagedDefinitionError):
        thaw(data, hashlib.sha256(data).hexdigest())


def quarantined(data):
    """An object below the quarantine prefix."""
    objects = FakeObjects()
    objects.put(f"{PREFIX_QUARANTINE}people/v1/dt=2026-01-02/x.json", data)
    with suppress(DamagedEntryError):
        for entry, _ in S3Quarantine(objects).list():
            assert entry.id
            assert size_of(entry.envelope) >= 0
            S3Quarantine(objects).put([entry])
            assert S3Quarantine(objects).get(entry.id).entry == entry


def answers(data):
    """What a process that runs user code writes into its pipe."""
    for kind in (Answer, FunctionAnswer):
        process = Process.__new__(Process)
        process._buffer, process._taken, process._answered, process._asks = bytearray(data), 0, 0, False
        process._fill = _nothing_more
        process._desk = StoreDesk(MemoryUserValues(), "people", 1, lambda: 1_700_000_000_000)
        process.write = bytes
        with suppress(LostError):
            while True:
                answer = process.answer(1.0, kind)
                assert isinstance(answer, kind)
                assert kind is Answer or isinstance(answer.outcome, FunctionOutcome)


def _nothing_more(_end, _time_s, **_gather):
    raise LostError("crash", "nothing more")
