"""What one lane decides: batches, retries, partial failures, bisecting, giving up."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.event_sources.lane import (
    Answer,
    Discard,
    Invoke,
    Lane,
    NotInvoked,
    Wait,
    first_failure,
)
from local.event_sources.records import PAYLOAD_BYTES_MAX, StreamRecord
from tests.local.streams import START_MS, failures, record, records, settings

LATER_MS = 10**15
FAILED = Answer(error="Unhandled", body={"errorMessage": "boom"})


def lane_with(held: list[StreamRecord], **changes: Any) -> Lane:
    lane = Lane(settings(**changes))
    lane.offer(held, START_MS)
    return lane


def invoked(lane: Lane, now_ms: int = LATER_MS) -> list[str]:
    action = lane.next(now_ms)
    assert isinstance(action, Invoke), action
    return [item.sequence for item in action.batch.records]


def sequences(held: list[StreamRecord]) -> list[str]:
    return [item.sequence for item in held]


def test_a_full_batch_goes_out_at_once():
    lane = lane_with(records(5), batch_size=5, window_ms=60_000)
    assert invoked(lane, START_MS) == sequences(records(5))


def test_a_partial_batch_waits_for_the_end_of_its_window():
    lane = lane_with(records(2), batch_size=5, window_ms=3_000)
    lane.offer([record(7)], START_MS + 2_000)
    assert lane.next(START_MS + 2_999) == Wait(START_MS + 3_000)
    assert invoked(lane, START_MS + 3_000) == ["1000", "1001", "1007"]


def test_without_a_window_whatever_is_there_goes_out():
    assert invoked(lane_with(records(2), batch_size=5), START_MS) == ["1000", "1001"]


def test_an_idle_lane_has_nothing_to_do():
    assert lane_with([]).next(LATER_MS) is None


def test_a_batch_never_outgrows_the_batch_size():
    lane = lane_with(records(7), batch_size=3)
    assert invoked(lane) == ["1000", "1001", "1002"]


def test_a_batch_whose_payload_would_pass_six_megabytes_goes_out_before_its_window_ends():
    held = records(9, size=1_000_000)
    lane = lane_with(held, batch_size=100, window_ms=60_000)
    action = lane.next(START_MS)
    assert isinstance(action, Invoke)
    assert len(action.batch.records) == 4
    assert sum(item.payload_bytes for item in action.batch.records) <= PAYLOAD_BYTES_MAX


def test_a_record_too_large_for_any_batch_goes_out_alone():
    lane = lane_with([record(0, size=7_000_000), record(1)], batch_size=10)
    assert invoked(lane) == ["1000"]


def test_only_one_batch_is_in_flight():
    lane = lane_with(records(4), batch_size=2)
    invoked(lane)
    assert lane.next(LATER_MS) is None
    assert lane.busy


def test_an_outcome_without_a_batch_in_flight_is_a_mistake():
    with pytest.raises(RuntimeError, match="nothing is in flight"):
        lane_with([]).settle(Answer(), START_MS)


def test_success_moves_the_checkpoint_to_the_end_of_the_batch():
    lane = lane_with(records(3), batch_size=3)
    invoked(lane)
    lane.settle(Answer(), START_MS)
    assert (lane.done, lane.queued, lane.first_outstanding) == ("1002", 0, None)


def test_everything_from_the_lowest_reported_record_is_retried():
    held = records(6)
    lane = lane_with(held, partial_failures=True)
    invoked(lane)
    lane.settle(failures(held[4], held[2]), START_MS)
    assert lane.done == "1001"
    assert lane.first_outstanding == "1002"
    assert invoked(lane) == ["1002", "1003", "1004", "1005"]


def test_a_retry_waits_longer_each_time():
    lane = lane_with(records(1))
    now_ms, waits = START_MS, []
    for _ in range(12):
        invoked(lane, now_ms)
        lane.settle(FAILED, now_ms)
        wait = lane.next(now_ms)
        assert isinstance(wait, Wait)
        waits.append(wait.until_ms - now_ms)
        now_ms = wait.until_ms
    assert waits[:4] == [100, 200, 400, 800]
    assert max(waits) == waits[-1] == 10_000


def test_a_record_behind_a_failed_batch_never_overtakes_it():
    lane = lane_with(records(2), batch_size=2)
    invoked(lane)
    lane.offer([record(9)], START_MS)
    lane.settle(FAILED, START_MS)
    assert isinstance(lane.next(START_MS), Wait)
    assert invoked(lane) == ["1000", "1001"]


@pytest.mark.parametrize("body", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_an_empty_response_is_a_success(body):
    assert first_failure(records(3), Answer(body=body), partial_failures=True) is None


@pytest.mark.parametrize(
    "body",
    [
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"identifier": "1002"}]},
        {"batchItemFailures": [{"itemIdentifier": "9999"}]},
        {"batchItemFailures": [{"itemIdentifier": "1002"}, {"itemIdentifier": "9999"}]},
        {"batchItemFailures": [{"itemIdentifier": ["1002"]}]},
        {"batchItemFailures": ["1002"]},
        {"batchItemFailures": "1002"},
        "1002",
        7,
    ],
)
def test_a_response_that_names_no_record_of_the_batch_fails_it_as_a_whole(body):
    assert first_failure(records(3), Answer(body=body), partial_failures=True) == 0


def test_a_response_that_is_no_json_fails_the_batch():
    assert first_failure(records(3), Answer(malformed=True), partial_failures=True) == 0


def test_partial_failures_count_only_where_the_mapping_asks_for_them():
    assert first_failure(records(3), failures("1001"), partial_failures=False) is None


def test_a_failed_function_fails_the_batch_whatever_it_returned():
    answer = Answer(error="Handled", body={"batchItemFailures": []})
    assert first_failure(records(3), answer, partial_failures=True) == 0


def test_a_batch_out_of_retries_is_given_up():
    lane = lane_with(records(2), retries_max=2)
    for _ in range(3):
        invoked(lane)
        lane.settle(FAILED, START_MS)
    action = lane.next(START_MS)
    assert isinstance(action, Discard)
    assert (action.condition, action.batch.invocations) == ("RetryAttemptsExhausted", 3)
    assert action.batch.last_answer == FAILED
    assert lane.first_outstanding == "1000"
    lane.discarded()
    assert (lane.done, lane.queued) == ("1001", 0)


def test_without_a_limit_a_batch_is_retried_again_and_again():
    lane = lane_with(records(1))
    for _ in range(50):
        assert invoked(lane) == ["1000"]
        lane.settle(FAILED, START_MS)


def test_progress_through_partial_failures_does_not_give_retries_back():
    held = records(4)
    lane = lane_with(held, partial_failures=True, retries_max=1)
    invoked(lane)
    lane.settle(failures(held[1]), START_MS)
    invoked(lane)
    lane.settle(failures(held[2]), START_MS)
    action = lane.next(LATER_MS)
    assert isinstance(action, Discard)
    assert sequences(list(action.batch.records)) == ["1002", "1003"]


def test_bisecting_isolates_one_bad_record_and_consumes_no_retry_for_it():
    held = records(8)
    lane = lane_with(held, bisect=True, retries_max=0)
    given_up: list[str] = []
    succeeded: list[str] = []
    while (action := lane.next(LATER_MS)) is not None:
        assert isinstance(action, Invoke | Discard)
        batch = sequences(list(action.batch.records))
        if isinstance(action, Discard):
            given_up += batch
            lane.discarded()
        elif "1005" in batch:
            lane.settle(FAILED, START_MS)
        else:
            succeeded += batch
            lane.settle(Answer(), START_MS)
    assert given_up == ["1005"]
    assert succeeded == [item for item in sequences(held) if item != "1005"]


def test_with_partial_failures_a_batch_is_bisected_at_the_reported_record():
    held = records(8)
    lane = lane_with(held, bisect=True, partial_failures=True)
    invoked(lane)
    lane.settle(failures(held[5]), START_MS)
    assert invoked(lane) == ["1005", "1006", "1007"]


def test_a_throttled_invocation_consumes_no_retry():
    lane = lane_with(records(1), retries_max=0)
    for _ in range(5):
        invoked(lane)
        lane.settle(NotInvoked("TooManyRequestsException"), START_MS)
    assert invoked(lane) == ["1000"]


def test_records_older_than_allowed_are_given_up_without_an_invocation():
    held = [record(0, arrived_ms=START_MS - 61_000), record(1, arrived_ms=START_MS - 10_000)]
    lane = lane_with(held, age_ms_max=60_000)
    action = lane.next(START_MS)
    assert isinstance(action, Discard)
    assert (action.condition, sequences(list(action.batch.records))) == ("RecordAgeExceeded", ["1000"])
    assert action.batch.last_answer is None
    lane.discarded()
    assert invoked(lane, START_MS) == ["1001"]


def test_a_batch_that_grows_too_old_while_it_is_retried_is_given_up():
    lane = lane_with(records(2), age_ms_max=60_000)
    invoked(lane, START_MS)
    lane.settle(FAILED, START_MS)
    action = lane.next(START_MS + 60_001)
    assert isinstance(action, Discard)
    assert action.condition == "RecordAgeExceeded"


def test_a_batch_that_the_failure_destination_refused_is_not_forgotten():
    lane = lane_with(records(1), retries_max=0)
    invoked(lane)
    lane.settle(FAILED, START_MS)
    assert isinstance(lane.next(START_MS), Discard)
    lane.kept(START_MS)
    assert isinstance(lane.next(START_MS), Wait)
    assert lane.done is None
    assert isinstance(lane.next(LATER_MS), Discard)


@given(st.data())
def test_every_record_is_dealt_with_in_order_whatever_the_function_answers(data):
    held = records(data.draw(st.integers(0, 12)))
    lane = lane_with(
        held,
        batch_size=data.draw(st.integers(1, 5)),
        bisect=data.draw(st.booleans()),
        partial_failures=True,
        retries_max=data.draw(st.integers(0, 3)),
    )
    dealt_with: list[str] = []
    while (action := lane.next(LATER_MS)) is not None:
        assert isinstance(action, Invoke | Discard)
        batch = sequences(list(action.batch.records))
        assert lane.first_outstanding == batch[0]
        if isinstance(action, Discard):
            lane.discarded()
            dealt_with += batch
            continue
        failed_at = data.draw(st.none() | st.integers(-1, len(batch) - 1))
        lane.settle(_answer(batch, failed_at), START_MS)
        dealt_with += batch if failed_at is None else batch[: max(0, failed_at)]
    assert dealt_with == sequences(held)
    assert lane.done == (held[-1].sequence if held else None)


def _answer(batch: list[str], failed_at: int | None) -> Answer:
    if failed_at is None:
        return Answer()
    return FAILED if failed_at < 0 else failures(batch[failed_at])
