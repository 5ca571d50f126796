"""The drain: what Lambda gave up on is ingested, or set aside after six hours, and never lost."""

import json

import pytest

from shared import contract
from shared.adapters.quarantine import S3Quarantine
from shared.app.delivery import IngestionUnavailableError
from shared.app.drain import (
    CALL_MS_MAX,
    GIVE_UP_AFTER_MS,
    Batch,
    Drain,
    Outcome,
    UnreadableBatchError,
    read_batch,
)
from shared.app.quarantine import FAILED_REPEATEDLY
from tests.fakes.crashes import Crash, Life, Mortal
from tests.fakes.ingestion import FakeIngestion, place
from tests.fakes.objects import FakeObjects
from tests.kinesis import SHARD, envelope

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:ingest"
MAPPING = "7cc5a2b4-0000-4000-8000-000000000000"
KEY = f"{contract.PREFIX_FAILED}{MAPPING}/{SHARD}/2026/01/02/2026-01-02T03.04.05-{MAPPING}"
NOW = 1_767_323_050_000
YOUNG, OLD = NOW - 60_000, NOW - GIVE_UP_AFTER_MS


def records(count: int, start: int = 0):
    return [envelope(b'{"event": "e"}', sequence=str(start + number)) for number in range(count)]


def document(payload, function: str = f"{FUNCTION}:customers-v1"):
    """Return what Lambda writes to an S3 on-failure destination of a Kinesis stream."""
    return {
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-4b7e-af9c-0c604cde93a5",
            "functionArn": function,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 6,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2026-01-02T03:04:05.678Z",
        "KinesisBatchInfo": {"shardId": SHARD, "batchSize": 500, "streamArn": "arn:aws:kinesis:::stream/s"},
        "payload": payload,
    }


class Cloud:
    """A drain, what it works on, and a clock that each call of ingestion advances."""

    def __init__(self) -> None:
        self.objects = FakeObjects()
        self.quarantine = S3Quarantine(self.objects)
        self.ingestion = FakeIngestion(self.quarantine)
        self.ended = set()
        self.time_left_ms = 10**9
        self.call_ms = 0
        ingest = self.ingestion.ingest

        def timed(*args):
            self.time_left_ms -= self.call_ms
            return ingest(*args)

        self.ingestion.ingest = timed

    def fail(self, envelopes, key: str = KEY, at: int = YOUNG, **fields) -> None:
        self.objects.now = at
        self.objects.put(key, json.dumps(document({"Records": envelopes}, **fields)).encode())

    def drain(self, life: Life | None = None, alias_of=lambda _: None):
        ports = (self.objects, self.ingestion, self.quarantine)
        if life is not None:
            ports = tuple(Mortal(port, life) for port in ports)
        has_ended = lambda *version: version in self.ended  # noqa: E731
        return Drain(*ports, alias_of, lambda: self.time_left_ms, has_ended).run(NOW)

    def waiting(self):
        return [one.key for one in self.objects.list(contract.PREFIX_FAILED)]

    def set_aside(self):
        return [one.entry for one in self.quarantine.list()]


@pytest.fixture
def cloud():
    return Cloud()


def places(envelopes):
    return {place(one) for one in envelopes}


def test_a_failed_batch_is_ingested_with_its_original_records_and_goes(cloud):
    batch = records(5)
    cloud.fail(batch)
    drained = cloud.drain()
    assert cloud.ingestion.calls == [("customers", 1, batch)]
    assert (drained.waiting, drained.results[0].outcome, cloud.waiting()) == (1, Outcome.DRAINED, [])


def test_an_empty_destination_is_fine(cloud):
    assert cloud.drain().results == []


def test_the_payload_may_be_an_object_or_its_text():
    batch = records(2)
    expected = Batch("customers", 1, "RetryAttemptsExhausted", batch)
    for payload in ({"Records": batch}, json.dumps({"Records": batch})):
        assert read_batch(KEY, json.dumps(document(payload)).encode(), lambda _: None) == expected


def test_a_function_without_alias_is_found_by_its_mapping():
    data = json.dumps(document({"Records": records(1)}, function=FUNCTION)).encode()
    assert read_batch(KEY, data, {MAPPING: "accounts-v3"}.get)[:2] == ("accounts", 3)
    with pytest.raises(UnreadableBatchError):
        read_batch(KEY, data, lambda _: None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        json.dumps(document("not json")).encode(),
        json.dumps(document({"Records": [{}]})).encode(),
        json.dumps(document({"Records": None})).encode(),
        json.dumps({**document({"Records": []}), "requestContext": None}).encode(),
    ],
)
def test_an_object_that_is_no_batch_stays_and_is_reported(cloud, data):
    cloud.objects.put(KEY, data)
    assert [one.outcome for one in cloud.drain().results] == [Outcome.UNREADABLE]
    assert cloud.waiting() == [KEY]


