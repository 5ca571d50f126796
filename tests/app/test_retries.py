"""Events whose transformation asks for it are tried again when due, a few times, and never lost."""

import json

import msgspec
import pytest

from shared import contract
from shared.adapters.memory_store import MemoryStore
from shared.adapters.quarantine import S3Quarantine
from shared.app.batch import Batch
from shared.app.drain import GIVE_UP_AFTER_MS, Drain, Outcome, UnreadableBatchError, read_batch
from shared.app.ingest import Ingest
from shared.app.markers import Markers
from shared.app.ports import Conflict, Failed
from shared.app.quarantine import replay
from shared.app.reading import Postponed
from shared.app.retries import CONTENDED_S, DELAY_S_MAX, DELAYS_S, Retries
from shared.core.chain import Failure, failed
from shared.core.compile import Builder
from shared.core.profile import Profile, present
from shared.core.times import format_time
from tests.clocks import FakeClock
from tests.fakes.crashes import Crash, crash
from tests.fakes.objects import FakeObjects
from tests.kinesis import ARRIVAL, array_of, envelope, json_of
from tests.people import a_definition

BUILDER = Builder(a_definition())
GOOD = {"type": "track", "messageId": "m", "userId": "ann"}
MINUTE_MS = 60_000


class HotStore(MemoryStore):
    """Somebody else is always faster to write the profiles in `hot`."""

    hot: frozenset[str] = frozenset()

    def commit(self, plans):
        return [self._commit_cold(plan) for plan in plans]

    def _commit_cold(self, plan):
        ids = {put.profile.id for put in plan.puts}
        if ids & self.hot:
            return Conflict({one: self.stored.get(one) for one in ids})
        return super().commit([plan])[0]


class Cloud:
    """Ingestion with a chain that asks `busy` events to wait, a drain, and a clock."""

    def __init__(self):
        self.now = ARRIVAL + 1000
        self.objects = FakeObjects()
        self.quarantine = S3Quarantine(self.objects)
        self.store = HotStore()
        self.busy = {}
        self.unreached = set()
        self.bad = set()
        retries = Retries(self.objects, lambda: self.now)
        ingest = Ingest(BUILDER, self.store, FakeClock())
        self.batch = Batch(
            BUILDER,
            1,
            0,
            ingest,
            self.quarantine,
            retries,
            Markers(self.objects),
            self,
        )

    def run(self, events):
        return [self.transform(event) for event in events]

    def transform(self, event):
        if event.id in self.unreached:
            return Postponed(failed(event, Failure("transform_retry", "not reached")), unreached=True)
        if event.id in self.bad:
            return failed(event, Failure("transform_error", "ValueError"))
        if event.id in self.busy:
            return Postponed(failed(event, Failure("transform_retry", "RetryError")), self.busy[event.id])
        return [event]

    def ingest(self, builder, version, records):
        assert (builder, version) == (BUILDER.name, 1)
        self.objects.now = self.now
        outcome = self.batch.run(json.loads(json.dumps(records)))
        numbers = [record["kinesis"]["sequenceNumber"] for record in records]
        return numbers.index(outcome.failed) if outcome.failed else len(records)

    def drain(self, after_s=0):
        self.now += round(after_s * 1000)
        drain = Drain(self.objects, self, self.quarantine, lambda _: None, lambda: 10**9)
        return drain.run(self.now)

    def waiting(self):
        return [key for key in self.objects.held if key.startswith(contract.PREFIX_RETRIES)]

    def counts(self):
        live = [one for one in self.store.stored.values() if isinstance(one, Profile)]
        return [present(BUILDER, one)["event_count"] for one in live]


def one_record(*ids):
    return [envelope(array_of([json_of(GOOD | {"messageId": one}) for one in ids]))]


def test_an_event_that_waits_is_folded_once_its_time_has_come_with_its_arrival():
    cloud = Cloud()
    cloud.busy = {"b": None}
    assert cloud.ingest(BUILDER.name, 1, one_record("a", "b", "c")) == 1
    assert cloud.counts() == [2]
    assert len(cloud.waiting()) == 1
    cloud.busy = {}
    assert cloud.drain(DELAYS_S[0] - 1).due == 0
    assert cloud.drain(1 + 60).results[0].outcome is Outcome.DRAINED
    assert cloud.counts() == [3]
    assert cloud.waiting() == []
    [profile] = [one for one in cloud.store.stored.values() if isinstance(one, Profile)]
    assert profile.updated_at == ARRIVAL


def test_an_event_that_keeps_asking_waits_longer_each_time_and_ends_in_quarantine():
    cloud = Cloud()
    cloud.busy = {"b": None}
    cloud.ingest(BUILDER.name, 1, one_record("a", "b"))
    for delay_s in DELAYS_S:
        assert len(cloud.waiting()) == 1
        assert list(cloud.quarantine.list()) == []
        assert cloud.drain(delay_s - 60).due == 0
        assert cloud.drain(120).due == 1
    assert cloud.waiting() == []
    [stored] = cloud.quarantine.list()
    assert stored.entry.reasons == {"transform_retry": 1}
    assert stored.entry.arrival == ARRIVAL
    assert cloud.counts() == [1]


