"""What a hot profile costs: a bot on a hundred shards, and two that are merged while all write to them.

Measured where time and rivals are simulated (`tests/simulation/hot.py`): no one process could race so.
"""

import json
import subprocess
import sys
from typing import Any, Final

from benchmarks.report import Row

COMMAND: Final = (sys.executable, "-m", "tests.simulation.hot", "--json")
PLAIN: Final = "nobody is hot"


def measure() -> list[Row]:
    """Play the scenarios; their ratio is to a stream on which nobody is hot."""
    run = subprocess.run(COMMAND, capture_output=True, text=True, check=True)  # noqa: S603 - our own module
    found: dict[str, dict[str, Any]] = json.loads(run.stdout)
    rows = []
    for name, figures in found.items():
        units, median_ms = figures["units_per_event"], figures["batch_ms_median"]
        ratio = "" if name == PLAIN else f"{units / found[PLAIN]['units_per_event']:.1f}"
        rows += [
            Row(f"{name}: request units/event", f"{units:.2f}", ratio),
            Row("  ms until a batch is acknowledged", f"{median_ms}, at most {figures['batch_ms_max']}"),
        ]
        if name != PLAIN:
            parked = f"{figures['events_parked']} in {figures['deltas_parked']}"
            rows += [
                Row("  conflicts per hot event", f"{figures['conflicts_per_hot_event']:.2f}"),
                Row(f"  parked of {figures['events']} events, in deltas", parked),
                Row("  deltas parked at once, at most", str(figures["parked_max"])),
            ]
    return rows
