"""Quarantine keeps what could not be processed, once; replay loses none of it; the drain neither."""

from base64 import b64encode
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.quarantine import S3Quarantine
from shared.app.delivery import deliver
from shared.app.quarantine import REPLAY_RECORDS_MAX, Stored, entries_of, replay
from shared.core.records import Record, Rejection, kinesis_record, kinesis_records, read_record
from tests.fakes.crashes import Crash, Life, Mortal
from tests.fakes.ingestion import FakeIngestion, place
from tests.fakes.objects import FakeObjects
from tests.kinesis import array_of, envelope, gzip_of

ARRIVAL = 1_767_323_050_123  # 2026-01-02T03:04:10.123Z
DAY_MS = 86_400_000


def record(
    data: bytes = b"[1]", sequence: int = 1, shard: str = "shardId-000000000000", at=ARRIVAL
) -> Record:
    return Record(data, at, shard, str(sequence))


def rejected(one: Record, builder: str = "customers", version: int = 1):
    rejections = [each for each in read_record(*one) if isinstance(each, Rejection)]
    delivered = envelope(one.data, arrival=one.arrival, shard=one.shard, sequence=one.sequence)
    return entries_of(builder, version, delivered, rejections)


@pytest.fixture
def store():
    return S3Quarantine(FakeObjects())


def fill(store, *records, **fields):
    entries = [entry for one in records for entry in rejected(one, **fields)]
    store.put(entries)
    return entries


# What an entry is


def test_an_entry_comes_back_as_it_was_put(store):
    [entry] = fill(store, record(b"not json"))
    assert store.get(entry.id).entry == entry
    assert [one.entry for one in store.list()] == [entry]


def test_an_entry_is_named_by_version_day_and_position():
    [whole] = rejected(record(b"not json", sequence=77))
    assert whole.id == "customers/v1/dt=2026-01-02/shardId-000000000000-77"
    [part] = rejected(record(b"x\n{}", sequence=77))
    assert part.id == "customers/v1/dt=2026-01-02/shardId-000000000000-77-0"


def test_an_envelope_reads_back_as_the_record_with_its_arrival_and_position():
    one = record(b"not json")
    [entry] = rejected(one)
    assert kinesis_record(entry.envelope) == one


def test_only_the_unreadable_events_of_a_record_are_set_aside():
    [entry] = rejected(record(b'{"event": "a"}\nnot json\n{"event": "b"}\n[]'))
    parts = [(part.data, part.first_index) for part in kinesis_records(entry.envelope)]
    assert parts == [(b"not json", 1), (b"[]", 3)]
    assert entry.reasons == {"not_json": 1, "not_an_object": 1}
    assert (entry.index, entry.reason) == (1, "not_json")


@pytest.mark.parametrize("bad", [1, 2, 3000])
def test_a_record_has_one_entry_however_many_of_its_events_are_bad(bad):
    [entry] = rejected(record(b'{"event": "a"}\n' + b"x\n" * bad + b'{"event": "b"}'))
    parts = kinesis_records(entry.envelope)
    assert [part.data for part in parts] == [b"x"] * bad
    assert [part.first_index for part in parts] == list(range(1, bad + 1))
    assert entry.reasons == {"not_json": bad}
    assert (bad == 1) == (not entry.detail.startswith(f"{bad} events"))


def test_bad_events_that_no_call_could_carry_have_several_entries():
    data = gzip_of(array_of([b'"%d%s"' % (number, b"x" * 999_990) for number in range(10)]))
    entries = rejected(record(data))
    assert 1 < len(entries) < 10
    assert all(len(msgspec.json.encode(entry.envelope)) < 6_000_000 for entry in entries)
    indexes = [part.first_index for entry in entries for part in kinesis_records(entry.envelope)]
    assert indexes == list(range(10))
    assert [entry.index for entry in entries] == [
        kinesis_records(entry.envelope)[0].first_index for entry in entries
    ]


