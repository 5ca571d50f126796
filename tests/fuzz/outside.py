"""What reads bytes that anybody may send or lay down: records, events, files, definitions, documents.

Each target takes any bytes at all. It returns if they were read, or refused in the way that the code under
test documents; everything else that is raised is a find.
"""

import gzip
import io
import json
from collections import Counter
from contextlib import contextmanager, suppress
from typing import get_args

import msgspec
import zstandard
from typer import BadParameter

from cli.lines import lines_of
from cli.publishing import grace_of
from cli.quarantine import since_of
from shared.app import quarantine
from shared.app.backfill import Backfill
from shared.app.drain import UnreadableBatchError, read_batch
from shared.app.frozen import freeze, thaw
from shared.app.read import UnusableIdentifierError, identifier_of
from shared.contract import PREFIX_BACKFILL, PREFIX_FAILED, PREFIX_RETRIES
from shared.core.archive import DamagedArchiveError, read_object, record_of_line
from shared.core.chain import Made, events_made
from shared.core.chain_check import chain_problems
from shared.core.compile import Builder, Contribution
from shared.core.containers import Reason, UnreadableError, decode_object
from shared.core.control import control_of, control_record, is_control
from shared.core.definition import Definition, IdentifierType
from shared.core.event import Event, Position, event_of
from shared.core.grammar import DefinitionError, parse_definition
from shared.core.identity.identifiers import DEFAULT_BLOCK, NORMALIZERS
from shared.core.kpl import MAGIC, user_records
from shared.core.plan import play
from shared.core.profile import canonical
from shared.core.records import Rejection, envelope_of, kinesis_records, read_record, reject
from shared.core.spool import pack, unpack
from shared.core.times import TIME_MS_MAX, parse_time
from shared.core.values import PARSERS
from tests.fakes.objects import FakeObjects
from tests.kinesis import ARRIVAL, SEQUENCE, SHARD, gzip_of
from tests.people import a_definition

BUILDER = Builder(a_definition())
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
REASONS = frozenset(get_args(Reason))
POSITION = Position(SHARD, SEQUENCE, 0)
NORMALIZING = Builder(
    Definition(
        "normalizing",
        tuple(IdentifierType(one, ((one,),), normalize=one) for one in NORMALIZERS),
        (),
        block=DEFAULT_BLOCK,
    )
)


def record(data):
    """A record of the stream, all the way to profiles."""
    results = read_record(data, ARRIVAL, SHARD, SEQUENCE)
    assert results or _holds_nothing(data), "a record without a result is a record lost"
    assert [one.position.index for one in results] == list(range(len(results)))
    for one in results:
        if isinstance(one, Rejection):
            assert one.reason in REASONS
            assert one.whole == (len(results) == 1 and one.data == data) or not one.whole
            _rejected_again(one)
        else:
            _read_again(one)
    _fold([one for one in results if isinstance(one, Event)])


def _holds_nothing(data):
    """Whether a record is an array without elements, or an aggregate of nothing but these."""
    if data.startswith(MAGIC):
        return all(map(_holds_nothing, user_records(data)))
    if data.startswith(GZIP):
        data = gzip.decompress(data)
    elif data.startswith(ZSTD):
        data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return b"".join(data.split()) == b"[]"


def _read_again(event):
    """What is rejected further on is the same event when it is replayed."""
    rejection = reject(event, "Test")
    again = read_record(rejection.data, event.arrival, *event.position, is_part=True)
    assert len(again) == 1
    assert isinstance(again[0], Event)
    assert (again[0].id, again[0].time, again[0].body) == (event.id, event.time, event.body)


def _rejected_again(rejection):
    """What cannot be read is rejected for the same reason when it is replayed from quarantine."""
    [entry] = quarantine.entries_of("people", 1, envelope_of(rejection), [rejection])
    [record] = kinesis_records(entry.envelope)
    again = read_record(*record)
    assert {one.reason for one in again if isinstance(one, Rejection)} == {rejection.reason}
    assert [one.position for one in again] == [rejection.position]


def _fold(events):
    tally = Counter()
    found = [BUILDER.contribute(event, tally) for event in events]
    contributions = [one for one in found if isinstance(one, Contribution)]
    assert unpack(pack(contributions)) == contributions
    profiles, _ = play(BUILDER, sorted(contributions, key=lambda one: one.order))
    for profile in profiles:
        json.loads(canonical(BUILDER, profile))
        assert len(canonical(BUILDER, profile)) <= profile.bytes_max


def event(data):
    """The text of one event: what a glance tells of it is what reading all of it tells."""
    body = _body(data)
    tally, glanced = Counter(), Counter()
    found = BUILDER.read(data, ARRIVAL, POSITION, glanced)
    if body is None:
        assert found is None, "a glance took what is no event for one"
        return
    whole = BUILDER.contribute(event_of(body, len(data), ARRIVAL, POSITION), tally)
    if found is not None:
        assert (found, glanced) == (whole, tally)
    values = BUILDER.identifier_values(data)
    if values is not None and isinstance(whole, Contribution):
        assert set(BUILDER.identifiers(values)) >= set(whole.identifiers)


