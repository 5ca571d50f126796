"""Request units per event of a clickstream, reads included, against the floor.

The floor of a batch is one write per profile that it touches, of its key, identifiers, attributes and traits
alone, as the item has them: no state, no memory, no reads, no segments.
"""

from typing import Final, NamedTuple

from benchmarks.data import START_S, clickstream
from benchmarks.ingestion import Process, windows
from benchmarks.report import Row, customers
from shared.adapters.dynamo.units import size_of, write_units
from shared.core.aggregations.base import LIST_LENGTH_MAX
from shared.core.compile import Builder

FLOOR_RATIO_MAX: Final = 1.5
READABLE: Final = ("pk", "sk", "identifiers", "attributes", "traits")


class Measured(NamedTuple):
    """What the batches of a while took."""

    events: int
    units: float
    reads: float
    floor: int
    calls: int


class Steady(NamedTuple):
    """A clickstream: how many visitors return, how many sessions start per second, for how long."""

    visitors: int
    starts_per_s: float
    warm_up_s: int
    measured_s: int


NEW = Steady(visitors=600, starts_per_s=1.0, warm_up_s=1500, measured_s=300)
"""Visitors come back several times within the warm-up."""
FULL = Steady(visitors=60, starts_per_s=0.5, warm_up_s=12_000, measured_s=600)
"""In the warm-up every visitor sees more than 1,000 pages."""


def measure() -> list[Row]:
    """Follow clickstreams with the default builder."""
    builder = customers()
    rows = []
    for name, steady in (("lists that grow", NEW), (f"lists of {LIST_LENGTH_MAX} entries", FULL)):
        for cache in (True, False):
            got = _follow(builder, steady, cache=cache)
            what = f"{name}{'' if cache else ', no cache'}: request units/event"
            ratio = got.units / got.floor
            of_floor = f"{ratio:.2f} of the floor (at most {FLOOR_RATIO_MAX})"
            each = f"reads {got.reads / got.events:.2f}, calls {got.calls / got.events:.2f} per event"
            rows.append(Row(what, f"{got.units / got.events:.2f}", f"{of_floor}; {each}"))
    return rows


def _follow(builder: Builder, steady: Steady, *, cache: bool) -> Measured:
    """Ingest a clickstream window by window; count from the end of the warm-up on."""
    process = Process(builder, cache=cache)
    units, items = process.store.units, process.tables.items
    events = floor = 0
    begin = None
    seconds = steady.warm_up_s + steady.measured_s
    stream = clickstream(seconds, steady.visitors, steady.starts_per_s)
    measured_from = (START_S + steady.warm_up_s) * 1000
    for batch in windows(stream):
        if batch[0][0] < measured_from:
            process.run(batch)
            continue
        if begin is None:
            begin = (units.reads, units.writes, units.calls)
        before = dict(items["profiles"])
        process.run(batch)
        events += len(batch)
        floor += sum(
            write_units(size_of({name: item[name] for name in READABLE if name in item}))
            for key, item in items["profiles"].items()
            if item is not before.get(key) and "event_count" in item
        )
    assert begin is not None
    reads = units.reads - begin[0]
    return Measured(events, reads + units.writes - begin[1], reads, floor, units.calls - begin[2])
