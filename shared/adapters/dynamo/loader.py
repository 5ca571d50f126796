"""The loader of a rebuild: whole profiles of a version, in few calls, inserted and never written over.

A profile is laid out as a live write would lay it out: what comes next finds nothing unusual. What would have
gone by its TTL at T0 is not written. What is written stays for the stream's retention from T0 on, or longer:
the consumer, which comes to it later than a live one would, must find what had not expired when its next
event arrived. Whether it had, `updated_at` says; the next write gives a profile its usual TTL.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.histories import HistoryItems
from shared.adapters.dynamo.inserts import Insert, Inserter, calls, insert
from shared.adapters.dynamo.items import Items, seconds
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.dynamo.layout import Layout, Listed
from shared.adapters.dynamo.overflow import ITEM_BYTES_MAX, overflow
from shared.adapters.dynamo.pace import Pace
from shared.adapters.dynamo.units import Units, size_of
from shared.app.ports import Clock, SegmentGoneError
from shared.contract import STREAM_RETENTION_H, TTL_ATTRIBUTE
from shared.core.compile import Builder
from shared.core.profile import Profile, expiry
from shared.core.retention import GRAVE_MS, HOUR_MS
from shared.core.writes import Plan

WRITERS: Final = 16
ATTEMPTS_MAX: Final = 10


class DynamoLoader:
    """Implements `Loader` for one version of one builder, whose consumer starts at `t0` (ms UTC).

    All its calls together take about `units_per_s` write units a second, 0 for as many as there are.
    """

    def __init__(
        self,
        client: Any,
        builder: Builder,
        version: int,
        tables: Tables,
        t0: int,
        clock: Clock,
        *,
        units_per_s: float = 0,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._builder = builder
        self._tables = tables
        self._t0 = t0
        self._kept_until = t0 + STREAM_RETENTION_H * HOUR_MS
        self._keyspace = Keyspace(builder.name, version)
        self._items = Items(builder, self._keyspace)
        self._histories = HistoryItems(builder, self._keyspace)
        self._writers = ThreadPoolExecutor(WRITERS, "kith-loader")
        self.units = Units()
        self._inserter = Inserter(client, clock, self.units, ATTEMPTS_MAX, Pace(units_per_s, wait))

    def insert(self, plans: Sequence[Plan]) -> None:
        """Insert what plans put, bury, point and release.

        Raises `NotInsertedError` and `ThrottledError`, or as botocore does.
        """
        inserts = (one for plan in plans for one in self._inserts(plan))
        for _ in self._writers.map(self._inserter.insert, calls(inserts)):
            pass

    def _inserts(self, plan: Plan) -> Iterator[Insert]:
        for put in plan.puts:
            for item in self._histories.of(put, self._kept_until):
                yield insert(self._tables.profiles, item)
            yield from self._profile(put.profile)
        for point in plan.points:
            if point.until >= self._t0:
                yield insert(self._tables.identifiers, self._items.pointer(point, self._kept(point.until)))
        graves = {bury.tombstone.id: bury.arrival + GRAVE_MS for bury in plan.buries}
        for bury in plan.buries:
            until = graves[bury.tombstone.id]
            if until >= self._t0:
                tombstone = self._items.tombstone(bury.tombstone, self._kept(until))
                yield insert(self._tables.profiles, tombstone)
        for point in plan.released:
            until = graves[point.pointer.profile_id]
            if until >= self._t0:
                yield insert(self._tables.identifiers, self._items.pointer(point, self._kept(until)))

    def _profile(self, profile: Profile) -> Iterator[Insert]:
        attempt = str(profile.rev)  # the same each time: what exists is left as it is
        layout = Layout(self._items, self._builder, Listed(), attempt, _no_contents, _unknown)
        item, _ = layout.lay_out(profile)
        bodies = {name: one.item for name, one in layout.new.items()}
        item[TTL_ATTRIBUTE] = seconds(self._kept(expiry(self._builder, profile)))
        if size_of(item) > ITEM_BYTES_MAX:
            item, chunks = overflow(item, attempt)
            bodies.update(chunks)
        until = seconds(self._kept(profile.children_until))
        for name, body in bodies.items():
            whole = {**self._keyspace.body(profile.id, name), **body, TTL_ATTRIBUTE: until}
            yield insert(self._tables.profiles, whole)
        yield insert(self._tables.profiles, item)

    def _kept(self, until: int) -> int:
        """Return until when something stays that would go at `until`."""
        return max(until, self._kept_until)


def _no_contents(names: Any) -> dict[str, Sequence[Any]]:
    """Say what stored segments hold: a new profile has none."""
    if list(names):
        raise SegmentGoneError("a new profile has no stored segments")
    return {}


def _unknown(_name: str) -> None:
    return None