def test_what_is_still_bad_of_an_entry_keeps_its_name():
    [entry] = rejected(record(b"{}\nx\ny\nz"))
    last = kinesis_records(entry.envelope)[-1]
    [rejection] = read_record(*last)
    [again] = entries_of("customers", 1, entry.envelope, [rejection])
    assert again.id == entry.id
    assert kinesis_records(again.envelope) == [last]
    [thrice] = entries_of("customers", 1, again.envelope, [rejection])
    assert thrice == again


def test_redelivery_keeps_an_entry_once(store):
    for _ in range(3):
        fill(store, record(b"{}\nx\ny"), record(b"x"))
    assert len(list(store.list())) == 2


def test_entries_are_found_by_builder_reason_and_arrival(store):
    fill(store, record(b"x", 1), record(b"\xff\xfe", 2, at=ARRIVAL + 1), record(b"x", 3, at=ARRIVAL + DAY_MS))
    fill(store, record(b"x", 4), builder="accounts")
    reasons = {int(one.entry.sequence): one.entry.reason for one in store.list()}

    def found(**filters):
        return [int(one.entry.sequence) for one in store.list(**filters)]

    assert sorted(found()) == [1, 2, 3, 4]
    assert found(builder="accounts") == [4]
    assert sorted(found(reason=reasons[2])) == sorted(n for n, why in reasons.items() if why == reasons[2])
    assert found(since=ARRIVAL + DAY_MS) == [3]
    assert sorted(found(since=ARRIVAL + 1)) == [2, 3]


def test_an_entry_of_several_events_is_found_by_each_of_their_reasons(store):
    [entry] = fill(store, record(b"{}\nx\n[]"))
    for reason in ("not_json", "not_an_object"):
        assert [one.entry for one in store.list(reason=reason)] == [entry]
    assert list(store.list(reason="empty")) == []


def test_an_unknown_id_is_none(store):
    assert store.get("customers/v1/dt=2026-01-02/nothing") is None


def test_an_entry_that_was_written_again_is_not_deleted(store):
    [entry] = fill(store, record(b"x"))
    read = store.get(entry.id)
    store.put([entry])
    assert not store.delete(read)
    assert store.delete(store.get(entry.id))
    assert store.get(entry.id) is None


# Replay


def test_replay_ingests_the_original_envelopes_and_empties_quarantine(store):
    entries = fill(store, record(b"x", 2), record(b"x", 1), record(b"{}\na\nb", 3))
    ingestion = FakeIngestion(store)
    result = replay(store, ingestion, store.list())
    assert sorted(result.accepted) == sorted(entry.id for entry in entries)
    [(builder, version, records)] = ingestion.calls
    assert (builder, version) == ("customers", 1)
    assert records == [entries[1].envelope, entries[0].envelope, *(entry.envelope for entry in entries[2:])]
    assert list(store.list()) == []


def test_replay_keeps_what_is_still_bad_and_says_so(store):
    bad, good = fill(store, record(b"x", 1), record(b"x", 2))
    ingestion = FakeIngestion(store)
    ingestion.bad = {place(bad.envelope)}
    result = replay(store, ingestion, store.list())
    assert (result.accepted, result.still_bad) == ([good.id], [bad.id])
    assert [one.entry for one in store.list()] == [FakeIngestion.set_aside("customers", 1, bad.envelope)]


def test_replay_keeps_what_ingestion_fails_on_and_goes_on_with_the_rest(store):
    entries = fill(store, *(record(b"x", number) for number in range(1, 8)))
    ingestion = FakeIngestion(store)
    ingestion.failing, ingestion.poison = {place(entries[2].envelope)}, {place(entries[5].envelope)}
    result = replay(store, ingestion, store.list())
    assert sorted(result.failed) == sorted([entries[2].id, entries[5].id])
    assert len(result.accepted) == 5
    assert len(list(store.list())) == 2


def test_replay_calls_each_version_and_shard_by_itself(store):
    fill(store, record(b"x", 1), record(b"x", 2, shard="shardId-000000000001"))
    fill(store, record(b"x", 1), version=2)
    ingestion = FakeIngestion(store)
    replay(store, ingestion, store.list())
    assert [(version, len(records)) for _, version, records in ingestion.calls] == [(1, 1), (1, 1), (2, 1)]