def test_what_ended_in_quarantine_may_be_replayed_and_is_tried_as_often_again():
    cloud = Cloud()
    cloud.busy = {"b": None}
    cloud.ingest(BUILDER.name, 1, one_record("a", "b"))
    for delay_s in DELAYS_S:
        cloud.drain(delay_s + 60)
    [stored] = cloud.quarantine.list()
    assert replay(cloud.quarantine, cloud, [stored]).accepted == [stored.entry.id]
    assert len(cloud.waiting()) == 1
    assert list(cloud.quarantine.list()) == []
    cloud.busy = {}
    cloud.drain(DELAYS_S[0] + 60)
    assert cloud.counts() == [2]


def test_an_event_that_was_not_reached_was_not_tried():
    cloud = Cloud()
    cloud.unreached = {"b"}
    cloud.ingest(BUILDER.name, 1, one_record("a", "b"))
    for _ in range(len(DELAYS_S) + 2):
        assert cloud.drain(DELAYS_S[0] + 60).due == 1
    assert list(cloud.quarantine.list()) == []
    cloud.unreached = set()
    cloud.drain(DELAYS_S[0] + 60)
    assert cloud.counts() == [2]


@pytest.mark.parametrize(("delay_s", "waits_s"), [(1, 1), (90, 90), (10**9, DELAY_S_MAX)])
def test_an_event_may_choose_how_long_it_waits(delay_s, waits_s):
    cloud = Cloud()
    cloud.busy = {"a": delay_s}
    cloud.ingest(BUILDER.name, 1, one_record("a"))
    assert cloud.drain(waits_s - 1).due == 0
    assert cloud.drain(1).due == 1


def test_events_of_one_record_wait_together_and_apart_from_what_is_bad():
    cloud = Cloud()
    cloud.busy, cloud.bad = {"a": None, "c": None, "e": 60}, {"d"}
    cloud.ingest(BUILDER.name, 1, one_record("a", "b", "c", "d", "e"))
    assert len(cloud.waiting()) == 2
    assert len(list(cloud.quarantine.list())) == 1
    cloud.busy, cloud.bad = {}, {"c"}
    cloud.drain(DELAYS_S[0] + 60)
    assert cloud.counts() == [4 - 1]
    cloud.drain(DELAYS_S[0])
    assert cloud.counts() == [3]
    assert sum(sum(one.entry.reasons.values()) for one in cloud.quarantine.list()) == 2
    cloud.bad = set()
    replay(cloud.quarantine, cloud, list(cloud.quarantine.list()))
    assert cloud.counts() == [5]


def test_events_of_one_entry_that_part_ways_all_reach_quarantine():
    cloud = Cloud()
    cloud.bad = {"a", "b", "c"}
    cloud.ingest(BUILDER.name, 1, one_record("a", "b", "c", "d"))
    [stored] = cloud.quarantine.list()
    cloud.busy, cloud.bad = {"a": None}, {"c"}
    replay(cloud.quarantine, cloud, [stored])
    for delay_s in DELAYS_S:
        cloud.drain(delay_s + 60)
    assert sorted(one.entry.index for one in cloud.quarantine.list()) == [0, 2]
    cloud.busy, cloud.bad = {}, set()
    replay(cloud.quarantine, cloud, list(cloud.quarantine.list()))
    assert cloud.counts() == [4]


def test_events_of_one_retry_that_part_ways_all_reach_quarantine():
    cloud = Cloud()
    cloud.busy = {"a": None, "b": None, "c": None}
    cloud.ingest(BUILDER.name, 1, one_record("a", "b", "c"))
    cloud.busy, cloud.bad = {"a": None, "b": 60}, {"c"}
    for delay_s in DELAYS_S:
        cloud.drain(delay_s + 60)
    assert cloud.waiting() == []
    assert sorted(one.entry.index for one in cloud.quarantine.list()) == [0, 1, 2]


def test_an_event_that_is_to_wait_stays_in_quarantine_if_the_replay_dies_before_it_does(monkeypatch):
    cloud = Cloud()
    cloud.bad = {"a", "b"}
    cloud.ingest(BUILDER.name, 1, one_record("a", "b", "c"))
    [stored] = cloud.quarantine.list()
    cloud.bad, cloud.busy = {"a"}, {"b": None}
    put = cloud.objects.put

    def put_once(key, data):
        monkeypatch.setattr(cloud.objects, "put", crash)
        put(key, data)

    monkeypatch.setattr(cloud.objects, "put", put_once)
    with pytest.raises(Crash):
        replay(cloud.quarantine, cloud, [stored])
    monkeypatch.undo()
    cloud.bad, cloud.busy = set(), {}
    replay(cloud.quarantine, cloud, list(cloud.quarantine.list()))
    cloud.drain(DELAYS_S[0] + 60)
    assert cloud.counts() == [3]


