"""Profiles too large for an item: their bulk goes into compressed chunks beside it.

The item then still says who and when, and names its chunks; it counts as stored only with them. Few
profiles ever need this: lists have segments, and beyond 512 KB of canonical form a profile is broken.
"""

import zlib
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from shared.adapters.dynamo.items import BULKY
from shared.adapters.dynamo.state import UnknownFormatError, reads_items
from shared.adapters.dynamo.wire import Item
from shared.core.unpacking import unpack_zlib

ITEM_BYTES_MAX: Final = 350 * 1024
"""DynamoDB takes 400 KB; the rest is for `parked`, which grows without the item being written anew."""
CHUNK_BYTES_MAX: Final = 350 * 1024
PLAIN_BYTES_MAX: Final = 2**24
"""What chunks may unpack to: many times what a profile takes that is not broken."""
CHUNKS: Final = "chunks"
FORMAT: Final = b"\x01"


def overflow(item: Item, attempt: str) -> tuple[Item, dict[str, Item]]:
    """Return the item without its bulk, and the chunks by name, without key and TTL.

    `attempt` goes into the names, so that no two writes share a chunk.
    """
    bulk = {name: item[name] for name in BULKY if name in item}
    data = FORMAT + zlib.compress(msgspec.msgpack.encode(bulk), 6)
    seed = attempt.encode() + b" " + data
    digest = blake2b(seed, digest_size=8).hexdigest()
    parts = [data[start : start + CHUNK_BYTES_MAX] for start in range(0, len(data), CHUNK_BYTES_MAX)]
    chunks: dict[str, Item] = {
        f"overflow#{digest}#{at}": {"state": {"B": part}} for at, part in enumerate(parts)
    }
    slim = {name: wire for name, wire in item.items() if name not in bulk}
    slim[CHUNKS] = {"L": [{"S": name} for name in chunks]}
    return slim, chunks


@reads_items
def chunk_names(item: Item) -> list[str]:
    """Return the names of an item's chunks, in order; none for an item that did not overflow."""
    return [wire["S"] for wire in item[CHUNKS]["L"]] if CHUNKS in item else []


@reads_items
def whole(item: Item, chunks: Mapping[str, Item]) -> Item:
    """Return the item with its bulk; all its chunks must be there. Raises `UnknownFormatError`."""
    data = b"".join(chunks[name]["state"]["B"] for name in chunk_names(item))
    if data[:1] != FORMAT:
        raise UnknownFormatError("chunks of an unknown format")
    bulk: Item = msgspec.msgpack.decode(unpack_zlib(data[1:], PLAIN_BYTES_MAX))
    return {**item, **bulk}


def missing(names: Iterable[str], chunks: Mapping[str, Item]) -> bool:
    """Whether any of the chunks is not there."""
    return any(name not in chunks for name in names)
