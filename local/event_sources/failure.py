"""The object that an S3 on-failure destination receives for a discarded batch."""

from datetime import UTC, datetime
from typing import Any

from local.event_sources.lane import Discard
from local.event_sources.records import event_of
from local.event_sources.settings import DYNAMODB, Settings


def failure_key(settings: Settings, shard_id: str, now_ms: int, unique: str) -> str:
    """Name the object as Lambda does; `unique` is a random UUID."""
    now = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
    return f"aws/lambda/{settings.uuid}/{shard_id}/{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}-{unique}"


def failure_document(
    discard: Discard, settings: Settings, shard_id: str, role: str, now_ms: int
) -> dict[str, Any]:
    """Build the invocation record: AWS's documented shape, with the whole event as `payload`."""
    batch, answer = discard.batch, discard.batch.last_answer
    first, last = batch.records[0], batch.records[-1]
    document: dict[str, Any] = {
        "requestContext": {
            "requestId": answer.request_id if answer else "",
            "functionArn": settings.function_arn,
            "condition": discard.condition,
            "approximateInvokeCount": batch.invocations,
        },
        "version": "1.0",
        "timestamp": _iso(now_ms),
        "DDBStreamBatchInfo" if settings.service == DYNAMODB else "KinesisBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": first.sequence,
            "endSequenceNumber": last.sequence,
            "approximateArrivalOfFirstRecord": _iso(first.arrived_ms),
            "approximateArrivalOfLastRecord": _iso(last.arrived_ms),
            "batchSize": len(batch.records),
            "streamArn": settings.stream_arn,
        },
        "payload": event_of(batch.records, settings, shard_id, role),
    }
    if answer:  # a batch that was too old at once was never answered
        document["responseContext"] = {
            "statusCode": answer.status,
            "executedVersion": answer.executed_version,
            "functionError": answer.error,
        }
    return document


def _iso(at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
