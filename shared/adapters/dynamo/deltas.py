"""Parked contributions as items: exact, compressed, for the engine only."""

import zlib
from collections.abc import Sequence
from typing import Final

from shared.adapters.dynamo.state import UnknownFormatError, reads_items
from shared.adapters.dynamo.wire import Item
from shared.core.compile import Contribution
from shared.core.spool import pack, unpack

DELTA_BYTES_MAX: Final = 350 * 1024
_FORMAT: Final = b"\x02"


def delta(contributions: Sequence[Contribution]) -> Item:
    """Return what a delta says, without its key and TTL."""
    return {"state": {"B": _FORMAT + zlib.compress(pack(contributions), 6)}}


@reads_items
def contributions_of(item: Item) -> list[Contribution]:
    """Return the contributions of a delta. Raises `UnknownFormatError`."""
    data: bytes = item["state"]["B"]
    if data[:1] != _FORMAT:
        raise UnknownFormatError(f"delta of format {data[:1].hex() or 'none'}")
    return unpack(zlib.decompress(data[1:]))
