"""Kinesis records: their events, or why there are none; and the envelope that Lambda delivers them in."""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from shared.core.containers import Reason, UnreadableError, decode_object, open_event, open_record
from shared.core.event import Event, Position, event_of
from shared.core.times import TIME_MS_MAX

ENVELOPE_EXTRA: Final = "kith"
"""The key of an envelope under which replayed parts of a record say where in the record they stood."""
_INDEX: Final = "index"
_OTHERS: Final = "others"

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


class Record(NamedTuple):
    """A record as it came off the stream; `arrival` is the stream's own timestamp, ms UTC.

    `first_index` is 0, except for a part of a record that is replayed alone: `is_part` then, one event.
    """

    data: bytes
    arrival: int
    shard: str
    sequence: str
    first_index: int = 0
    is_part: bool = False


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """Bytes that are no event: the whole record, or the one event of it that cannot be read.

    `detail` says more than `reason` but nothing of what the bytes say. `arrival` is ms UTC.
    """

    reason: Reason
    detail: str
    data: bytes
    whole: bool
    arrival: int
    position: Position


def read_record(
    data: bytes,
    arrival: int,
    shard: str,
    sequence: str,
    first_index: int = 0,
    is_part: bool = False,  # noqa: FBT001, FBT002 - it takes the fields of a record
) -> list[Event | Rejection]:
    """Return the events of a record, and a rejection for whatever is none, in their order. Never raises.

    Positions count from `first_index`, readable or not, and so are the same at every delivery. A part stands
    for one event, whatever it looks like alone: other events of its record have the positions after it.
    """
    if data.startswith(b"{"):  # nearly always: one object, which needs no unpacking
        try:
            body = decode_object(data)
        except UnreadableError:
            pass  # perhaps lines of them
        else:
            return [event_of(body, len(data.rstrip()), arrival, Position(shard, sequence, first_index))]
    try:
        elements = [open_event(data)] if is_part else open_record(data)
        whole = False
    except UnreadableError as error:
        elements = [(data, error)]
        whole = True
    results: list[Event | Rejection] = []
    for index, (text, content) in enumerate(elements, first_index):
        position = Position(shard, sequence, index)
        if isinstance(content, UnreadableError):
            results.append(Rejection(content.reason, content.detail, text, whole, arrival, position))
        else:
            results.append(event_of(content, len(text), arrival, position))
    return results


def reject(event: Event, detail: str, reason: Reason = "not_processed") -> Rejection:
    """Reject an event that can be read but failed further on; read again, it is the same event.

    `detail` must hold nothing of what the event says: a type of error, not its message.
    """
    return Rejection(
        reason=reason,
        detail=detail,
        data=_ENCODER.encode(event.body),
        whole=False,
        arrival=event.arrival,
        position=event.position,
    )


def kinesis_record(envelope: Mapping[str, Any]) -> Record:
    """Take a record out of the envelope that Lambda delivers it in, or `envelope_of` has made.

    Raises KeyError, TypeError, ValueError or AttributeError for what is no such envelope.
    """
    kinesis = envelope["kinesis"]
    # Seconds with three decimals, as the nearest float: rounding gives the very milliseconds.
    arrival = kinesis["approximateArrivalTimestamp"] * 1000
    if not 0 <= arrival <= TIME_MS_MAX:
        raise ValueError("a record that arrived at no time")
    shard, _, _ = envelope["eventID"].partition(":")
    extra = envelope.get(ENVELOPE_EXTRA)
    return Record(
        data=b64decode(kinesis["data"]),
        arrival=round(arrival),
        shard=shard,
        sequence=kinesis["sequenceNumber"],
        first_index=0 if extra is None else extra.get(_INDEX, 0),
        is_part=extra is not None,
    )


def kinesis_records(envelope: Mapping[str, Any]) -> list[Record]:
    """Take what is to be read out of an envelope: its record, or each part that `envelope_of_parts` put in.

    Raises KeyError, TypeError, ValueError or AttributeError for what is no such envelope.
    """
    record = kinesis_record(envelope)
    parts = envelope.get(ENVELOPE_EXTRA, {}).get("parts")
    if parts is None:
        return [record]
    return [record._replace(data=b64decode(part["data"]), first_index=part["index"]) for part in parts]


def envelope_of(rejection: Rejection) -> dict[str, Any]:
    """Return the envelope with which the ingestion function reads the rejected bytes again.

    What it reads keeps arrival and position. The partition key is gone; nothing needs it.
    """
    shard, sequence, index = rejection.position
    envelope: dict[str, Any] = {
        "eventID": f"{shard}:{sequence}",
        "eventName": "aws:kinesis:record",
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "sequenceNumber": sequence,
            "approximateArrivalTimestamp": rejection.arrival / 1000,
            "data": b64encode(rejection.data).decode("ascii"),
        },
    }
    if index or not rejection.whole:
        envelope[ENVELOPE_EXTRA] = {_INDEX: index}
    return envelope


def name_of_parts(rejections: Sequence[Rejection]) -> dict[str, Any]:
    """Return what an envelope says to name some events of one record: no others of it have this name.

    One event is named by its index; several by the first one's, and a hash of the others'.
    """
    first, *others = (one.position.index for one in rejections)
    if not others:
        return {_INDEX: first}
    return {_INDEX: first, _OTHERS: blake2b(repr(others).encode(), digest_size=4).hexdigest()}


def named_as(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the name of an envelope of parts, which they keep when there are fewer of them."""
    extra = envelope[ENVELOPE_EXTRA]
    return {key: extra[key] for key in (_INDEX, _OTHERS) if key in extra}


def envelope_of_parts(rejections: Sequence[Rejection], name: Mapping[str, Any]) -> dict[str, Any]:
    """Return one envelope with which some events of one record are read again, and none of its others.

    Each keeps its own place in the record; `name` is the envelope's, which need not say where they stand.
    """
    envelope = envelope_of(rejections[0])
    if len(rejections) == 1 and rejections[0].position.index == name[_INDEX]:
        return envelope | {ENVELOPE_EXTRA: dict(name)}
    parts = [{"index": one.position.index, "data": b64encode(one.data).decode("ascii")} for one in rejections]
    return envelope | {
        "kinesis": envelope["kinesis"] | {"data": ""},
        ENVELOPE_EXTRA: {**name, "parts": parts},
    }
