"""Compaction: many small chunks of a history become few large ones, for whoever reads it next.

    heads -> small -> small -> ... -> large -> large       before: each names the one before it
    heads -> new, which names: new, ..., large, large      after: one names all the others at once

What a profile has counted stays what is reached from its heads: they are replaced in one conditional write,
as by any write that counts. The small chunks stay where they are, named by nothing, and go by their TTL.

Only what no large chunk stands before is looked at, and what is large once is never written again: so events
are written about twice, however long a history becomes.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from shared.core.history import (
    PIECE_BYTES_MAX,
    Chunk,
    Head,
    Opened,
    gathered,
    open_chunk,
    pieces_of,
    plain_bytes,
    rows_of,
)
from shared.core.profile import Profile

SMALL_MAX: Final = 64
"""As many small chunks as a run of a profile function reads before it puts them together."""
LARGE_BYTES: Final = PIECE_BYTES_MAX // 2


class Compacted(NamedTuple):
    """Chunks to be written, the last of which is the new head, and all that is then reached from it."""

    chunks: tuple[Chunk, ...]
    found: dict[Head, bytes]

    def heads(self, profile_id: str) -> tuple[Head, ...]:
        """Return the heads of the profile."""
        return (Head(profile_id, self.chunks[-1].name),)


def compact(
    profile: Profile, found: Mapping[Head, bytes], rev: int, small_max: int = SMALL_MAX
) -> Compacted | None:
    """Put the small chunks of a profile's history together; None while there are fewer than so many.

    `found` is all that is reached from its heads within the window; `rev` is what the write gives it.
    """
    opened = {head: open_chunk(data, head.profile_id) for head, data in found.items()}
    small = _small(opened)
    if len(small) < small_max:
        return None
    rows = (row for head in small for row in rows_of(opened[head]))
    kept = {head: one.updated_at for head, one in opened.items() if head not in small}
    latest = max(one.updated_at for one in opened.values())
    chunks = gathered(profile.id, rev, kept, pieces_of(rows, latest))
    new = {Head(profile.id, one.name): one.data for one in chunks}
    return Compacted(tuple(chunks), new | {head: found[head] for head in kept})


def _small(opened: Mapping[Head, Opened]) -> set[Head]:
    """Return the small chunks that no large one leads to: nobody names them but each other, and the heads."""
    small = {head for head, one in opened.items() if plain_bytes(one) < LARGE_BYTES}
    waiting = [before for head in opened.keys() - small for before in opened[head].before]
    while waiting:
        head = waiting.pop()
        if head in small:
            small.remove(head)
            waiting += opened[head].before
    return small
