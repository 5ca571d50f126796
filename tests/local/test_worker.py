"""The loop around the lanes: reading, invoking, discarding, checkpoints, restarts."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from local.event_sources.checkpoints import FileCheckpoints
from local.event_sources.lane import Answer, NotInvoked
from local.event_sources.ports import PortError
from local.event_sources.settings import Position
from local.event_sources.shard import Checkpoint
from tests.local.streams import FUNCTION_ARN, START_MS, STREAM_ARN, Bench, failures, record, records


def test_the_function_receives_the_event_that_lambda_documents():
    bench = Bench([record(0, "ann", size=3)])
    bench.run(2)
    assert bench.function.events == [
        {
            "Records": [
                {
                    "kinesis": {
                        "kinesisSchemaVersion": "1.0",
                        "partitionKey": "ann",
                        "sequenceNumber": "1000",
                        "data": "eHh4",
                        "approximateArrivalTimestamp": START_MS / 1000,
                    },
                    "eventSource": "aws:kinesis",
                    "eventVersion": "1.0",
                    "eventID": "shard-0:1000",
                    "eventName": "aws:kinesis:record",
                    "invokeIdentityArn": "arn:aws:iam::000000000000:role/ingest",
                    "awsRegion": "eu-west-1",
                    "eventSourceARN": STREAM_ARN,
                }
            ]
        }
    ]


def test_records_go_out_in_batches_and_in_order():
    bench = Bench(records(7), batch_size=3)
    bench.run()
    assert bench.function.batches == [
        ["1000", "1001", "1002"],
        ["1003", "1004", "1005"],
        ["1006"],
    ]


def test_records_that_come_later_are_read_too():
    bench = Bench(records(2))
    bench.run(5)
    bench.stream.held["shard-0"] += [record(2), record(3)]
    bench.run(20)
    assert bench.function.seen == ["1000", "1001", "1002", "1003"]


def test_a_restart_goes_on_after_the_checkpoint():
    bench = Bench(records(3))
    bench.run(5)
    bench.stream.held["shard-0"].append(record(3))
    bench.restarted()
    bench.run(5)
    assert bench.function.batches == [["1000", "1001", "1002"], ["1003"]]


def test_a_restart_before_the_answer_sends_the_batch_again():
    bench = Bench(records(3))
    bench.function.rule = lambda _: NotInvoked("ServiceException")
    bench.run(3)
    bench.function.rule = lambda _: Answer()
    bench.restarted()
    bench.run(5)
    assert bench.function.batches[-1] == ["1000", "1001", "1002"]


def test_a_batch_that_is_given_up_lands_in_the_failure_destination():
    bench = Bench(records(3), partial_failures=True, retries_max=1, failure_bucket="archive")
    bench.function.rule = lambda batch: failures("1001") if "1001" in batch else Answer()
    bench.run()
    [((bucket, key), document)] = bench.destination.objects.items()
    assert bucket == "archive"
    prefix = f"aws/lambda/{bench.settings.uuid}/shard-0/2023/11/14/2023-11-14T22.13.20-"
    assert key.startswith(prefix)
    payload = document.pop("payload")
    assert [item["kinesis"]["sequenceNumber"] for item in payload["Records"]] == ["1001", "1002"]
    assert document.pop("timestamp").startswith("2023-11-14T22:13:20.")
    assert document == {
        "requestContext": {
            "requestId": "",
            "functionArn": FUNCTION_ARN,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 2,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None},
        "version": "1.0",
        "KinesisBatchInfo": {
            "shardId": "shard-0",
            "startSequenceNumber": "1001",
            "endSequenceNumber": "1002",
            "approximateArrivalOfFirstRecord": "2023-11-14T22:13:20.000Z",
            "approximateArrivalOfLastRecord": "2023-11-14T22:13:20.000Z",
            "batchSize": 2,
            "streamArn": STREAM_ARN,
        },
    }


def test_a_batch_that_was_never_invoked_has_no_response_context():
    bench = Bench(records(1, arrived_ms=START_MS - 100_000), age_ms_max=60_000, failure_bucket="archive")
    bench.run(5)
    [document] = bench.destination.objects.values()
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert "responseContext" not in document
    assert bench.function.batches == []


def test_a_poison_record_does_not_block_what_follows():
    bench = Bench(records(6), bisect=True, retries_max=2, failure_bucket="archive")
    bench.function.rule = lambda batch: Answer(error="Unhandled") if "1003" in batch else Answer()
    bench.run()
    [document] = bench.destination.objects.values()
    assert document["KinesisBatchInfo"]["batchSize"] == 1
    assert bench.checkpoints.stored["shard-0"].position == Position("AFTER_SEQUENCE_NUMBER", "1005")


def test_the_checkpoint_waits_for_the_failure_destination():
    bench = Bench(records(1), retries_max=0, failure_bucket="archive")
    bench.function.rule = lambda _: Answer(error="Unhandled")
    bench.destination.refusals = 2
    bench.run(4)
    assert bench.checkpoints.stored["shard-0"].position == Position("AT_SEQUENCE_NUMBER", "1000")
    bench.run()
    assert len(bench.destination.objects) == 1
    assert bench.checkpoints.stored["shard-0"].position == Position("AFTER_SEQUENCE_NUMBER", "1000")


def test_without_a_failure_destination_the_batch_is_gone():
    bench = Bench(records(1), retries_max=0)
    bench.function.rule = lambda _: Answer(error="Unhandled")
    bench.run(20)
    assert bench.checkpoints.stored["shard-0"].done == {0: "1000"}


def test_a_stream_that_cannot_be_read_for_a_while_is_read_on_later():
    bench = Bench(records(2))
    bench.stream.failing = True
    bench.run(3)
    assert bench.function.batches == []
    bench.stream.failing = False
    bench.run(5)
    assert bench.function.seen == ["1000", "1001"]


def test_an_idle_shard_is_polled_no_more_than_five_times_and_no_less_than_once_a_second():
    bench = Bench()
    pauses = [bench.worker.step(ThreadPoolExecutor(1))]
    for _ in range(20):
        bench.clock.now_ms += pauses[-1]
        pauses.append(bench.worker.step(ThreadPoolExecutor(1)))
    assert pauses[0] == 250
    assert pauses[-1] == 1000


def test_the_loop_ends_when_the_shard_is_drained():
    bench = Bench(records(4), batch_size=2)
    bench.stream.closed.add("shard-0")
    bench.worker.run(Event())
    assert bench.function.seen == ["1000", "1001", "1002", "1003"]
    assert bench.checkpoints.stored["shard-0"].finished


def test_the_loop_ends_when_it_is_told_to_and_keeps_what_was_in_flight():
    bench = Bench(records(1))
    stop = Event()

    def answer_and_stop(_: list[str]) -> Answer:
        stop.set()
        return Answer()

    bench.function.rule = answer_and_stop
    bench.worker.run(stop)
    assert bench.checkpoints.stored["shard-0"].done == {0: "1000"}


def test_checkpoints_survive_on_disk(tmp_path):
    checkpoint = Checkpoint(Position("AT_SEQUENCE_NUMBER", "17"), 2, {0: "16", 1: "18"}, incarnation="5")
    FileCheckpoints(tmp_path, "mapping").save("shard-0", checkpoint)
    again = FileCheckpoints(tmp_path, "mapping")
    assert again.load() == {"shard-0": checkpoint}
    again.forget()
    assert FileCheckpoints(tmp_path, "mapping").load() == {}


@pytest.mark.parametrize("text", [b"", b"\0\0", b"[]", b'{"shard-0": {"position": 7}}', b"[" * 100_000])
def test_checkpoints_that_are_damaged_are_not_taken_for_none(tmp_path, text):
    (tmp_path / "mapping.json").write_bytes(text)
    with pytest.raises(PortError, match="is damaged"):
        FileCheckpoints(tmp_path, "mapping").load()


@pytest.mark.parametrize("factor", [1, 4])
def test_lanes_in_threads_keep_the_order_of_each_key(factor):
    keys = "abcdefgh"
    held = [record(number, keys[number % len(keys)]) for number in range(200)]
    bench = Bench(held, batch_size=7, parallelization=factor)
    bench.stream.closed.add("shard-0")
    bench.worker.run(Event())
    for offset in range(len(keys)):
        mine = {item.sequence for item in held[offset :: len(keys)]}
        assert [item for item in bench.function.seen if item in mine] == sorted(mine)
