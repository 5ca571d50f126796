"""How fast transformations are, JSON in to JSON out, beside the way that one would otherwise write them."""

import copy
import json
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from benchmarks.data import write_events
from benchmarks.report import Row
from shared.adapters.sandbox import Limits, Sandbox
from shared.core.chain import Chain
from shared.core.sandbox import Program
from shared.core.user_context import UserContext

EVENTS = 20_000
REPEATS = 5
"""The best counts, for whatever else the machine does only ever takes time."""
RATE_MIN = 36_000
"""What the quickest alternative does on the machine that the target was set on."""
TIME_S = 60.0

SOURCE = """
def mark(event, context):
    event["properties"] = {**event.get("properties", {}), "seen": True}
    return event

def drop_groups(event, context):
    if event.get("type") == "group":
        return "drop"

def name(event, context):
    user = event.get("userId")
    if user:
        event["custom_id"] = f"c_{user}"
    return event

chain = [mark, drop_groups, name]
"""


def measure() -> list[Row]:
    """Transform the same events three ways: by hand, in this process, and in a process of their own."""
    with TemporaryDirectory(prefix="kith-bench-") as folder:
        source = Path(folder) / "events.jsonl"
        write_events(source, EVENTS)
        events = source.read_bytes().splitlines()
    chain = Chain(SOURCE, UserContext("bench", 0, {}, lambda *_: None, {}))
    by_hand = _by_hand()
    # Whoever does less than the other has not been compared.
    assert [[json.loads(each) for each in by_hand(one)] for one in events[:1000]] == [
        _result(chain, one) for one in events[:1000]
    ]
    peer_s = _best(lambda: [by_hand(one) for one in events])
    chain_s = _best(lambda: [chain.run(one) for one in events])
    sandbox_s = _sandboxed(events)
    size = sum(map(len, events)) // len(events)
    return [
        Row(f"json and deepcopy: events per CPU-second ({size} bytes each)", _rate(peer_s), "1"),
        Row(
            "chain of three functions: events per CPU-second",
            _rate(chain_s),
            f"{peer_s / chain_s:.1f} times as fast; at least {RATE_MIN:,}",
        ),
        Row(
            "the same in a process of its own: events per CPU-second of both",
            _rate(sandbox_s),
            f"{peer_s / sandbox_s:.1f} times as fast",
        ),
    ]


def _by_hand() -> Callable[[bytes], list[Any]]:
    """Give each function a deep copy of the event, as one would."""
    names: dict[str, Any] = {}
    exec(SOURCE, names)  # noqa: S102 - our own text

    def run(text: bytes) -> list[Any]:
        event = json.loads(text)
        for function in names["chain"]:
            result = function(copy.deepcopy(event), None)
            if result == "drop":
                return []
            event = event if result is None else result
        return [json.dumps(event)]

    return run


def _result(chain: Chain, text: bytes) -> list[Any]:
    made = chain.run(text)
    assert isinstance(made, list)
    return [json.loads(bytes(one.text)) for one in made]


def _sandboxed(events: Sequence[bytes]) -> float:
    """Return what one round takes of both processes, over several rounds."""
    texts = [msgspec.Raw(one) for one in events]
    before = both_cpu_s()
    sandbox = Sandbox(Program("bench", 0, SOURCE, {}), Limits())
    for _ in range(REPEATS):
        sandbox.run(texts, TIME_S)
    sandbox.close()
    return (both_cpu_s() - before) / REPEATS


def both_cpu_s() -> float:
    """Return the CPU seconds of this process and of those that it has ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _best(run: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times)


def _rate(seconds: float) -> str:
    return f"{EVENTS / seconds:,.0f}"
