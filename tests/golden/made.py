"""One of everything that Kith keeps, as this release writes it: items, objects, a control record."""

from base64 import b64encode
from contextlib import ExitStack
from functools import partial
from random import Random
from unittest.mock import patch
from uuid import UUID

import msgspec

from shared.adapters.dynamo.store import DynamoStore
from shared.adapters.quarantine import S3Quarantine
from shared.app.backfill import Manifest, Written
from shared.app.frozen import freeze
from shared.app.functions.results import plan_of_result
from shared.app.ingest import Ingest
from shared.app.ports import Committed
from shared.app.quarantine import entries_of
from shared.app.rebuild.formats import SpoolWriter, compress, record_header, write_shuffled
from shared.app.retries import Retries, retry_of
from shared.core.archive import archive_line, archive_object
from shared.core.compaction import compact
from shared.core.compile import Builder
from shared.core.control import Marker, control_record
from shared.core.functions import FunctionResult
from shared.core.grammar import parse_definition
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile, copy
from shared.core.records import Record, read_record
from shared.core.spool import pack
from shared.core.writes import Plan, Put
from tests.fakes.objects import FakeObjects
from tests.golden import beside
from tests.kinesis import ARRIVAL, SEQUENCE, SHARD, aggregate_of, envelope, gzip_of, json_of
from tests.people import HOUR, T0, a_definition, an_event, any_stream, contributions_of, in_batches
from tests.simulation.dynamo import IDENTIFIERS, PROFILES, Dynamo

LARGE, SMALL, COMPUTED, COMPACTED = 1, 2, 3, 4
"""The versions that the tables hold: one as it comes, one whose limits are reached by a few events, one with
a profile function, and one whose events have UUIDs, and of which a history was put together."""
OPTIONS = (("window", "30 days"), ("debounce", "30 seconds"))
FILES = {
    "builder.yaml": """\
name: shoppers
identifiers:
  user_id: {from: userId, known: true, limit: 2}
  email: {from: [traits.email, context.traits.email], normalize: email, block: {exact: [shop@example.com]}}
  phone: {from: traits.phone, normalize: phone}
  cookie_id: {from: [anonymousId, previousId]}
attributes:
  source: {from: context.campaign.source, type: string, aggregation: first_last}
  pages: {from: context.page.url, type: string, aggregation: list}
  tags: {from: properties.tags, type: string, aggregation: unique_list, keep: newest}
  spent: {from: properties.total, type: number, aggregation: sum, when: {event: Order Completed}}
  orders: {aggregation: count, when: {event: Order Completed, properties.total: [1.5, 2, true]}}
retention: {known: 24 months, other: 2 months}
block: {regex: ["^test-"]}
anonymous: {when: {context.consent: none}}
env: {REGION: eu}
""",
    "transform.py": "def transform(event, context):\n    return None\n",
}


class Tables:
    """A botocore client on tables that nothing ever goes wrong with."""

    def __init__(self, items=()):
        self.dynamo = Dynamo(lambda: T0 * 1000)
        for table, some in items:
            self.dynamo.execute("batch_write_item", _puts(table, some), None)

    def __getattr__(self, name):
        return lambda **arguments: self.dynamo.execute(name, arguments, lambda versions: versions[0])

    def store(self, builder, version):
        return DynamoStore(self, builder, version, PROFILES, IDENTIFIERS, Clock(), cache=False)


class Clock:
    """A clock that stands: however often it is asked, the same golden state is made."""

    def now_us(self):
        return T0 * 1000

    def pause(self, attempt):
        """Wait for nobody."""


def builder():
    """The builder whose profiles the tables hold: every aggregation, and three identifiers."""
    return Builder(a_definition())


def tables():
    """Return what both tables hold after some people came by: {table: [item, ...]}."""
    made = Tables()
    random = Random("golden")
    _ingest(made, random, LARGE, 90)
    with ExitStack() as stack:
        for name, value in {
            "shared.core.plan.IDENTIFIERS_MAX": 5,
            "shared.adapters.dynamo.writes.ITEM_BYTES_MAX": 600,
            "shared.adapters.dynamo.overflow.CHUNK_BYTES_MAX": 250,
        }.items():
            stack.enter_context(patch(name, value))
        _ingest(made, random, SMALL, 60, actions_max=8)
    _compute(made)
    with (
        patch("shared.adapters.dynamo.histories.PART_BYTES_MAX", 200),
        patch("shared.core.history.PIECE_BYTES_MAX", 300),
    ):
        _compact(made)
    return {table: [item for _, item in sorted(items.items())] for table, items in made.dynamo.tables.items()}


