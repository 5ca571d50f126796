"""How long `kith fold --workers 2` takes beside DuckDB's SQL for the same profiles with two threads."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from benchmarks.data import BUILDER_YAML, write_events
from benchmarks.folding import KITH, best
from benchmarks.report import Row

EVENTS: Final = 1_000_000
REPEATS: Final = 2
RATIO_MAX: Final = 4.0
COMPARED: Final = 1000
"""Profiles whose values are compared, of all."""


def measure() -> list[Row]:
    """Fold the same events with both, and compare what they made of them."""
    with TemporaryDirectory(prefix="kith-bench-") as name:
        folder = Path(name)
        source = folder / "events.jsonl"
        write_events(source, EVENTS)
        (folder / "nine").mkdir()
        (folder / "nine" / "builder.yaml").write_text(BUILDER_YAML)
        sql = [sys.executable, "-m", "benchmarks.sql_peer", str(source), str(folder / "sql.out")]
        kith = [KITH, "fold", str(source), "--builder", str(folder / "nine"), "--workers", "2"]
        kith += ["--out", str(folder / "kith.out")]
        of_sql, of_kith = best([sql, kith], REPEATS)
        people = compare(folder / "sql.out", folder / "kith.out")
    return [
        Row(f"DuckDB, two threads: {EVENTS:,} events of {people:,} people", f"{of_sql.wall_s:.1f} s", "1"),
        Row("  CPU", f"{of_sql.cpu_s:.1f} s", "1"),
        Row(
            "kith fold --workers 2",
            f"{of_kith.wall_s:.1f} s",
            f"{of_kith.wall_s / of_sql.wall_s:.1f} times DuckDB's time (at most {RATIO_MAX:.0f})",
        ),
        Row("  CPU", f"{of_kith.cpu_s:.1f} s", f"{of_kith.cpu_s / of_sql.cpu_s:.1f}"),
    ]


def compare(sql: Path, kith: Path) -> int:
    """Assert that both hold as many people, and some of them the same values; return how many people."""
    theirs = {tuple(one.pop("identifiers")): one for one in _lines(sql)}
    ours = {_identifiers(one): one["attributes"] for one in _lines(kith)}
    assert theirs.keys() == ours.keys()
    for identifiers in sorted(ours)[:: max(1, len(ours) // COMPARED)]:
        expected = {name: value for name, value in theirs[identifiers].items() if value is not None}
        assert ours[identifiers] == expected, identifiers
    return len(ours)


def _identifiers(profile: Any) -> tuple[str, ...]:
    return tuple(
        f"{kind}/{value}" for kind, values in sorted(profile["identifiers"].items()) for value in values
    )


def _lines(path: Path) -> list[Any]:
    return msgspec.json.Decoder().decode_lines(path.read_bytes())
