"""How fast profile functions are, from the bytes of a history on, beside the way one would write it."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zstandard

from benchmarks.chain import both_cpu_s
from benchmarks.data import write_events
from benchmarks.report import Row
from shared.adapters.sandbox import FunctionSandbox, Limits
from shared.app.functions.ports import FunctionInput
from shared.core.functions import FunctionResult, User
from shared.core.history import Head, chain, pieces_of
from shared.core.profile_code import ProfileCode
from shared.core.sandbox import Program
from shared.core.user_context import UserContext

SIZES = {100: 80_000, 1_000: 70_000, 10_000: 50_000}
"""Events of a user, and how many of them per second the target is."""
BATCHES = {100: 5, 1_000: 20, 10_000: 100}
"""Writes that the events came in: a chunk each, and more where one would be too large."""
EVENTS_EACH = 40_000
REPEATS = 5

SOURCE = """
def profile(events, user, context):
    counts = {}
    for event in events:
        kind = event["type"]
        counts[kind] = counts.get(kind, 0) + 1
    return {"traits": {"counts": counts, "anonymousId": user.anonymous_id}}
"""


def measure() -> list[Row]:
    """Run the function of Jitsu's page over the same histories, in this process and in one of its own."""
    with TemporaryDirectory(prefix="kith-bench-") as folder:
        source = Path(folder) / "events.jsonl"
        write_events(source, max(SIZES))
        events = source.read_bytes().splitlines()
    return [row for size in SIZES for row in _measure(events[:size])]


def _measure(events: Sequence[bytes]) -> list[Row]:
    size = len(events)
    given = _input(events)
    code = ProfileCode(SOURCE, UserContext("bench", 0, {}, lambda *_: None, {}))
    sandbox = FunctionSandbox(Program("bench", 0, SOURCE, {}, "profile.py"), Limits())
    by_hand = _by_hand(events)
    # Whoever does less than the other has not been compared.
    [answer] = sandbox.run([given], 60)
    assert isinstance(answer.outcome, FunctionResult)
    assert answer.outcome.traits["counts.track"] == by_hand()["track"]
    sandbox.close()
    runs = EVENTS_EACH // size
    peer_s = _best(by_hand, runs)
    code_s = _best(lambda: code.run(given.user, given.chunks, given.since_ms), runs)
    sandbox_s = _sandboxed(given, runs)
    name = f"function over {size:,} events"
    return [
        Row(f"{name}, one zstd frame and json: events per CPU-second", _rate(size / peer_s), "1"),
        Row(
            f"{name}, from {len(given.chunks)} chunks: events per CPU-second",
            _rate(size / code_s),
            f"{peer_s / code_s:.1f} times as fast; at least {SIZES[size]:,}",
        ),
        Row(
            "the same in a process of its own: events per CPU-second of both",
            _rate(size / sandbox_s),
            f"{peer_s / sandbox_s:.1f} times as fast; at least {SIZES[size]:,}",
        ),
    ]


def _input(events: Sequence[bytes]) -> FunctionInput:
    """Keep events as writes do: each behind the one before."""
    times = count(1_700_000_000_000, 1000)
    kept = [(next(times), f"message-{number}", text) for number, text in enumerate(events)]
    each = -(-len(kept) // BATCHES[len(kept)])
    chunks: list[bytes] = []
    heads: list[Head] = []
    for rev, start in enumerate(range(0, len(kept), each), 1):
        made = chain("p", rev, heads, pieces_of(kept[start : start + each], rev), rev)
        heads = [Head("p", made[-1].name)]
        chunks += [one.data for one in made]
    return FunctionInput(User("p", "u", "a", {}, {"user_id": ["u"]}), chunks, 0)


def _by_hand(events: Sequence[bytes]) -> Callable[[], dict[str, int]]:
    """Keep all events in one frame, and load them whole, as one would."""
    frame = zstandard.ZstdCompressor().compress(b"\n".join(events))

    def run() -> dict[str, int]:
        loaded: list[Any] = [json.loads(one) for one in zstandard.decompress(frame).splitlines()]
        return dict(Counter(event["type"] for event in loaded))

    return run


def _sandboxed(given: FunctionInput, runs: int) -> float:
    """Return what one run takes of both processes, without what starting one takes."""
    spent = []
    for repeats in (1, 1 + REPEATS):
        before = both_cpu_s()
        process = FunctionSandbox(Program("bench", 0, SOURCE, {}, "profile.py"), Limits())
        for _ in range(repeats):
            process.run([given] * runs, 60)
        process.close()
        spent.append(both_cpu_s() - before)
    return (spent[1] - spent[0]) / REPEATS / runs


def _best(run: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        for _ in range(runs):
            run()
        times.append((time.process_time() - started) / runs)
    return min(times)


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}"