def _ingest(made, random, version, size, actions_max=100):
    shoppers = builder()
    stream = any_stream(random, size_min=size, size_max=size, gap_ms=HOUR // 2, people=3)
    contributions = contributions_of(shoppers, stream)
    store = made.store(shoppers, version)
    for batch in in_batches(random, contributions[:-5]):
        outcome = Ingest(shoppers, store, Clock(), actions_max).run(batch)
        assert not outcome.failed
    target = next(iter(store.pointers([contributions[-5].identifiers[0]], fresh=True).values()))
    if target is not None and isinstance(
        store.profiles([target.profile_id], fresh=True)[target.profile_id], Profile
    ):
        assert store.park(target.profile_id, f"{target.profile_id}/shard-1#7#0#golden", contributions[-5:])


def _compute(made):
    """Have profiles with histories, of which one has a result of all it counted, and another one of less."""
    shoppers = Builder(a_definition(profile_function=OPTIONS))
    stream = any_stream(Random("histories"), size_min=30, size_max=30, gap_ms=HOUR // 2, people=6)
    events, store = contributions_of(shoppers, stream), made.store(shoppers, COMPUTED)
    result = FunctionResult({"plan": "pro", "odd": [{"": 1}], "gone": None, "n": 2}, "row-1", "d", "people")
    apart = contributions_of(shoppers, [an_event(messageId="apart", userId="apart", arrival=T0)])
    batches = [apart, *in_batches(Random("histories"), events)]
    for batch in batches:
        assert not Ingest(shoppers, store, Clock()).run(batch).failed
        if batch is batches[-1]:
            break
        targets = {
            pointer.profile_id
            for pointer in store.pointers([batch[0].identifiers[0]], fresh=True).values()
            if pointer is not None
        }
        for profile in store.profiles(targets, fresh=True).values():
            if isinstance(profile, Profile):
                store.commit([plan_of_result(shoppers, profile, result, 1)])


def _compact(made):
    """Have two profiles without a result; the history of one was put together, and chunks are cut."""
    shoppers = Builder(a_definition(profile_function=OPTIONS))
    store = made.store(shoppers, COMPACTED)
    for number, event in enumerate(_uuid_events(6)):
        person = "whole" if number % 3 else "apart"
        [one] = contributions_of(shoppers, [event(userId=person)])
        assert not Ingest(shoppers, store, Clock()).run([one]).failed
    for profile in store.profiles({pointer.profile_id for pointer in _pointers(store)}, fresh=True).values():
        compacted = compact(profile, store.chunks(profile, 0), profile.rev + 1, small_max=3)
        if compacted is not None:
            changed = copy(shoppers, profile)
            changed.heads, changed.rev = compacted.heads(profile.id), profile.rev + 1
            assert store.commit([Plan(puts=[Put(changed, profile.rev, compacted.chunks)])]) == [Committed()]


def _pointers(store):
    found = store.pointers([Identifier("user_id", one) for one in ("whole", "apart")], fresh=True)
    return [one for one in found.values() if one is not None]


def _uuid_events(count):
    """Yield what makes events with the ids that libraries give them."""
    random = Random("uuids")
    for number in range(count):
        name = str(UUID(int=random.getrandbits(128)))
        yield partial(an_event, messageId=name, arrival=T0 + number * HOUR, properties={"tags": ["a", "b"]})


def objects():
    """Return what the bucket holds, and the stream: {name: bytes}. What is compressed is named after that."""
    stream = any_stream(Random("objects"), size_min=12, size_max=12)
    contributions = contributions_of(builder(), stream)
    frame = pack(contributions)
    spool = SpoolWriter()
    for one in (frame, pack([]), frame):
        spool.add(one)
    lines = [archive_line(record, key) for record, key in _records()]
    data, _ = freeze(parse_definition(FILES["builder.yaml"]), FILES)
    return {
        "archive.jsonl.gz": archive_object(lines),
        "control": control_record(Marker("0123456789abcdef" * 2, "customers-v3")),
        "definition.json": data,
        "frame": frame,
        "manifest.json": msgspec.json.encode(_manifest()),
        "quarantine.json": _quarantined(),
        "shuffled": write_shuffled(4, [(1, compress(_records_of({5: frame, 9: pack([])})))]),
        "spool.zst": spool.finish(),
        "waiting.json": _waiting(),
        **beside.made(contributions_of(builder(), [event(userId="u") for event in _uuid_events(2)])),
    }


def _records_of(frames):
    return b"".join(record_header(component, len(one)) + one for component, one in frames.items())


def _records():
    event = json_of({"type": "track", "messageId": "m1", "userId": "ü-1", "properties": {"total": 12}})
    for number, data in enumerate((event, gzip_of(event), aggregate_of([event, event]), b"\xff", b"")):
        yield Record(data, ARRIVAL + number, SHARD, f"{SEQUENCE}{number}"), "key-ü"


def _rejections():
    data = b'[{"userId": "u1"}, 7, "cut"]'
    return [one for one in read_record(data, ARRIVAL, SHARD, SEQUENCE) if not hasattr(one, "body")]


def _quarantined():
    bucket = FakeObjects()
    with patch("shared.adapters.quarantine.uuid4") as written:
        written.return_value.hex = "0" * 32
        S3Quarantine(bucket).put(entries_of("shoppers", 3, envelope(b""), _rejections()))
    [(data, _)] = bucket.held.values()
    return data


def _waiting():
    bucket = FakeObjects()
    [entry] = entries_of("shoppers", 3, envelope(b""), _rejections())
    Retries(bucket, lambda: T0).put("shoppers", 3, [retry_of(entry.envelope, 1, 30.5)])
    [(data, _)] = bucket.held.values()
    return data


def _manifest():
    return Manifest(
        source="history.jsonl",
        sha256="ab" * 32,
        added_at="2026-09-21T13:33:20.000Z",
        records=2,
        bytes=120,
        rejected={"no_arrival": 1},
        first_arrival="2026-09-20T13:33:20.000Z",
        last_arrival="2026-09-20T13:34:20.000Z",
        objects=[Written("events/dt=2026-09-20/hour=13/backfill-x-1-2.jsonl.gz", 2)],
    )


def _puts(table, items):
    return {"RequestItems": {table: [{"PutRequest": {"Item": item}} for item in items]}}


def as_json(wire):
    """Return an item as JSON holds it: bytes as base64."""
    return {
        name: {letter: b64encode(one).decode() if letter == "B" else one for letter, one in value.items()}
        for name, value in wire.items()
    }
