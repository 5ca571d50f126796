"""Reading a shard by iterators, as Kinesis and the streams of tables are read alike."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from local.event_sources.ports import Clock, PortError, Reading
from local.event_sources.records import StreamRecord
from local.event_sources.settings import Position

ITERATOR_MS_MAX: Final = 60_000
"""An iterator lives five minutes; asking anew long before that also heals one that went stale."""
TRIMMED: Final = "TrimmedDataAccessException"
"""What was asked for is no longer there: reading goes on at the oldest record that is."""


class Page(NamedTuple):
    """Records in order, and the iterator that follows them; None at the end of a closed shard."""

    records: tuple[StreamRecord, ...]
    iterator: str | None


class IteratingReader(ABC):
    """Reads one shard, and keeps the iterator between reads that follow each other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._iterator: str | None = None
        self._iterator_at: Position | None = None
        self._iterator_ms = 0

    @abstractmethod
    def find(self, position: Position) -> str:
        """Give the iterator of a position."""

    @abstractmethod
    def page(self, iterator: str, limit: int) -> Page:
        """Give what an iterator leads to."""

    def read(self, position: Position, limit: int) -> Reading:
        """Read on from `position`; a shard that no longer exists is closed."""
        try:
            return self._read(position, limit)
        except ClientError as error:
            self._iterator = None
            code = code_of(error)
            if code == "ResourceNotFoundException":
                return Reading((), closed=True)
            if code == TRIMMED and position.kind != "TRIM_HORIZON":
                return self.read(Position("TRIM_HORIZON"), limit)
            raise PortError(code) from error
        except BotoCoreError as error:
            self._iterator = None
            raise PortError(type(error).__name__) from error

    def _read(self, position: Position, limit: int) -> Reading:
        records, self._iterator = self.page(self._iterator_for(position), limit)
        self._iterator_at = Position("AFTER_SEQUENCE_NUMBER", records[-1].sequence) if records else position
        return Reading(records, closed=self._iterator is None)

    def _iterator_for(self, position: Position) -> str:
        fresh = self._clock() - self._iterator_ms < ITERATOR_MS_MAX
        if self._iterator is not None and self._iterator_at == position and fresh:
            return self._iterator
        self._iterator_ms = self._clock()
        return self.find(position)


def pages(
    call: Callable[..., Any], request: Mapping[str, Any], following: Callable[[Any], Mapping[str, Any] | None]
) -> Iterator[Any]:
    """Yield the answers to a request, and to the one that is `following` each, if any; raises PortError."""
    wanted: Mapping[str, Any] | None = request
    while wanted is not None:
        answer = asked(call, **wanted)
        yield answer
        wanted = following(answer)


def asked(call: Callable[..., Any], **request: Any) -> Any:
    """Call a client; raises PortError."""
    try:
        return call(**request)
    except ClientError as error:
        raise PortError(code_of(error)) from error
    except BotoCoreError as error:
        raise PortError(type(error).__name__) from error


def code_of(error: ClientError) -> str:
    """Read the code of an error that a service answered."""
    return str(error.response.get("Error", {}).get("Code", "ClientError"))