def _body(data):
    with suppress(UnreadableError):
        return decode_object(data)
    return None


def envelope(data):
    """What Lambda invokes a consumer of the stream with."""
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        document = msgspec.json.decode(data)
        if isinstance(document, dict):
            with suppress(KeyError, TypeError, ValueError, AttributeError):
                for one in kinesis_records(document):
                    assert 0 <= one.arrival <= TIME_MS_MAX


def failed_batch(data):
    """What the mapping writes when it gives a batch up."""
    with suppress(UnreadableBatchError):
        batch = read_batch(f"{PREFIX_FAILED}uuid/shard/1", data, lambda _: "people-v1")
        for one in batch.records:
            assert quarantine.entry_of("people", 1, one, "x", "").id


def waiting(data):
    """What waits for another try of its transformation."""
    with suppress(UnreadableBatchError):
        read_batch(f"{PREFIX_RETRIES}2026-01-02T03:04:05.678Z/people/x.json", data, lambda _: None)


def control(data):
    """A control record, or whatever looks like one."""
    marker = control_of(data)
    if marker is not None:
        assert is_control(data)
        assert control_of(control_record(marker)) == marker


def archive_line(data):
    """A line of the archive."""
    with suppress(DamagedArchiveError):
        record_of_line(data)


def archive_object(data):
    """An object of the archive, and one that holds these lines."""
    for held in (data, gzip_of(data)):
        with suppress(DamagedArchiveError):
            list(read_object(held))


def definition(data):
    """A `builder.yaml`: a definition, or all that is wrong with it."""
    text = data.decode("utf-8", "surrogateescape")
    found = _definition(text)
    if not isinstance(found, Definition):
        assert found
        return
    frozen, digest = freeze(found, {"builder.yaml": text})
    assert thaw(frozen, digest).definition == found
    builder = Builder(found)
    contribution = builder.contribute(
        event_of({"userId": "u", "traits": {"email": "a@example.com"}}, 50, ARRIVAL, POSITION), Counter()
    )
    if isinstance(contribution, Contribution):
        [profile] = play(builder, [contribution])[0]
        canonical(builder, profile)


def _definition(text):
    """Return the definition of a text, or the lines that say what is wrong with it."""
    try:
        return parse_definition(text)
    except DefinitionError as error:
        return error.lines()


def transformation(data):
    """A `transform.py`: what is wrong with it is told without running it."""
    for problem in chain_problems(data.decode("utf-8", "replace"), "transform.py"):
        assert problem.line >= 1


def made_of_event(data):
    """What a transformation makes of an event, as its process says."""
    before = event_of({"messageId": "m"}, 20, ARRIVAL, POSITION)
    found = events_made(before, [Made("#0", msgspec.Raw(data)), Made("#1", msgspec.Raw(b"{}"))])
    if isinstance(found, Rejection):
        assert found.reason == "transform_result"
    else:
        assert len({one.id for one in found}) == len(found) or "messageId" in found[0].body


def values(data):
    """A text where an attribute or an identifier reads one."""
    text = data.decode("utf-8", "surrogateescape" if data[:1] == b"s" else "replace")
    for parse in PARSERS.values():
        parse(text)
    for one in NORMALIZING.identifiers((text,) * len(NORMALIZERS)):
        assert one.value.strip()
    parse_time(text)


def arguments(data):
    """What somebody types: an identifier to look up, a time since when, a time of grace."""
    text = data.decode("utf-8", "surrogateescape")
    for one in NORMALIZING.definition.identifiers:
        with suppress(UnusableIdentifierError):
            assert identifier_of(NORMALIZING.definition, one.name, text).value.strip()
    for read in (since_of, grace_of):
        with suppress(BadParameter):
            assert read(text) >= 0


def backfill(data):
    """A file of history: each of its lines becomes a record, or is told why not."""
    bucket, rejected = FakeObjects(), []
    source = Source(data)
    adding = Backfill(bucket, lambda: puts(bucket), ARRIVAL, object_bytes_max=300, held_bytes_max=500)
    manifest = adding.add(source, Spool(), rejected.append).manifest
    lines = [line.strip() for line in source.lines()]
    assert manifest.records + len(rejected) == len([line for line in lines if line])
    kept = [
        one
        for key, (held, _) in bucket.held.items()
        if not key.startswith(PREFIX_BACKFILL)
        for one in read_object(held)
    ]
    assert sorted(one.data for one in kept) == sorted(_kept(lines, rejected))


def _kept(lines, rejected):
    """Return the lines that were not rejected."""
    gone = {one.line for one in rejected}
    return [line for number, line in enumerate(lines, 1) if line and number not in gone]


@contextmanager
def puts(bucket):
    yield bucket


class Source:
    """A file of these bytes."""

    name = "fuzzed"

    def __init__(self, data):
        self._data = data

    def lines(self):
        return lines_of(io.BytesIO(self._data))


class Spool:
    """Lines that wait, in memory."""

    def __init__(self):
        self._held = {}

    def append(self, hour, data):
        self._held[hour] = self._held.get(hour, b"") + data

    def take(self, hour):
        return self._held.pop(hour)
