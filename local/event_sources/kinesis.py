"""The runner's ports on the engine: Kinesis, Lambda and S3 through boto3."""

import json
from functools import cache
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.credentials import DeferredRefreshableCredentials, create_assume_role_refresher
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import create_loader
from botocore.session import get_session

from local.event_sources.iterators import IteratingReader, Page, asked, code_of, pages
from local.event_sources.lane import Answer, NotInvoked, Outcome
from local.event_sources.ports import Clock
from local.event_sources.records import StreamRecord
from local.event_sources.settings import Position
from local.event_sources.shard import ShardInfo

FUNCTION_S_MAX = 900


QUICK: Final = Config(connect_timeout=2, read_timeout=30, retries={"total_max_attempts": 2})
# The loop retries by its own rules; the client must not invoke a function twice.
PATIENT: Final = Config(
    connect_timeout=2,
    read_timeout=FUNCTION_S_MAX + 10,
    retries={"total_max_attempts": 1},
    max_pool_connections=100,
)


LOADER: Final = create_loader()
"""Reads what botocore knows of services, once for the clients of all roles: that takes most of making one."""


class Clients:
    """The boto3 clients of the local engine; thread-safe, as boto3's low-level clients are.

    They are Any: boto3 makes their methods at run time.
    """

    def __init__(self, endpoint_url: str, session: boto3.Session) -> None:
        self._endpoint_url = endpoint_url
        self._session = session
        self.mappings: Any = self._client("lambda", QUICK)
        self.functions: Any = self._client("lambda", PATIENT)
        self.s3: Any = self._client("s3", QUICK)

    def reader(self, service: str) -> Any:
        """Give the client that reads the streams of a service."""
        return self._client(service, QUICK)

    def assume(self, role: str) -> "Clients":
        """Give the clients of a role: Lambda reads a stream with the role of the function it feeds."""
        refresh = create_assume_role_refresher(
            self._client("sts", QUICK), {"RoleArn": role, "RoleSessionName": "event-source-mapping"}
        )
        botocore_session = get_session()
        botocore_session.register_component("data_loader", LOADER)
        botocore_session._credentials = DeferredRefreshableCredentials(  # type: ignore[attr-defined] # noqa: SLF001 - as boto3 does
            refresh_using=refresh, method="sts-assume-role"
        )
        session = boto3.Session(botocore_session=botocore_session, region_name=self._session.region_name)
        return Clients(self._endpoint_url, session)

    def _client(self, service: str, config: Config) -> Any:
        return self._session.client(service, endpoint_url=self._endpoint_url, config=config)  # type: ignore[call-overload]


class KinesisShardReader(IteratingReader):
    """Reads one shard of a Kinesis stream."""

    def __init__(self, client: Any, stream_arn: str, shard_id: str, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._stream_arn = stream_arn
        self._shard_id = shard_id

    def find(self, position: Position) -> str:
        """Give the iterator of a position."""
        request: dict[str, Any] = {"StreamARN": self._stream_arn, "ShardId": self._shard_id}
        request["ShardIteratorType"] = position.kind
        if position.kind == "AT_TIMESTAMP":
            request["Timestamp"] = int(position.value) / 1000
        elif position.kind != "TRIM_HORIZON":
            request["StartingSequenceNumber"] = position.value
        return str(self._client.get_shard_iterator(**request)["ShardIterator"])

    def page(self, iterator: str, limit: int) -> Page:
        """Give what an iterator leads to."""
        # The iterator alone would do; it is by the ARN that the engine finds the permission to check.
        answer = self._client.get_records(StreamARN=self._stream_arn, ShardIterator=iterator, Limit=limit)
        records = tuple(
            StreamRecord(
                sequence=item["SequenceNumber"],
                partition_key=item["PartitionKey"],
                data=item["Data"],
                arrived_ms=round(item["ApproximateArrivalTimestamp"].timestamp() * 1000),
            )
            for item in answer["Records"]
        )
        return Page(records, answer.get("NextShardIterator"))


class KinesisStream:
    """A Kinesis stream."""

    def __init__(self, client: Any, stream_arn: str, clock: Clock) -> None:
        self._client = client
        self._stream_arn = stream_arn
        self._clock = clock

    def shards(self) -> list[ShardInfo]:
        """List all shards, page by page."""

        def following(answer: Any) -> dict[str, Any] | None:
            return {"NextToken": answer["NextToken"]} if answer.get("NextToken") else None

        listed = pages(self._client.list_shards, {"StreamARN": self._stream_arn}, following)
        return [_shard_info(item) for answer in listed for item in answer["Shards"]]

    def reader(self, shard_id: str) -> KinesisShardReader:
        """Give a reader of one shard."""
        return KinesisShardReader(self._client, self._stream_arn, shard_id, self._clock)


class LambdaInvoker:
    """Invokes functions synchronously, as event source mappings do."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.role = cache(self._find_role)

    def invoke(self, function_arn: str, event: dict[str, Any]) -> Outcome:
        """Invoke the function; what kept it from running is NotInvoked, never an exception."""
        try:
            answer = self._client.invoke(FunctionName=function_arn, Payload=json.dumps(event).encode())
            payload = answer["Payload"].read()
        except ClientError as error:
            return NotInvoked(code_of(error))
        except BotoCoreError as error:
            return NotInvoked(type(error).__name__)
        body, malformed = _decoded(payload)
        return Answer(
            body=body,
            error=answer.get("FunctionError"),
            malformed=malformed,
            status=answer["StatusCode"],
            executed_version=answer.get("ExecutedVersion", "$LATEST"),
            request_id=answer["ResponseMetadata"].get("RequestId", ""),
        )

    def _find_role(self, function_arn: str) -> str:
        return str(asked(self._client.get_function_configuration, FunctionName=function_arn)["Role"])


class S3Destination:
    """Writes invocation records to S3."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put(self, bucket: str, key: str, document: dict[str, Any]) -> None:
        """Store the document as one JSON object."""
        asked(self._client.put_object, Bucket=bucket, Key=key, Body=json.dumps(document).encode())


def list_mappings(client: Any) -> list[dict[str, Any]]:
    """List all event source mappings of the account and region; raises PortError."""

    def following(answer: Any) -> dict[str, Any] | None:
        return {"Marker": answer["NextMarker"]} if answer.get("NextMarker") else None

    listed = pages(client.list_event_source_mappings, {}, following)
    return [item for answer in listed for item in answer["EventSourceMappings"]]


def _shard_info(item: Any) -> ShardInfo:
    parents = (item.get("ParentShardId"), item.get("AdjacentParentShardId"))
    return ShardInfo(
        item["ShardId"],
        tuple(parent for parent in parents if parent),
        item["SequenceNumberRange"]["StartingSequenceNumber"],
    )


def _decoded(payload: bytes) -> tuple[Any, bool]:
    if not payload:
        return None, False
    try:
        return json.loads(payload), False
    except (ValueError, RecursionError):
        return None, True
