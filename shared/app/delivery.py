"""Delivering records to ingestion outside the stream: whole, then by halves, down to what really fails."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

Envelope = Mapping[str, Any]
"""A record as Lambda delivers it to ingestion; its arrival and position travel with it."""

T = TypeVar("T")


class IngestionUnavailableError(Exception):
    """Ingestion cannot be called now: throttled, or out of reach. Nothing is known of the records."""


class VersionGoneError(Exception):
    """The version has no alias: it is retired, failed or being removed."""


class Ingestion(Protocol):
    """The ingestion function, called directly."""

    def ingest(self, builder: str, version: int, records: Sequence[Envelope]) -> int:
        """Have one version ingest records, and return how many it accepted, from the first one on.

        Raises IngestionUnavailableError or VersionGoneError.
        """


class Undelivered(NamedTuple, Generic[T]):
    """What was not accepted: items that failed on their own, and items there was no time for."""

    failed: list[T]
    untried: list[T]


def deliver(
    ingest: Callable[[Sequence[T]], int], items: Sequence[T], may_go_on: Callable[[], bool]
) -> Undelivered[T]:
    """Deliver items in their order until each is accepted or has failed alone, or time is up."""
    failed: list[T] = []
    waiting = [list(items)] if items else []
    while waiting:
        if not may_go_on():
            return Undelivered(failed, [item for part in reversed(waiting) for item in part])
        part = waiting.pop()
        accepted = ingest(part)
        if accepted == len(part):
            continue
        if len(part) == 1:
            failed += part
        elif accepted:  # the first one that was not accepted is the one that failed; the others may be well
            waiting += [rest for rest in (part[accepted + 1 :], part[accepted : accepted + 1]) if rest]
        else:
            middle = len(part) // 2
            waiting += [part[middle:], part[:middle]]
    return Undelivered(failed, [])
