"""Parked contributions as items: exact, compressed, for the engine only."""

import zlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from shared.adapters.dynamo.state import UnknownFormatError
from shared.adapters.dynamo.wire import Item
from shared.core.compile import Contribution
from shared.core.event import Position
from shared.core.identity.identifiers import Identifier
from shared.core.values import canonical_number, number_text

DELTA_BYTES_MAX: Final = 350 * 1024
_FORMAT: Final = b"\x01"
_NUMBER: Final = 1
"""The extension type of numbers that msgpack does not hold exactly: their plain text."""
_INT64: Final = 2**63


def delta(contributions: Sequence[Contribution]) -> Item:
    """Return what a delta says, without its key and TTL."""
    rows = [
        (
            one.key,
            one.hash,
            one.arrival,
            one.identifiers,
            _packable(one.values),
            _packable(one.traits),
            one.weight,
            one.position,
        )
        for one in contributions
    ]
    return {"state": {"B": _FORMAT + zlib.compress(msgspec.msgpack.encode(rows), 6)}}


def contributions_of(item: Item) -> list[Contribution]:
    """Return the contributions of a delta. Raises `UnknownFormatError` for what another release wrote."""
    data: bytes = item["state"]["B"]
    if data[:1] != _FORMAT:
        raise UnknownFormatError(f"delta of format {data[:1].hex() or 'none'}")
    rows = _DECODER.decode(zlib.decompress(data[1:]))
    return [
        Contribution(
            key=(key[0], key[1], key[2]),
            hash=hashed,
            arrival=arrival,
            identifiers=tuple(Identifier(kind, value) for kind, value in identifiers),
            values=values,
            traits=traits,
            weight=weight,
            position=Position(*position),
        )
        for key, hashed, arrival, identifiers, values, traits, weight, position in rows
    ]


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
        raise UnknownFormatError(f"delta with an extension of type {code}")
    return canonical_number(Decimal(bytes(data).decode()))


_DECODER: Final = msgspec.msgpack.Decoder(ext_hook=_number)
