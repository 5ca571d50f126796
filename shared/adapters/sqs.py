"""The queue of profiles whose function is to run, on SQS."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from shared.app.functions.dispatch import Delayed

MESSAGES_MAX: Final = 10
"""What one call of SQS takes."""
SENDERS_MAX: Final = 8
"""Calls at a time: under the ten connections that a botocore client keeps."""


class QueueRefusedError(Exception):
    """The queue did not take every message."""


class SqsQueue:
    """The `Queue` port; `url` is the queue's."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, messages: Sequence[Delayed]) -> None:
        """Put messages on the queue. Raises `QueueRefusedError` when not all of them are."""
        starts = range(0, len(messages), MESSAGES_MAX)
        parts = [messages[start : start + MESSAGES_MAX] for start in starts]
        if not parts:
            return
        with ThreadPoolExecutor(min(SENDERS_MAX, len(parts))) as pool:
            refused = sum(pool.map(self._send, parts))
        if refused:
            raise QueueRefusedError(f"{refused} of {len(messages)} messages")

    def hold(self, receipt: str, delay_s: int) -> None:
        """Have a message that was received come again after so many seconds."""
        self._client.change_message_visibility(
            QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=delay_s
        )

    def _send(self, messages: Sequence[Delayed]) -> int:
        """Send what one call takes; return how many were refused."""
        entries = [
            {
                "Id": str(number),
                "MessageBody": msgspec.json.encode(one.due).decode(),
                "DelaySeconds": one.delay_s,
            }
            for number, one in enumerate(messages)
        ]
        answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
        return len(answer.get("Failed", ()))
