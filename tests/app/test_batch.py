"""Batches of the stream: good events become profiles, bad ones wait in quarantine, nobody stops anybody."""

import gzip
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.memory_store import MemoryStore
from shared.app.batch import Batch
from shared.app.ingest import Ingest
from shared.app.markers import Markers
from shared.app.ports import Failed
from shared.app.retries import Retries
from shared.core.compile import Builder
from shared.core.control import Marker, control_record
from shared.core.profile import Profile, present
from tests.clocks import FakeClock
from tests.fakes.objects import FakeObjects
from tests.fakes.quarantine import FakeQuarantine
from tests.generators import any_json
from tests.kinesis import (
    ARRIVAL,
    SHARD,
    aggregate_of,
    array_of,
    envelope,
    gzip_of,
    json_of,
    lines_of,
    zstd_of,
)
from tests.people import a_definition

BUILDER = Builder(a_definition())
GOOD = {"type": "track", "messageId": "good", "userId": "ann", "properties": {"page": "/home", "total": 12.5}}


class World:
    """A batch use case with everything it writes to, in memory."""

    def __init__(self, t0=0, builder=BUILDER):
        self.store = MemoryStore()
        self.quarantine = FakeQuarantine()
        self.objects = FakeObjects()
        self.builder = builder
        ingest = Ingest(builder, self.store, FakeClock())
        retries = Retries(self.objects, lambda: ARRIVAL)
        self.batch = Batch(builder, 1, t0, ingest, self.quarantine, retries, Markers(self.objects))

    def run(self, *records, arrival=ARRIVAL, **options):
        envelopes = [
            envelope(data, arrival=arrival, sequence=f"{number:056}")
            for number, data in enumerate(records, 1)
        ]
        return self.batch.run(envelopes, **options)

    def profiles(self):
        live = [one for one in self.store.stored.values() if isinstance(one, Profile)]
        return [present(self.builder, one) for one in sorted(live, key=lambda one: one.created_at)]

    def reasons(self):
        return Counter(entry.reason for entry in self.quarantine.entries.values())


def event(**changes):
    return json_of(GOOD | changes)


def test_an_event_becomes_a_profile():
    world = World()
    outcome = world.run(event())
    [profile] = world.profiles()
    assert profile["identifiers"] == {"user_id": ["ann"]}
    assert profile["attributes"]["first_page"] == "/home"
    assert outcome.failed is None
    assert outcome.tally["events_in"] == outcome.tally["events_folded"] == 1
    assert outcome.oldest == ARRIVAL


