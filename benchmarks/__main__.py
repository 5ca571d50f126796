"""`make bench`: measure speed and cost, as ratios against peers and limits.

    python -m benchmarks [fold] [duckdb] [ingest] [units] [chain] [functions] [hot] [cold] [rebuild]

Without names, all of them: about twenty minutes on two idle cores.
"""

import sys
from collections.abc import Callable
from typing import Final

from benchmarks import chain, coldstart, folding, functions, hot, ingest, rebuild, sql, units
from benchmarks.report import Row, show

BENCHMARKS: Final[dict[str, tuple[str, Callable[[], list[Row]]]]] = {
    "fold": ("Folding a file", folding.measure),
    "duckdb": ("Folding a large file in two processes", sql.measure),
    "ingest": ("Ingesting, HTTP stubbed", ingest.measure),
    "units": ("Request units of a clickstream", units.measure),
    "chain": ("Transforming, JSON in to JSON out", chain.measure),
    "functions": ("Profile functions, from the bytes of a history", functions.measure),
    "hot": ("Hot profiles, in simulated time", hot.measure),
    "cold": ("Cold start of ingestion", coldstart.measure),
    "rebuild": ("Workers of a rebuild, over 1,000,000 events", rebuild.measure),
}


def main() -> None:
    """Run the benchmarks named, or all."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in names:
        title, measure = BENCHMARKS[name]
        show(title, measure())


if __name__ == "__main__":
    main()
