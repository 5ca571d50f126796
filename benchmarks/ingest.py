"""How many events per second one core ingests when the network takes no time."""

from benchmarks.data import BUILDER_YAML, START_S, events
from benchmarks.ingestion import Process
from benchmarks.report import Row, customers
from shared.core.compile import Builder
from shared.core.grammar import parse_definition

BATCH = 1000
WARM_UP = 3
MEASURED = 5
EVENTS_PER_S_MIN = 5000
POSTGRES_EVENTS_PER_S = 4530
"""Postgres, folding micro-batches of 500 durably, on a machine like this."""


def measure() -> list[Row]:
    """Ingest batches of 1,000 events that touch 100 or 1,000 profiles again and again."""
    nine = Builder(parse_definition(BUILDER_YAML))
    rows = []
    for name, builder in (("nine attributes", nine), ("default builder", customers())):
        for people in (100, 1000):
            for cache in (True, False):
                rate, calls = _rate(builder, people, cache=cache)
                what = f"{name}, {people} profiles{'' if cache else ', no cache'}: events/s per core"
                rows.append(
                    Row(
                        what,
                        f"{rate:,.0f}",
                        f"{rate / EVENTS_PER_S_MIN:.2f} of 5,000; {calls:.2f} calls/event",
                    )
                )
    rows.append(
        Row("Postgres, micro-batches of 500: events/s", f"{POSTGRES_EVENTS_PER_S:,}", "as measured before")
    )
    return rows


def _rate(builder: Builder, people: int, *, cache: bool) -> tuple[float, float]:
    """Return the best batch's events per CPU second, and calls per event."""
    count = BATCH * (WARM_UP + MEASURED)
    stream = [(START_S * 1000 + number * 2000, line) for number, line in enumerate(events(count, people))]
    batches = [stream[start : start + BATCH] for start in range(0, count, BATCH)]
    process = Process(builder, cache=cache)
    for batch in batches[:WARM_UP]:
        process.run(batch)
    calls = process.tables.calls
    best_s = min(process.timed([batch]) for batch in batches[WARM_UP:])
    return BATCH / best_s, (process.tables.calls - calls) / (BATCH * MEASURED)
