"""Request units per event of a clickstream, reads included, against the floor.

The floor is what writing a profile's key, identifiers, attributes and traits would take, once per profile
that a batch touches. There are two: of the whole profile as a reader gets it, long lists and all; and of what
its item shows of them, for the rest of long lists is in segments. Neither holds state, memory, or reads.
"""

from base64 import b64decode
from collections import Counter
from itertools import takewhile
from typing import Final, NamedTuple

from benchmarks.data import START_S, clickstream
from benchmarks.ingestion import Process, windows
from benchmarks.report import Row, customers
from shared.adapters.dynamo.units import size_of, write_units
from shared.adapters.dynamo.wire import to_wire
from shared.contract import SK_HISTORY_PREFIX
from shared.core.aggregations.base import LIST_LENGTH_MAX
from shared.core.compile import Builder
from shared.core.definition import with_window
from shared.core.profile import Profile, missing_segments, present

FLOOR_RATIO_MAX: Final = 1.5
HISTORY_UNITS_MAX: Final = 2
WARM_UP_WINDOW_MS: Final = 60_000
"""Batches of the warm-up are larger: only what it leaves behind matters."""
KEY_BYTES: Final = 55
READABLE: Final = ("pk", "sk", "identifiers", "attributes", "traits")


class Measured(NamedTuple):
    """What the batches of a while took."""

    events: int
    units: float
    reads: float
    calls: int
    floor: float
    """Of whole profiles."""
    item_floor: float
    """Of what items show."""


class Steady(NamedTuple):
    """A clickstream: how many visitors return, how many sessions start per second, for how long."""

    visitors: int
    starts_per_s: float
    warm_up_s: int
    measured_s: int


NEW = Steady(visitors=200, starts_per_s=0.35, warm_up_s=1800, measured_s=300)
"""Visitors come back several times within the warm-up."""
FULL = Steady(visitors=12, starts_per_s=0.12, warm_up_s=15_000, measured_s=1200)
"""In the warm-up every visitor sees more than 1,000 pages."""
BEFORE = FULL._replace(warm_up_s=1500)
"""The same visitors when they have seen a hundred: what a list of any length must not cost more than."""
FOLLOWED = {
    "lists that grow": NEW,
    "lists of 100 entries": BEFORE,
    f"lists of {LIST_LENGTH_MAX} entries": FULL,
}


def measure() -> list[Row]:
    """Follow clickstreams with the default builder."""
    builder = customers()
    rows = []
    for name, steady in FOLLOWED.items():
        for cache in (True, False):
            got = _follow(builder, steady, cache=cache)
            ratio = got.units / got.floor
            per_event = f"{got.units / got.events:.2f} ({got.reads / got.events:.2f} of it reads)"
            rows += [
                Row(f"{name}{'' if cache else ', no cache'}: request units/event", per_event),
                Row("  to the floor of whole profiles", f"{ratio:.2f}", f"at most {FLOOR_RATIO_MAX}"),
                Row("  to the floor of what items show", f"{got.units / got.item_floor:.2f}"),
                Row("  calls/event", f"{got.calls / got.events:.2f}"),
            ]
    return rows + _history()


def _history() -> list[Row]:
    """Follow a clickstream with a builder that keeps the histories of its profiles."""
    plain = customers()
    builder = Builder(with_window(plain.definition))
    process = Process(builder)
    units, tables = process.store.units, process.tables.items
    stream = clickstream(NEW.warm_up_s + NEW.measured_s, NEW.visitors, NEW.starts_per_s)
    measured_from = (START_S + NEW.warm_up_s) * 1000
    for batch in windows(takewhile(lambda event: event[0] < measured_from, stream), WARM_UP_WINDOW_MS):
        process.run(batch)
    before = units.reads + units.writes, units.calls
    written: Counter[int] = Counter()
    events = 0
    for batch in windows(stream):
        known = set(tables["profiles"])
        process.run(batch)
        events += len(batch)
        touched: Counter[str] = Counter()
        for key in tables["profiles"].keys() - known:
            item = tables["profiles"][key]
            if item["sk"]["S"].startswith(SK_HISTORY_PREFIX):
                chunk = {**item, "events": {"B": b64decode(item["events"]["B"])}}  # it was sent as text
                touched[item["pk"]["S"]] += write_units(size_of(chunk))
        written.update(touched.values())
    without = _follow(plain, NEW, cache=True)
    more = (units.reads + units.writes - before[0]) / events - without.units / without.events
    writes, profiles = sum(count * times for count, times in written.items()), sum(written.values())
    return [
        Row("history: write units per touched profile and batch", f"{writes / profiles:.2f}"),
        Row("  the most of any", f"{max(written)}", f"at most {HISTORY_UNITS_MAX}"),
        Row("  request units/event", f"{more:.2f} more"),
        Row(
            "  calls/event", f"{(units.calls - before[1]) / events - without.calls / without.events:.2f} more"
        ),
    ]


def _follow(builder: Builder, steady: Steady, *, cache: bool) -> Measured:
    """Ingest a clickstream window by window; count from the end of the warm-up on."""
    process = Process(builder, cache=cache)
    units, items = process.store.units, process.tables.items
    stream = clickstream(steady.warm_up_s + steady.measured_s, steady.visitors, steady.starts_per_s)
    measured_from = (START_S + steady.warm_up_s) * 1000
    for batch in windows(takewhile(lambda event: event[0] < measured_from, stream), WARM_UP_WINDOW_MS):
        process.run(batch)
    before = units.reads, units.writes, units.calls
    events = item_floor = 0
    touched: Counter[str] = Counter()
    for batch in windows(stream):
        stored = dict(items["profiles"])
        process.run(batch)
        events += len(batch)
        for key, item in items["profiles"].items():
            if item is not stored.get(key) and "event_count" in item:
                touched[item["pk"]["S"].rpartition("#")[2]] += 1
                item_floor += write_units(size_of({name: item[name] for name in READABLE if name in item}))
    reads, writes, calls = units.reads - before[0], units.writes - before[1], units.calls - before[2]
    floor = sum(_whole_units(builder, process, one) * times for one, times in touched.items())
    return Measured(events, reads + writes, reads, calls, floor, item_floor)


def _whole_units(builder: Builder, process: Process, profile_id: str) -> int:
    """Return what writing all that a reader gets of a profile takes, at the end."""
    profile = process.store.profiles([profile_id], fresh=True)[profile_id]
    if not isinstance(profile, Profile):
        return 0
    missing = missing_segments(builder, profile)
    if missing:
        profile = process.store.load(builder, profile, missing)
    shown = present(builder, profile)
    readable = {name: to_wire(shown[name]) for name in ("identifiers", "attributes", "traits")}
    return write_units(KEY_BYTES + size_of(readable))
