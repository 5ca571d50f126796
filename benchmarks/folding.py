"""How fast `kith fold` is, as a user runs it, beside the script that one would otherwise write."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.data import BUILDER_YAML, write_events
from benchmarks.report import CUSTOMERS, Row

EVENTS = 200_000
REPEATS = 3
"""Of each command, in turn; the best counts, for whatever else the machine does only ever takes time."""
PEER_RATIO_MAX = 2.0

KITH = str(Path(sys.executable).with_name("kith"))


class Run(NamedTuple):
    """What one command took: CPU seconds of all its processes, and seconds on the wall."""

    cpu_s: float
    wall_s: float


def measure() -> list[Row]:
    """Fold the same events with the peer and with Kith."""
    with TemporaryDirectory(prefix="kith-bench-") as name:
        folder = Path(name)
        source = folder / "events.jsonl"
        write_events(source, EVENTS)
        (folder / "nine").mkdir()
        (folder / "nine" / "builder.yaml").write_text(BUILDER_YAML)
        peer = [sys.executable, "-m", "benchmarks.peers", str(source), str(folder / "peer")]
        nine = [
            KITH,
            "fold",
            str(source),
            "--builder",
            str(folder / "nine"),
            "--out",
            str(folder / "nine.out"),
        ]
        full = [KITH, "fold", str(source), "--builder", str(CUSTOMERS), "--out", str(folder / "full.out")]
        runs = best([peer, nine, [*nine, "--workers", "2"], full], REPEATS)
        # Whoever folds less than the other has not been compared.
        assert _lines(folder / "peer") == _lines(folder / "nine.out")
    of_peer, of_nine, of_two, of_full = runs
    return [
        Row("Python peer: events/s on one core", _rate(of_peer.cpu_s), "1"),
        Row(
            "kith fold, nine attributes: events/s on one core",
            _rate(of_nine.cpu_s),
            f"takes {of_nine.cpu_s / of_peer.cpu_s:.2f} times the peer's time (at most {PEER_RATIO_MAX})",
        ),
        Row(
            "kith fold, default builder: events/s on one core",
            _rate(of_full.cpu_s),
            f"takes {of_full.cpu_s / of_peer.cpu_s:.2f} times the peer's time",
        ),
        Row(
            "kith fold --workers 2: events/s on the wall",
            _rate(of_two.wall_s),
            f"{of_nine.wall_s / of_two.wall_s:.2f} times as fast as with one, "
            f"for {of_two.cpu_s / of_nine.cpu_s:.2f} times the CPU",
        ),
    ]


def best(commands: list[list[str]], repeats: int) -> list[Run]:
    """Run commands in turn, several times; return the least of each.

    As they run once installed: modules are compiled in the first round, and not at every start.
    """
    runs: list[list[Run]] = [[] for _ in commands]
    with TemporaryDirectory(prefix="kith-bench-") as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(repeats):
            for command, done in zip(commands, runs, strict=True):
                done.append(_run(command, environment))
    return [Run(min(one.cpu_s for one in done), min(one.wall_s for one in done)) for done in runs]


def _run(command: list[str], environment: dict[str, str]) -> Run:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)  # noqa: S603 - our own commands
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s)


def _rate(seconds: float) -> str:
    return f"{EVENTS / seconds:,.0f}"


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")