def test_replay_orders_sequence_numbers_as_numbers(store):
    fill(store, record(b"x", 10), record(b"x", 9))
    ingestion = FakeIngestion(store)
    replay(store, ingestion, store.list())
    assert [place(one)[1] for one in ingestion.calls[0][2]] == ["9", "10"]


def test_replay_keeps_calls_below_their_limits(store):
    fill(store, *(record(b"x", number) for number in range(REPLAY_RECORDS_MAX + 1)))
    big = b64encode(b"x" * 2_000_000).decode()
    stored = [one if index else _with_data(one, big) for index, one in enumerate(store.list())]
    stored[1] = _with_data(stored[1], big)
    ingestion = FakeIngestion(store)
    replay(store, ingestion, stored)
    assert sum(len(records) for _, _, records in ingestion.calls) == REPLAY_RECORDS_MAX + 1
    assert all(len(msgspec.json.encode(records)) < 6_000_000 for _, _, records in ingestion.calls)


def _with_data(stored: Stored, data: str) -> Stored:
    envelope = {**stored.entry.envelope, "kinesis": {**stored.entry.envelope["kinesis"], "data": data}}
    return Stored(replace(stored.entry, envelope=envelope), stored.tag)


def test_what_a_retired_version_set_aside_stays(store):
    [entry] = fill(store, record(b"x"))
    ingestion = FakeIngestion(store)
    ingestion.gone = {1}
    assert replay(store, ingestion, store.list()).orphaned == [entry.id]
    assert len(list(store.list())) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_replay_that_died_in_any_call_has_lost_nothing(after):
    deaths = 0
    while True:
        store = S3Quarantine(FakeObjects())
        entries = fill(store, *(record(b"x", number) for number in range(1, 6)))
        ingestion = FakeIngestion(store)
        ingestion.bad, ingestion.failing = {place(entries[1].envelope)}, {place(entries[3].envelope)}
        life = Life(deaths + 1, after=after)
        try:
            replay(Mortal(store, life), Mortal(ingestion, life), list(store.list()))
        except Crash:
            deaths += 1
        else:
            break
        kept = {place(one.entry.envelope) for one in store.list()}
        assert kept | ingestion.folded == {place(entry.envelope) for entry in entries}
    assert deaths > 5


# Delivery by halves


@settings(max_examples=100, deadline=None)
@given(
    items=st.lists(st.integers(), unique=True, max_size=60),
    data=st.data(),
)
def test_delivery_accepts_everything_but_what_fails_alone(items, data):
    failing = data.draw(st.sets(st.sampled_from(items)) if items else st.just(set()))
    poison = data.draw(st.sets(st.sampled_from(items)) if items else st.just(set()))
    accepted = []

    def ingest(part):
        if poison.intersection(part):
            return 0
        good = next((index for index, item in enumerate(part) if item in failing), len(part))
        accepted.extend(part[:good])
        return good

    left = deliver(ingest, items, lambda: True)
    assert sorted(left.failed) == sorted(failing | poison)
    assert set(accepted) == set(items) - failing - poison
    assert left.untried == []


@settings(max_examples=100, deadline=None)
@given(count=st.integers(0, 40), calls=st.integers(0, 30), failing=st.sets(st.integers(0, 39)))
def test_delivery_that_runs_out_of_time_names_all_that_was_not_accepted(count, calls, failing):
    accepted, left_calls = [], [calls]

    def ingest(part):
        left_calls[0] -= 1
        if failing.intersection(part):
            return 0
        accepted.extend(part)
        return len(part)

    left = deliver(ingest, range(count), lambda: left_calls[0] > 0)
    assert sorted([*accepted, *left.failed, *left.untried]) == list(range(count))


def test_one_bad_record_of_a_thousand_is_found_in_few_calls():
    calls = []

    def ingest(part):
        calls.append(len(part))
        return len(part) if 700 not in part else 0

    assert deliver(ingest, range(1000), lambda: True).failed == [700]
    assert len(calls) < 25
