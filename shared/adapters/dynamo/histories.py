"""Chunks of histories as items beside their profiles: written before the profile that names them.

They never change, and nothing deletes one but its TTL: what a lost race has written may be what its own twin,
or a retry of the same call, has made part of the history. What no profile names is never read.
"""

from collections.abc import Collection, Iterator
from typing import Final

from shared.adapters.dynamo.client import Client
from shared.adapters.dynamo.items import seconds
from shared.adapters.dynamo.keys import SEPARATOR, Keyspace, history_name
from shared.adapters.dynamo.wire import Item
from shared.contract import TTL_ATTRIBUTE
from shared.core.compile import Builder
from shared.core.history import Chunk, Head, HistoryGoneError, first_name
from shared.core.profile import Profile
from shared.core.retention import DAY_MS
from shared.core.times import add_months
from shared.core.walk import Walk, gone
from shared.core.writes import Plan, Put

PART_BYTES_MAX: Final = 350 * 1024
"""DynamoDB takes 400 KB; only a chunk of one very large event has further parts."""
EVENTS: Final = "events"
PARTS: Final = "parts"
"""How many further items hold the rest of a chunk, on its first."""
PAGE: Final = 100
"""Chunks that are read at once: more than there are small ones, where these are put together from time to
time (`core/compaction.py`). Those that were stay behind them, until their TTL."""
NAMED_TOGETHER: Final = 50
"""Chunks that are read by their names at once: two megabytes, mostly."""
SLACK_MS: Final = DAY_MS
"""By how much clocks of writers, readers and DynamoDB may differ."""


class HistoryItems:
    """Encodes the chunks of one version of one builder."""

    def __init__(self, builder: Builder, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._window_ms = builder.window_ms or 0
        retention = builder.definition.retention
        self._months = max(retention.known_months, retention.other_months)

    def of(self, put: Put, kept_until: int = 0) -> Iterator[Item]:
        """Yield the items of the chunks that a profile is about to name, to stay until then at least."""
        for chunk in put.chunks:
            until = {TTL_ATTRIBUTE: seconds(max(self._until(chunk), kept_until))}
            starts = range(0, len(chunk.data), PART_BYTES_MAX)
            for number, start in enumerate(starts):
                item = self._keyspace.history(put.profile.id, chunk.name, number)
                item[EVENTS] = {"B": chunk.data[start : start + PART_BYTES_MAX]}
                if number == 0 and len(starts) > 1:
                    item[PARTS] = {"N": str(len(starts) - 1)}
                yield item | until

    def _until(self, chunk: Chunk) -> int:
        """Return when nobody can need a chunk any more, ms UTC.

        Its profile lives for the longest retention at most from when the window last reached back to it. The
        later chunks of a history go later, so none goes before one that leads to it.
        """
        return add_months(chunk.updated_at + self._window_ms, self._months) + SLACK_MS


class Histories:
    """Writes and reads the chunks of one version of one builder."""

    def __init__(self, client: Client, builder: Builder, table: str, keyspace: Keyspace) -> None:
        self._client = client
        self._table = table
        self._keyspace = keyspace
        self._items = HistoryItems(builder, keyspace)

    def items(self, plan: Plan) -> list[Item]:
        """Return the chunks of a plan as they are to be written: written already, they do no harm."""
        return [item for put in plan.puts for item in self._items.of(put)]

    def chunks(self, profile: Profile, since_ms: int) -> dict[Head, bytes]:
        """Return the chunks of a profile, as far back as events since then may be.

        Looks twice: a stale read may miss a new one. Raises `HistoryGoneError` and `HistoryTooLargeError`.
        """
        try:
            return self._chunks(profile.heads, since_ms, consistent=False)
        except HistoryGoneError:
            return self._chunks(profile.heads, since_ms, consistent=True)

    def _chunks(self, heads: Collection[Head], since_ms: int, *, consistent: bool) -> dict[Head, bytes]:
        walk = Walk(heads, since_ms)
        while walk.chained or walk.named:
            if walk.named:
                self._take_named(walk, consistent=consistent)
            else:
                self._follow(walk, next(iter(walk.chained)), since_ms, consistent=consistent)
        return walk.found

    def _follow(self, walk: Walk, profile_id: str, since_ms: int, *, consistent: bool) -> None:
        """Follow the chunks beside a profile, from the newest one that is wanted to the oldest."""
        names = walk.chained[profile_id]
        missing = set(names)
        for name, data in self._newest_first(profile_id, names, since_ms, consistent=consistent):
            if name in names:
                names.discard(name)
                walk.take(Head(profile_id, name), data)
            if not names:
                break
        if missing & names:
            raise gone(profile_id)
        if not names:
            del walk.chained[profile_id]

    def _take_named(self, walk: Walk, *, consistent: bool) -> None:
        """Read chunks by their names: what stands between them need not be read."""
        heads = {(one.profile_id, one.name): one for one in sorted(walk.named)[:NAMED_TOGETHER]}
        walk.named.difference_update(heads.values())
        keys = [self._keyspace.history(*one, 0) for one in heads]
        for item in self._client.get(self._table, keys, consistent=consistent):
            head = heads.pop((self._keyspace.profile_id(item), history_name(item)))
            rest = [self._keyspace.history(*head, number + 1) for number in range(_further(item))]
            parts = self._client.get(self._table, rest, consistent=consistent) if rest else []
            if len(parts) < len(rest):
                raise gone(head.profile_id)
            in_order = sorted(parts, key=lambda one: int(history_name(one).partition(SEPARATOR)[2]))
            walk.take(head, b"".join(one[EVENTS]["B"] for one in (item, *in_order)))
        if heads:
            raise gone(next(iter(heads.values())).profile_id)

    def _newest_first(
        self, profile_id: str, names: Collection[str], since_ms: int, *, consistent: bool
    ) -> Iterator[tuple[str, bytes]]:
        """Yield the chunks beside a profile among which the named ones, and those that they lead to, are."""
        oldest = min(*names, first_name(since_ms - SLACK_MS))
        where = self._keyspace.histories(profile_id, oldest, max(names))
        parts: dict[str, bytes] = {}
        for item in self._client.query(self._table, where, consistent=consistent, page=PAGE):
            name, _, number = history_name(item).partition(SEPARATOR)
            data: bytes = item[EVENTS]["B"]
            if number:
                parts[f"{name}{SEPARATOR}{number}"] = data
                continue
            rest = [f"{name}{SEPARATOR}{one + 1}" for one in range(_further(item))]
            if parts.keys() >= set(rest):
                yield name, b"".join([data, *map(parts.pop, rest)])


def _further(item: Item) -> int:
    """Return how many further items hold the rest of a chunk."""
    return int(item.get(PARTS, {"N": "0"})["N"])
