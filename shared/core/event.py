"""An event: one JSON object that a source sent, with its id and its times."""

from typing import Any, NamedTuple

import msgspec


class Position(NamedTuple):
    """Where an event stands in the stream."""

    shard: str
    sequence: str
    index: int


class Event(msgspec.Struct, gc=False):
    """A decoded event.

    `body` is the JSON object as sent (never changed; numbers are int or Decimal), `id` the event id,
    `time` and `arrival` ms UTC, `size` the bytes of its JSON text.
    """

    body: dict[str, Any]
    id: str
    time: int
    arrival: int
    size: int
    position: Position
