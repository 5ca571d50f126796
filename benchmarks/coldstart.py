"""How long a fresh process takes to import the ingestion handler, and to make its clients."""

import os
import re
import statistics
import subprocess
import sys

from benchmarks.report import Row
from shared import contract

REPEATS = 7
IMPORT_MS_MAX = 300
HEAVIEST = 6

_ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    contract.ENV_STAGE: "bench",
    contract.ENV_PROFILES_TABLE: "profiles",
    contract.ENV_IDENTIFIERS_TABLE: "identifiers",
    contract.ENV_REGISTRY_TABLE: "registry",
    contract.ENV_ARCHIVE_BUCKET: "archive",
    contract.ENV_TRANSFORM_FUNCTION: "transform",
}
_PROGRAM = """
import time
started, cpu = time.perf_counter(), time.process_time()
import shared.runtime.ingestion as ingestion, shared.runtime.log, shared.runtime.metrics
imported, imported_cpu = time.perf_counter(), time.process_time()
import lambdas.ingest.handler
ready, ready_cpu = time.perf_counter(), time.process_time()
print(imported - started, imported_cpu - cpu, ready - imported, ready_cpu - imported_cpu)
"""
"""What the handler adds to what it imports are its clients."""
_TIMED = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)")


def measure() -> list[Row]:
    """Import in fresh processes."""
    took = [list(map(float, _python("-c", _PROGRAM).stdout.split())) for _ in range(REPEATS)]
    imported, imported_cpu, clients, clients_cpu = (
        1000 * statistics.median(column) for column in zip(*took, strict=True)
    )
    return [
        Row(
            "import of the ingestion handler: ms of CPU",
            f"{imported_cpu:.0f}",
            f"{imported_cpu / IMPORT_MS_MAX:.2f} of {IMPORT_MS_MAX}; {imported:.0f} ms on the wall",
        ),
        Row("its clients, made once: ms of CPU", f"{clients_cpu:.0f}", f"{clients:.0f} ms on the wall"),
        *(Row(f"  {name} with all it imports: ms", f"{ms:.0f}") for name, ms in _heaviest()),
    ]


def _heaviest() -> list[tuple[str, float]]:
    """Return which packages weigh most, each with what it imports first, ms."""
    told = _python("-X", "importtime", "-c", "import lambdas.ingest.handler").stderr
    by_package: dict[str, float] = {}
    for _, cumulative_us, _, name in _TIMED.findall(told):
        package = name.partition(".")[0]
        if package not in {"lambdas", "shared"}:
            by_package[package] = max(by_package.get(package, 0), int(cumulative_us) / 1000)
    return sorted(by_package.items(), key=lambda one: -one[1])[:HEAVIEST]


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | _ENVIRONMENT,
    )
