"""Dispatch: a profile that a change made due goes on the queue, for when its function is to run.

    change of a profile's item -> message (which profile, at which revision), after the builder's debounce

A profile that changes again meanwhile gets another message. The older one, when it comes, finds a newer
revision and leaves the run to the newer one (`run.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from shared import contract

DELAY_S_MAX: Final = 900
"""The longest that a queue holds a message back."""


class Due(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message: a profile was due at this revision.

    `asked`: somebody asked for it, so that it does not wait for the next attempt of a function that fails.
    """

    builder: str
    version: int
    profile_id: str
    rev: int
    asked: bool = False


class Delayed(NamedTuple):
    """A message, and for how many seconds it is held back."""

    due: Due
    delay_s: int


class Queue(Protocol):
    """Where profiles wait for their function."""

    def send(self, messages: Sequence[Delayed]) -> None:
        """Put messages on the queue. Raises when not all of them are."""
        ...


class Dispatched(NamedTuple):
    """What became of a batch of changes: messages sent, and changes that tell of no profile."""

    sent: int
    unreadable: int


def dispatch(queue: Queue, records: Iterable[Mapping[str, Any]]) -> Dispatched:
    """Send a message for each profile that changes of the table made due: one, however often it changed."""
    newest: dict[tuple[str, int, str], Delayed] = {}
    unreadable = 0
    for record in records:
        found = read_change(record)
        if found is None:
            unreadable += 1
        else:
            # A shard's changes come in order, but a batch may come again after a later one.
            name = found.due.builder, found.due.version, found.due.profile_id
            held = newest.get(name)
            if held is None or held.due.rev < found.due.rev:
                newest[name] = found
    queue.send(list(newest.values()))
    return Dispatched(len(newest), unreadable)


def read_change(record: Mapping[str, Any]) -> Delayed | None:
    """Read a record of the table's stream; None if it tells of no profile that is due."""
    try:
        image = record["dynamodb"]["NewImage"]
        builder, version, profile_id = image[contract.PROFILES_PK]["S"].split("#")
        delay_s = int(image[contract.PROFILES_DUE]["N"])
        due = Due(builder, int(version), profile_id, int(image["rev"]["N"]))
    except (KeyError, TypeError, ValueError):
        return None
    return Delayed(due, max(0, min(delay_s, DELAY_S_MAX)))