def test_a_batch_that_comes_again_leaves_an_event_to_be_counted_once():
    cloud = Cloud()
    cloud.busy = {"a": None}
    cloud.ingest(BUILDER.name, 1, one_record("a"))
    cloud.now += 5 * MINUTE_MS
    cloud.ingest(BUILDER.name, 1, one_record("a"))
    cloud.busy = {}
    cloud.drain(DELAYS_S[0])
    cloud.drain(DELAYS_S[0])
    assert cloud.counts() == [1]


def test_what_ingestion_does_not_accept_stays_and_goes_to_quarantine_after_six_hours():
    cloud = Cloud()
    cloud.busy = {"a": None}
    cloud.ingest(BUILDER.name, 1, one_record("a"))
    cloud.busy = {}
    cloud.store.commit = lambda plans: [Failed("throttled") for _ in plans]
    [result] = cloud.drain(DELAYS_S[0] + 60).results
    assert result.outcome is Outcome.FAILING
    assert len(cloud.waiting()) == 1
    [result] = cloud.drain(GIVE_UP_AFTER_MS / 1000).results
    assert result.outcome is Outcome.GAVE_UP
    assert [one.entry.reason for one in cloud.quarantine.list()] == ["failed_repeatedly"]


def test_events_are_counted_as_postponed_until_they_are_given_up():
    cloud = Cloud()
    cloud.busy = {"a": None}
    outcome = cloud.batch.run(one_record("a", "b"))
    assert outcome.tally["events_postponed"] == 1
    [key] = cloud.waiting()
    records = msgspec.json.decode(cloud.objects.held[key][0])["records"]
    records[0]["kith"]["attempt"] = len(DELAYS_S)
    outcome = cloud.batch.run(records)
    assert (outcome.tally["events_postponed"], outcome.tally["events_quarantined"]) == (0, 1)
    assert outcome.tally["quarantined.transform_retry"] == 1


def test_much_that_waits_is_cut_into_objects_that_one_call_carries():
    cloud = Cloud()
    cloud.busy = {f"m{number}": None for number in range(12)}
    records = [
        envelope(json_of(GOOD | {"messageId": one, "padding": "x" * 900_000}), sequence=f"{number:056}")
        for number, one in enumerate(cloud.busy)
    ]
    cloud.batch.run(records)
    assert len(cloud.waiting()) > 1
    assert all(len(cloud.objects.held[key][0]) < 6_000_000 for key in cloud.waiting())


def a_contended_cloud():
    """Somebody writes Ann all the time, and the event that says who the device is loses every race."""
    cloud = Cloud()
    cloud.ingest(BUILDER.name, 1, [envelope(json_of(GOOD | {"messageId": "first"}))])
    cloud.store.hot = frozenset(cloud.store.stored)
    link = envelope(json_of(GOOD | {"messageId": "link", "anonymousId": "new"}), sequence="2")
    other = envelope(json_of(GOOD | {"messageId": "x", "userId": None, "anonymousId": "x"}), sequence="3")
    return cloud, [link, other]


def test_a_record_that_keeps_losing_races_waits_and_its_neighbours_do_not():
    cloud, records = a_contended_cloud()
    outcome = cloud.batch.run(records)
    assert outcome.failed is None
    assert (outcome.tally["events_postponed"], outcome.tally["events_failed"]) == (1, 0)
    assert cloud.counts() == [1, 1]
    assert [key.split("/")[1] for key in cloud.waiting()] == [format_time(cloud.now + CONTENDED_S * 1000)]
    cloud.store.hot = frozenset()
    [result] = cloud.drain(CONTENDED_S).results
    assert (result.outcome, result.records) == (Outcome.DRAINED, 1)
    assert sorted(cloud.counts()) == [1, 2]
    assert cloud.waiting() == []


def test_a_record_that_loses_again_after_it_has_waited_stays_and_ends_in_quarantine_after_hours():
    cloud, records = a_contended_cloud()
    cloud.batch.run(records)
    [waiting] = cloud.waiting()
    assert cloud.drain(CONTENDED_S).results[0].outcome is Outcome.FAILING
    assert cloud.waiting() == [waiting]
    assert cloud.drain(GIVE_UP_AFTER_MS / 1000).results[0].outcome is Outcome.GAVE_UP
    assert cloud.waiting() == []
    [(entry, _)] = cloud.quarantine.list()
    assert entry.reason == "failed_repeatedly"
    cloud.store.hot = frozenset()
    replay(cloud.quarantine, cloud, list(cloud.quarantine.list()))
    assert list(cloud.quarantine.list()) == []
    assert sorted(cloud.counts()) == [1, 2]


def test_an_object_that_is_none_is_told():
    for data in (b"", b"{}", b'{"builder":"b","version":1,"records":[{}]}'):
        with pytest.raises(UnreadableBatchError):
            read_batch(f"{contract.PREFIX_RETRIES}2026-01-01T00:00:00.000Z/b/x.json", data, lambda _: None)