UNREADABLE = {
    "not JSON": b"hello",
    "not an object": b"[1]",
    "a text": b'"text"',
    "truncated gzip": gzip.compress(b'{"userId": "bob"}')[:-9],
    "a decompression bomb": gzip.compress(b" " * 64 * 2**20),
    "over a million bytes": json_of(GOOD | {"padding": "x" * 1_100_000}),
    "deep nesting": b"[" * 100_000,
    "deep objects": b'{"a":' * 1000 + b"1" + b"}" * 1000,
    "NaN": b'{"userId": "bob", "n": NaN}',
    "invalid UTF-8": b'{"userId": "\xff"}',
    "a million entries": b"[" + b"1," * 999_999 + b"1]",
    "nothing": b"",
    "a number of 5000 digits": b'{"userId": "bob", "n": ' + b"1" * 5000 + b"}",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_goes_to_quarantine_with_its_reason_and_its_neighbours_go_on(name):
    world = World()
    outcome = world.run(event(messageId="a"), UNREADABLE[name], event(messageId="b"))
    assert outcome.failed is None
    assert [profile["event_count"] for profile in world.profiles()] == [2]
    assert sum(world.reasons().values()) == 1
    assert outcome.tally["events_quarantined"] >= 1
    [entry] = world.quarantine.entries.values()
    assert entry.reason
    assert entry.arrival == ARRIVAL


READABLE = {
    "NUL": event(traits={"name": "a\u0000b"}, type="identify"),
    "400 digits": event(properties={"total": 10**400}),
    "duplicate keys": b'{"userId": "bob", "userId": "ann", "messageId": "good"}',
    "trait names": event(
        type="identify", traits={"constructor": 1, "#pk": 2, "": 3, "a.b": 4, "__proto__": {"x": 5}}
    ),
    "year 1": event(timestamp="0001-01-01T00:00:00Z"),
    "year 9999": event(timestamp="9999-12-31T23:59:59Z"),
    "an identifier of 2 KB": event(anonymousId="x" * 2048),
    "half an identifier": rb'{"userId": "ann", "messageId": "m", "anonymousId": "\ud800"}',
    "half an attribute": rb'{"userId": "ann", "type": "page", "properties": {"url": "\ud800"}}',
    "half a trait": rb'{"userId": "ann", "type": "identify", "traits": {"\ud800": "\udfff"}}',
    "half an id": rb'{"userId": "ann", "messageId": "\ud800", "timestamp": "\ud800"}',
}


@pytest.mark.parametrize("name", READABLE)
def test_what_is_merely_odd_is_folded(name):
    world = World()
    outcome = world.run(READABLE[name])
    [profile] = world.profiles()
    assert profile["identifiers"] == {"user_id": ["ann"]}
    assert profile["updated_at"] >= profile["created_at"]
    assert outcome.tally["events_quarantined"] == 0


def test_odd_trait_names_are_kept_and_empty_ones_left_out():
    world = World()
    outcome = world.run(READABLE["trait names"])
    [profile] = world.profiles()
    assert profile["traits"] == {"constructor": 1, "#pk": 2, "a.b": 4, "__proto__.x": 5}
    assert outcome.tally["left_out.traits.name"] == 1


def test_unusable_values_are_left_out_and_counted_and_unusable_identifiers_set_aside():
    world = World()
    properties = {"page": {"not": "text"}, "total": "many", "source": [1]}
    outcome = world.run(event(properties=properties, anonymousId="x" * 2048, previousId=True))
    [profile] = world.profiles()
    assert profile["attributes"] == {"events": 1}
    assert outcome.tally["left_out.largest"] == outcome.tally["left_out.source"] == 1
    assert (
        outcome.tally["set_aside.cookie_id.too_long"] == outcome.tally["set_aside.cookie_id.wrong_type"] == 1
    )


def test_events_that_build_no_profile_are_counted_by_reason():
    world = World()
    outcome = world.run(
        event(context={"anonymous": True}), event(userId=None), event(userId="null"), event(userId="bob")
    )
    assert outcome.tally["dropped.anonymous"] == 1
    assert outcome.tally["dropped.no_identifier"] == 2
    assert outcome.tally["events_folded"] == 1
    assert outcome.tally["set_aside.user_id.blocked"] == 1


FORMS = {
    "array": array_of,
    "lines": lines_of,
    "gzip": lambda texts: gzip_of(lines_of(texts)),
    "zstd": lambda texts: zstd_of(array_of(texts)),
    "aggregate": aggregate_of,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_record_gives_the_same_profiles(form):
    texts = [event(messageId=f"m{number}", anonymousId=f"c{number % 3}") for number in range(9)]
    alone, together = World(), World()
    alone.run(*texts)
    together.run(FORMS[form](texts))
    assert together.profiles() == alone.profiles()


def test_one_bad_event_in_a_record_is_set_aside_alone():
    world = World()
    outcome = world.run(array_of([event(messageId="a"), b"17", event(messageId="b")]))
    [entry] = world.quarantine.entries.values()
    assert (entry.index, entry.reason) == (1, "not_an_object")
    assert outcome.tally["events_folded"] == 2


def test_records_before_t0_belong_to_another_version():
    world = World(t0=ARRIVAL + 1)
    outcome = world.run(event(), b"unreadable")
    assert world.profiles() == []
    assert world.reasons() == {}
    assert outcome.tally["records_before_t0"] == 2


def test_a_batch_that_comes_again_changes_nothing():
    world = World()
    records = [event(messageId=f"m{number % 4}", userId=f"u{number % 3}") for number in range(12)]
    world.run(*records)
    before = world.profiles()
    again = world.run(*records)
    assert world.profiles() == before
    assert again.tally["events_folded"] == 0


def test_a_group_that_fails_fails_alone_and_names_the_first_record_that_must_come_again():
    world = World()

    def commit(plans):
        results = []
        for plan in plans:
            hurt = any(
                one.type == "user_id" and one.value == "bob"
                for put in plan.puts
                for one in put.profile.identifiers
            )
            results += [Failed("throttled")] if hurt else MemoryStore.commit(world.store, [plan])
        return results

    world.store.commit = commit
    outcome = world.run(event(messageId="1"), event(messageId="2", userId="bob"), event(messageId="3"))
    assert outcome.failed == f"{2:056}"
    assert outcome.errors == ["throttled"]
    assert [profile["event_count"] for profile in world.profiles()] == [2]


def test_an_event_that_the_engine_trips_over_is_quarantined_alone(monkeypatch):
    world = World()
    contribute = BUILDER._contribute

    def trip(slots, key, *more):
        if key[1] == "bad":
            raise RuntimeError("secret@example.com")
        return contribute(slots, key, *more)

    monkeypatch.setattr(BUILDER, "_contribute", trip)
    world.run(event(messageId="bad"), event())
    [entry] = world.quarantine.entries.values()
    assert (entry.reason, entry.detail) == ("not_processed", "RuntimeError")
    assert [profile["event_count"] for profile in world.profiles()] == [1]


TOKEN = "ab" * 16
OURS = control_record(Marker(TOKEN, f"{BUILDER.definition.name}-v1"))
SHARD_MARKED = f"markers/{TOKEN}/{SHARD}"


@pytest.mark.parametrize(
    "data",
    [
        OURS,
        control_record(Marker(TOKEN, "archive")),
        b'{"kith_control":{"kind":"later"}}',
        b'{"kith_control":',
    ],
)
def test_a_control_record_is_no_event_and_never_set_aside(data):
    world = World()
    outcome = world.run(event(messageId="a"), data, event(messageId="b"))
    assert outcome.tally["records_control"] == 1
    assert outcome.tally["events_in"] == outcome.tally["events_folded"] == 2
    assert not world.quarantine.entries


def test_a_version_acknowledges_markers_of_its_own_and_no_others():
    world = World()
    world.run(control_record(Marker(TOKEN, "archive")), control_record(Marker(TOKEN, "people-v2")), event())
    assert not world.objects.held
    world.run(OURS)
    assert list(world.objects.held) == [SHARD_MARKED]


def test_a_marker_behind_a_failed_event_is_not_acknowledged_before_that_is_written():
    world = World()
    commit, world.store.commit = world.store.commit, lambda plans: [Failed("Throttled")] * len(plans)
    assert world.run(OURS[:-1], event(), OURS).failed == f"{2:056}"
    assert not world.objects.held
    assert world.run(OURS, event()).failed == f"{2:056}"
    assert list(world.objects.held) == [SHARD_MARKED]
    world.objects.delete(SHARD_MARKED)
    world.store.commit = commit
    assert world.run(event(), OURS).failed is None
    assert list(world.objects.held) == [SHARD_MARKED]


def test_much_that_is_bad_is_set_aside_piece_by_piece():
    world = World()
    puts = []
    put = world.quarantine.put
    world.quarantine.put = lambda entries: (puts.append(len(entries)), put(entries))
    bad = gzip_of(array_of([b'"%s"' % (b"x" * 999_990)] * 25))
    world.run(bad, bad, b"x")
    assert len(puts) > 1
    assert sum(puts) == len(world.quarantine.entries)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*GOOD, "anonymousId", "traits", "context", "timestamp", "sentAt"]), any_json()
    )
)
def test_wrong_types_in_any_field_never_stop_a_batch(fields):
    try:
        text = json.dumps(fields, default=str).encode()
    except (UnicodeEncodeError, ValueError):
        return
    world = World()
    outcome = world.run(event(messageId="before"), text, event(messageId="after"))
    assert outcome.failed is None
    tally = outcome.tally
    dropped = sum(count for key, count in tally.items() if key.startswith("dropped."))
    accounted = tally["events_folded"] + tally["events_duplicate"] + tally["events_quarantined"] + dropped
    assert accounted == tally["events_in"] == 3