def test_records_that_fail_do_not_keep_their_neighbours(cloud):
    batch = records(50)
    cloud.fail(batch)
    cloud.ingestion.poison, cloud.ingestion.failing = places(batch[7:8]), places(batch[30:31])
    [result] = cloud.drain().results
    assert (result.outcome, result.records, result.failed) == (Outcome.FAILING, 50, 2)
    assert cloud.ingestion.folded == places(batch) - places([batch[7], batch[30]])
    assert (cloud.waiting(), cloud.set_aside()) == ([KEY], [])


def test_records_that_fail_for_six_hours_go_to_quarantine(cloud):
    batch = records(10)
    cloud.fail(batch, at=OLD)
    cloud.ingestion.poison = places(batch[3:4])
    [result] = cloud.drain().results
    assert (result.outcome, result.failed, cloud.waiting()) == (Outcome.GAVE_UP, 1, [])
    [entry] = cloud.set_aside()
    assert (entry.reason, entry.detail) == (FAILED_REPEATEDLY, "RetryAttemptsExhausted")
    assert entry.envelope == batch[3]


def test_records_of_a_version_that_is_gone_wait_and_then_go_to_quarantine(cloud):
    cloud.ingestion.gone = {1}
    cloud.fail(records(3))
    assert cloud.drain().results[0].outcome is Outcome.FAILING
    cloud.fail(records(3), at=OLD)
    assert cloud.drain().results[0].outcome is Outcome.GAVE_UP
    assert len(cloud.set_aside()) == 3


def test_records_of_a_version_that_has_ended_are_dropped_for_its_successor_counts_them(cloud):
    cloud.ingestion.gone = {1}
    cloud.ended = {("customers", 1)}
    cloud.fail(records(3), at=OLD)
    [result] = cloud.drain().results
    assert (result.outcome, result.failed) == (Outcome.DROPPED, 3)
    assert (cloud.waiting(), cloud.set_aside()) == ([], [])


def test_what_a_version_that_has_ended_still_accepts_is_its_own(cloud):
    cloud.ended = {("customers", 1)}
    cloud.fail(records(3))
    assert cloud.drain().results[0].outcome is Outcome.DRAINED
    assert len(cloud.ingestion.calls) == 1


def test_a_drain_that_cannot_call_ingestion_leaves_everything_even_when_old(cloud):
    def refuse(*_):
        raise IngestionUnavailableError

    cloud.fail(records(3), at=OLD)
    cloud.ingestion.ingest = refuse
    drained = cloud.drain()
    assert drained.unavailable
    assert (cloud.waiting(), cloud.set_aside()) == ([KEY], [])


def test_no_call_starts_that_could_outlast_the_run(cloud):
    cloud.fail(records(3))
    cloud.time_left_ms = CALL_MS_MAX
    assert cloud.drain().results == []
    assert cloud.ingestion.calls == []


def test_a_bad_batch_leaves_time_for_its_neighbours(cloud):
    bad, good = records(64), records(5, start=1000)
    cloud.fail(bad, key=f"{KEY}-a", at=YOUNG - 1)
    cloud.fail(good, key=f"{KEY}-b")
    cloud.ingestion.poison = places(bad)
    cloud.call_ms, cloud.time_left_ms = 5_000, CALL_MS_MAX + 60_000
    assert [one.outcome for one in cloud.drain().results] == [Outcome.FAILING, Outcome.DRAINED]
    assert places(good) <= cloud.ingestion.folded
    assert cloud.time_left_ms > 0


def test_an_old_batch_is_settled_in_one_run_even_if_time_is_short(cloud):
    batch = records(64)
    cloud.fail(batch, at=OLD)
    cloud.ingestion.poison = places(batch)
    cloud.call_ms, cloud.time_left_ms = 5_000, CALL_MS_MAX + 20_000
    assert cloud.drain().results[0].outcome is Outcome.GAVE_UP
    assert places(entry.envelope for entry in cloud.set_aside()) == places(batch)


def test_the_oldest_batch_comes_first(cloud):
    cloud.fail(records(1, start=1), key=f"{KEY}-a", at=YOUNG)
    cloud.fail(records(1, start=2), key=f"{KEY}-b", at=OLD)
    cloud.drain()
    assert [place(batch[0])[1] for _, _, batch in cloud.ingestion.calls] == ["2", "1"]


@pytest.mark.parametrize("at", [YOUNG, OLD], ids=["young", "old"])
@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_drain_that_died_in_any_call_has_lost_nothing(at, after):
    batch = records(8)
    deaths = 0
    while True:
        cloud = Cloud()
        cloud.fail(batch, at=at)
        cloud.ingestion.poison = places(batch[2:4])
        try:
            cloud.drain(life=Life(deaths + 1, after=after))
        except Crash:
            deaths += 1
        else:
            break
        kept = places(batch) if cloud.waiting() else set()
        kept |= places(entry.envelope for entry in cloud.set_aside())
        assert kept | cloud.ingestion.folded == places(batch)
        cloud.drain()
        kept = places(batch[2:4]) if cloud.waiting() else places(one.envelope for one in cloud.set_aside())
        assert (cloud.ingestion.folded, kept) == (places(batch) - places(batch[2:4]), places(batch[2:4]))
    assert deaths > 5
