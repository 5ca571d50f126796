"""An event: one JSON object that a source sent, with its id and its times."""

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from shared.core.times import parse_time

ID_LENGTH_MAX: Final = 256
"""Characters of an event id; a longer one is replaced by a hash of it."""

_TRANSPORT_FIELDS: Final = frozenset({"sentAt", "receivedAt"})
"""What a second delivery of the same event may change."""
_INT64: Final = 2**63
_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class Position(NamedTuple):
    """Where an event stands in the stream."""

    shard: str
    sequence: str
    index: int  # type: ignore[assignment]  # it hides tuple.index, which nobody wants of a position


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


def event_of(body: dict[str, Any], size: int, arrival: int, position: Position) -> Event:
    """Give a decoded event its id and its times; `arrival` is ms UTC, `size` bytes. Never raises."""
    timestamp = parse_time(body.get("timestamp"))
    event_id = message_id(body.get("messageId"))
    if event_id is None:
        event_id = "/".join(map(str, position)) if timestamp is None else _content_hash(body)
    if timestamp is None:
        time = arrival
    else:
        times = body.get("originalTimestamp"), body.get("sentAt"), body.get("receivedAt")
        time = corrected(timestamp, *times, arrival)
    return Event(body, event_id, time, arrival, size, position)


def arrival_of(body: dict[str, Any]) -> int | None:
    """Return when an event from a local file arrived, ms UTC: `receivedAt`, else `timestamp`, else None."""
    received = parse_time(body.get("receivedAt"))
    return parse_time(body.get("timestamp")) if received is None else received


def message_id(value: Any) -> str | None:
    """Return the id that the source gave; only texts and integers are ids, blanks are none."""
    if type(value) is str:
        if not value or value.isspace():
            return None
    elif type(value) is int:
        value = str(value)
    else:
        return None
    return value if len(value) <= ID_LENGTH_MAX else "h:" + _digest(value.encode())


def corrected(timestamp: int, original: Any, sent_at: Any, received_at: Any, arrival: int) -> int:
    """Free a timestamp (ms UTC) of its client's clock skew; never later than the arrival.

    Both `timestamp` and `sentAt` are read off the client's clock, so how long the event waited there is
    right even if the clock is not. A source with `originalTimestamp` has been corrected already.
    """
    # Hot: what is not there is not read.
    is_corrected = original is not None and _is_given(original)
    sent = None if sent_at is None or is_corrected else parse_time(sent_at)
    if sent is not None:
        received = None if received_at is None else parse_time(received_at)
        timestamp += (arrival if received is None else received) - sent
    return timestamp if 0 <= timestamp <= arrival else arrival


def _is_given(value: Any) -> bool:
    return not (type(value) is str and not value.strip())


def _content_hash(body: dict[str, Any]) -> str:
    """Identify an event by what it says, however its JSON was written and whenever it was sent."""
    content = {key: _canonical(value) for key, value in body.items() if key not in _TRANSPORT_FIELDS}
    return _digest(_ENCODER.encode(content))


def _canonical(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _canonical(one) for key, one in value.items()}
    if kind is list:
        return [_canonical(one) for one in value]
    if kind is Decimal or (kind is int and not -_INT64 <= value < _INT64):
        return _canonical_number(value)
    return value


def _canonical_number(number: int | Decimal) -> int | msgspec.Raw:
    """Write equal numbers equally, of any size: 1.0 as 1, and 10**400 as 1E+400."""
    plain = _EXACT.normalize(Decimal(number))
    # Only a number known to be short becomes an int: 1E+999999999 would fill the memory.
    if -_INT64 <= plain < _INT64 and plain == plain.to_integral_value(context=_EXACT):
        return int(plain)
    return msgspec.Raw(str(plain).encode())


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
