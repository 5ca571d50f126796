"""Parked contributions as items: exact, compressed, for the engine only; and how their profile lists them.

    a delta is parked      its name is added to the profile's list, if that is live: nothing else changes
    a writer saw none      it replaces the item, if none is listed by then
    a writer saw some      it writes each attribute, and takes what it folded off the list, as it is by then
    a profile is removed   if just those are listed that were seen

So what is parked makes nobody lose a race who has seen that anything is, and nobody writes over it.
"""

import zlib
from collections.abc import Sequence
from typing import Final

from shared.adapters.dynamo.client import Change
from shared.adapters.dynamo.items import BULKY, CLOSED, PARKED, QUIET
from shared.adapters.dynamo.overflow import CHUNKS
from shared.adapters.dynamo.state import UnknownFormatError, reads_items
from shared.adapters.dynamo.wire import Item, Wire
from shared.contract import PROFILES_DUE, PROFILES_PK, PROFILES_SK
from shared.core.compile import Contribution
from shared.core.spool import pack, unpack
from shared.core.unpacking import unpack_zlib

DELTA_BYTES_MAX: Final = 350 * 1024
PLAIN_BYTES_MAX: Final = 2**25
"""Of a delta before it is compressed: as much as the text of one portion of a batch."""
_FORMAT: Final = b"\x02"
_OPTIONAL: Final = (*BULKY, CHUNKS, PROFILES_DUE, QUIET, CLOSED)
"""What a profile's item may have or not."""


def delta(contributions: Sequence[Contribution]) -> Item | None:
    """Return what a delta says, without its key and TTL; None if nobody would unpack as much."""
    plain = pack(contributions)
    if len(plain) > PLAIN_BYTES_MAX:
        return None
    return {"state": {"B": _FORMAT + zlib.compress(plain, 6)}}


@reads_items
def contributions_of(item: Item) -> list[Contribution]:
    """Return the contributions of a delta. Raises `UnknownFormatError`."""
    data: bytes = item["state"]["B"]
    if data[:1] != _FORMAT:
        raise UnknownFormatError(f"delta of format {data[:1].hex() or 'none'}")
    return unpack(unpack_zlib(data[1:], PLAIN_BYTES_MAX))


def rewritten(item: Item, folded: Sequence[str]) -> Change:
    """Return the change that makes what is stored this item, but for deltas that are not in `folded`.

    These stay listed.
    """
    key = {name: item[name] for name in (PROFILES_PK, PROFILES_SK)}
    written = {name: wire for name, wire in item.items() if name not in key and name != PARKED}
    removed = [name for name in _OPTIONAL if name not in written]
    names = {f"#n{at}": name for at, name in enumerate([*written, *removed])}
    aliases = list(names)
    values: dict[str, Wire] = {f":v{at}": wire for at, wire in enumerate(written.values())}
    sets = (f"{alias} = {value}" for alias, value in zip(aliases, values, strict=False))
    expression = f"SET {', '.join(sets)}"
    if removed:
        expression += f" REMOVE {', '.join(aliases[len(written) :])}"
    if folded:
        expression += f" DELETE {PARKED} :folded"
        values[":folded"] = {"SS": list(folded)}
    return Change(key, expression, names, values)
