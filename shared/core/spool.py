"""Contributions as bytes: exact and compact, for what waits to be folded.

A frame holds contributions that share something, grouped by their identifiers:

    ({number: shard}, [(identifiers, [row, ...]), ...])         msgpack

A row is one contribution without its identifiers, and begins with its arrival: so rows are put into order
without being read. Frames are not compressed: whoever stores many compresses them together.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import msgspec

from shared.core.compile import Contribution
from shared.core.event import Position
from shared.core.identity.identifiers import Identifier
from shared.core.values import canonical_number, number_text

Identifiers = tuple[Identifier, ...]

_NUMBER: Final = 1
"""The extension type of numbers that msgpack does not hold exactly: their plain text."""
_INT64: Final = 2**63
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_DAMAGES: Final = (
    *(msgspec.MsgspecError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError),
    RecursionError,
)
"""What reading bytes raises that no frame has."""
_PLAIN: Final = frozenset({str, bool, type(None)})
_IDENTIFIERS_OF: Final = attrgetter("identifiers")


class UnreadableFrameError(Exception):
    """Bytes that are no frame, or one of another release. The message holds nothing of what they say."""


class _Arrival(msgspec.Struct, array_like=True):
    """The first element of a row."""

    arrival: int


class _Row(msgspec.Struct, array_like=True, gc=False):
    """A contribution: `arrival` is ms UTC, `delay` from the event to it; an id that is a UUID takes 16 bytes.

    The sequence number is bytes where it is plain digits, which is always. A row without a `text` ends there.
    """

    arrival: int
    delay: int
    id: Any
    value_index: int
    hash: int
    weight: int
    shard: int
    sequence: Any
    index: int
    values: list[Any]
    traits: dict[str, Any] | None
    text: bytes | None = None


class FrameWriter:
    """Makes rows and frames; `shards` numbers the shards of all of them."""

    def __init__(self) -> None:
        self.shards: dict[str, int] = {}

    def row(self, one: Contribution) -> bytes:
        """Return the row of a contribution."""
        (time, event_id, value_index), (shard, sequence, index) = one.key, one.position
        traits = one.traits
        row = (
            one.arrival,
            one.arrival - time,
            bytes.fromhex(event_id.replace("-", "")) if _UUID.fullmatch(event_id) else event_id,
            value_index,
            one.hash,
            one.weight,
            self.shards.setdefault(shard, len(self.shards)),
            _pack_digits(sequence),
            index,
            [
                value if value.__class__ in _PLAIN else _packable(value)  # hot: no call for most of them
                for value in one.values
            ],
            _packable(traits) if traits else traits,
        )
        return _ENCODER.encode(row if one.text is None else (*row, one.text))

    def frame(self, groups: Iterable[tuple[Identifiers, Sequence[bytes]]]) -> bytes:
        """Return the frame of rows by identifiers."""
        return _ENCODER.encode(
            (
                {number: shard for shard, number in self.shards.items()},
                [(identifiers, list(map(msgspec.Raw, rows))) for identifiers, rows in groups],
            )
        )


def pack(contributions: Iterable[Contribution]) -> bytes:
    """Return a frame of contributions that keeps their order."""
    writer = FrameWriter()
    return writer.frame(
        [
            (identifiers, [writer.row(one) for one in some])
            for identifiers, some in [
                (identifiers, list(some)) for identifiers, some in groupby(contributions, _IDENTIFIERS_OF)
            ]
        ]
    )


def unpack(frame: bytes) -> list[Contribution]:
    """Return the contributions of a frame. Raises `UnreadableFrameError`."""
    return list(Rows([frame]).all())


class Rows:
    """The rows of some frames; those with equal identifiers share the tuple of them."""

    def __init__(self, frames: Iterable[bytes | memoryview]) -> None:
        self._rows: list[msgspec.Raw] = []
        self._of: list[tuple[Identifiers, Mapping[int, str]]] = []
        """Per row: its identifiers, and the shards of its frame."""
        interned: dict[Identifiers, Identifiers] = {}
        for frame in frames:
            shards, groups = _decode(frame)
            for found, rows in groups:
                identifiers = tuple(map(Identifier._make, found))
                identifiers = interned.setdefault(identifiers, identifiers)
                self._rows += rows
                self._of += [(identifiers, shards)] * len(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def all(self) -> Iterator[Contribution]:
        """Yield the contributions as they stand."""
        return map(self._contribution, range(len(self._rows)))

    def by_arrival(self) -> Iterator[list[Contribution]]:
        """Yield the contributions in order of arrival, those of one arrival together."""
        try:
            arrivals = [_ARRIVAL.decode(row).arrival for row in self._rows]
        except _DAMAGES as error:
            raise UnreadableFrameError(type(error).__name__) from error
        for _, some in groupby(sorted(range(len(arrivals)), key=arrivals.__getitem__), arrivals.__getitem__):
            yield [self._contribution(number) for number in some]

    def _contribution(self, number: int) -> Contribution:
        identifiers, shards = self._of[number]
        try:
            row = _ROW.decode(self._rows[number])
            event_id = row.id if type(row.id) is str else _uuid_text(row.id)
            position = Position(shards[row.shard], _digits(row.sequence), row.index)
        except _DAMAGES as error:
            raise UnreadableFrameError(type(error).__name__) from error
        return Contribution(
            (row.arrival - row.delay, event_id, row.value_index),
            row.hash,
            row.arrival,
            identifiers,
            row.values,
            row.traits,
            row.weight,
            position,
            row.text,
        )


def identifiers_of(frame: bytes | memoryview) -> Iterator[Identifiers]:
    """Yield whose contributions a frame holds. Raises `UnreadableFrameError`."""
    for found, _ in _decode(frame)[1]:
        yield tuple(map(Identifier._make, found))


def _decode(frame: bytes | memoryview) -> tuple[dict[int, str], list[tuple[list[Any], list[msgspec.Raw]]]]:
    try:
        return _FRAME.decode(frame)
    except _DAMAGES as error:
        raise UnreadableFrameError(type(error).__name__) from error


def _pack_digits(text: str) -> str | bytes:
    """Pack plain digits into less than half; anything else, and what has leading zeros, stays text."""
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and len(text) > 1):
        return text
    number = int(text)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _digits(packed: Any) -> str:
    return packed if type(packed) is str else str(int.from_bytes(packed, "big"))


def _uuid_text(data: Any) -> str:
    digits = data.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _packable(value: Any) -> Any:
    kind = type(value)
    if kind is Decimal or (kind is int and not -_INT64 <= value < _INT64):
        return msgspec.msgpack.Ext(_NUMBER, number_text(value).encode())
    if kind is list or kind is tuple:
        return [_packable(one) for one in value]
    if kind is dict:
        return {name: _packable(one) for name, one in value.items()}
    return value


def _number(code: int, data: memoryview) -> Any:
    if code != _NUMBER:
        raise UnreadableFrameError(f"an extension of type {code}")
    return canonical_number(Decimal(bytes(data).decode()))


_ENCODER: Final = msgspec.msgpack.Encoder()
_ROW: Final = msgspec.msgpack.Decoder(_Row, ext_hook=_number)
_ARRIVAL: Final = msgspec.msgpack.Decoder(_Arrival)
_FRAME: Final = msgspec.msgpack.Decoder(
    tuple[dict[int, str], list[tuple[list[tuple[str, str]], list[msgspec.Raw]]]]
)
