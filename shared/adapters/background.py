"""Objects written while their maker goes on: a few at a time, so that nothing piles up."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

from shared.adapters.s3 import S3Objects

WRITERS: Final = 8
"""Under the ten connections that a botocore client keeps."""
WAITING_MAX: Final = 2 * WRITERS
"""Objects that are made and not yet written."""


class BackgroundPuts(AbstractContextManager["BackgroundPuts"]):
    """Puts objects in threads; an error comes out of a later `put`, or of the end of the context."""

    def __init__(self, objects: S3Objects) -> None:
        self._objects = objects
        self._pool = ThreadPoolExecutor(WRITERS)
        self._waiting: deque[Future[None]] = deque()

    def put(self, key: str, data: bytes) -> None:
        """Write an object soon; waits where too many are on their way."""
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._objects.put, key, data))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for all that is on its way, and raise the first error there was."""
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
        if error is None:
            for one in self._waiting:
                one.result()
