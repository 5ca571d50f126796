"""Body items: segments and chunks beside a profile. They never change: what is known of them stays true."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from shared.adapters.dynamo.client import Client
from shared.adapters.dynamo.items import Items, seconds
from shared.adapters.dynamo.keys import Keyspace, body_name
from shared.adapters.dynamo.parts import body_of, part_name
from shared.adapters.dynamo.piles import segmented
from shared.adapters.dynamo.units import WRITE_UNIT_BYTES, size_of
from shared.adapters.dynamo.wire import Item
from shared.adapters.lru import Lru
from shared.app.ports import SegmentGoneError
from shared.contract import TTL_ATTRIBUTE
from shared.core.compile import Builder
from shared.core.profile import Profile, copy

PIECES_KNOWN_MAX: Final = 100_000
"""Entries and traces of segments that a process keeps, about 30 MB."""
BODIES_KNOWN_MAX: Final = 100_000
"""Segments whose size a process keeps."""


class Bodies:
    """Reads, writes and deletes the body items of one version of one builder."""

    def __init__(self, client: Client, table: str, keyspace: Keyspace, items: Items) -> None:
        self._client = client
        self._table = table
        self._keyspace = keyspace
        self._items = items
        self._known: Lru[tuple[str, str], Sequence[Any]] = Lru(PIECES_KNOWN_MAX)
        self._sizes: Lru[tuple[str, str], int] = Lru(BODIES_KNOWN_MAX)

    def items(self, profile_id: str, bodies: Mapping[str, Item], until: int) -> list[Item]:
        """Return body items, given by name, as they are to be written, to live until then (ms UTC)."""
        whole = {
            name: {**self._keyspace.body(profile_id, name), **item, TTL_ATTRIBUTE: seconds(until)}
            for name, item in bodies.items()
        }
        for name, item in whole.items():
            self._sizes.put((profile_id, name), size_of(item))
        return list(whole.values())

    def delete(self, profile_id: str, names: Iterable[str]) -> None:
        """Delete body items that nothing lists any more."""
        deletes = [
            (self._keyspace.body(profile_id, name), self._size(profile_id, name)) for name in sorted(names)
        ]
        self._client.write(self._table, [], deletes)

    def read(self, profile_id: str, names: Collection[str]) -> dict[str, Item]:
        """Return the body items that there are, by name. Looks twice: a stale read may miss a new one."""
        found: dict[str, Item] = {}
        for consistent in (False, True):
            keys = [self._keyspace.body(profile_id, name) for name in names if name not in found]
            if keys:
                items = self._client.get(self._table, keys, consistent=consistent)
                found.update((body_name(item), item) for item in items)
        return found

    def remember(self, profile_id: str, parts: Mapping[str, Sequence[Any]]) -> None:
        """Keep what the parts of a segment hold."""
        for name, pieces in parts.items():
            self._known.put((profile_id, name), pieces, len(pieces))

    def known(self, profile_id: str) -> Callable[[str], Sequence[Any] | None]:
        """Return a function that tells what a part holds, if that is kept."""
        return lambda name: self._known.get((profile_id, name))

    def contents(self, profile_id: str) -> Callable[[Iterable[str]], dict[str, Sequence[Any]]]:
        """Return a function that tells what parts hold, and reads what is not kept.

        The function raises `SegmentGoneError` when one does not exist any more.
        """
        known = self.known(profile_id)

        def read(names: Iterable[str]) -> dict[str, Sequence[Any]]:
            held = {name: known(name) for name in names}
            wanted = {body_of(name) for name, pieces in held.items() if pieces is None}
            for body, item in self.read(profile_id, sorted(wanted)).items():
                parts = {part_name(body, pile): pieces for pile, pieces in self._items.parts(item).items()}
                self.remember(profile_id, parts)
                self._sizes.put((profile_id, body), size_of(item))
                held.update((name, pieces) for name, pieces in parts.items() if name in held)
            found = {name: pieces for name, pieces in held.items() if pieces is not None}
            if len(found) < len(held):
                raise SegmentGoneError(f"{len(held) - len(found)} segments of {profile_id} are gone")
            return found

        return read

    def load(self, builder: Builder, profile: Profile, names: Collection[str]) -> Profile:
        """Return a copy of a profile with the named segments put back. Raises `SegmentGoneError`."""
        loaded = copy(builder, profile)
        contents = self.contents(profile.id)
        for column, aggregation in enumerate(builder.aggregations):
            state = loaded.attributes[column]
            lists = segmented(aggregation)
            if state is None or lists is None:
                continue
            mine = [one.name for one in state.segments if one.name in names]
            if mine:
                entries = [entry for pieces in contents(mine).values() for entry in pieces]
                loaded.attributes[column] = lists.extend(state, entries, mine)
        remembered = [one.name for one in loaded.memory.segments if one.name in names]
        if remembered:
            held = contents(remembered)
            loaded.memory.load(chain.from_iterable(held.values()), set(remembered))
            # What is forgotten at this point was forgotten, and counted, when it was one too many.
            loaded.memory.evicted = 0
        return loaded

    def _size(self, profile_id: str, name: str) -> int:
        known = self._sizes.get((profile_id, name))
        return WRITE_UNIT_BYTES if known is None else known
