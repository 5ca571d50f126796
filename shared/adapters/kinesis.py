"""A Kinesis stream to put records on."""

from collections.abc import Sequence
from typing import Any

from shared.app.send import Record


class KinesisStream:
    """The `Stream` port, on a Kinesis client."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def put(self, records: Sequence[Record]) -> list[tuple[Record, str]]:
        """Put records in one call; return those it did not take, each with its error code."""
        answer = self._client.put_records(
            StreamName=self._name,
            Records=[{"Data": record.data, "PartitionKey": record.key} for record in records],
        )
        if not answer["FailedRecordCount"]:
            return []
        return [
            (record, result["ErrorCode"])
            for record, result in zip(records, answer["Records"], strict=True)
            if "ErrorCode" in result
        ]
