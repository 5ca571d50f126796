"""`make fuzz TIME=600`: fuzz everything that reads bytes, guided by what of the code each input reaches.

    python -m tests.fuzz --time 600 [--jobs 2] [TARGET ...]

The time is shared out between the targets, each of which takes some ten seconds more to start. A target ends
with the first input that it fails on: that is written to `tests/fuzz/corpus`, where tests run it for good.
What reached something new stays in `.fuzz`, for the next time.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.faulty import FAULTY
from tests.fuzz.target import CORPUS

KEPT = Path(__file__).parents[2] / ".fuzz"
START_S = 1800
"""What starting may take beside the time itself, on a machine that has much else to do."""
INPUT_S_MAX = 10
TOLD_MAX = 2000
"""Characters of what an input ended with."""
MEMORY_MB_MAX = 2048
INPUT_BYTES_MAX = 16_384
FOUND = re.compile(r"Test unit written to (\S+)")


def main(arguments):
    options = _options(arguments)
    known = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.one"], capture_output=True, text=True, check=True
    ).stdout.split()
    if unknown := set(options.targets) - {*known, *FAULTY}:
        print(f"there is no target {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
        return 2
    names = options.targets or known
    each_s = max(1, options.time * options.jobs // len(names))
    with ThreadPoolExecutor(options.jobs) as pool:
        failed = [name for name, is_well in pool.map(lambda name: fuzz(name, each_s), names) if not is_well]
    if failed:
        print(f"they fail again: python -m pytest tests/fuzz -k 'corpus and ({' or '.join(failed)})'")
    return 1 if failed else 0


def fuzz(name, seconds, *, corpus=CORPUS, kept=KEPT, input_s_max=INPUT_S_MAX, memory_mb_max=MEMORY_MB_MAX):
    """Fuzz one target for so many seconds; return its name, and whether all was well."""
    (kept / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as found:
        started = time.monotonic()
        run = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.one", name, str(kept / name)),
                *(f"-max_total_time={seconds}", f"-artifact_prefix={found}/"),
                *(f"-timeout={input_s_max}", f"-rss_limit_mb={memory_mb_max}"),
                *(f"-max_len={INPUT_BYTES_MAX}", "-print_final_stats=1", "-verbosity=1"),
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds + START_S + input_s_max,
            env=os.environ | {"PYTHONHASHSEED": "0"},
        )
        failing = [path.read_bytes() for path in Path(found).iterdir()]
    for data in failing:
        (corpus / name).mkdir(parents=True, exist_ok=True)
        (corpus / name / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", run.stderr)
    covered = re.findall(r"cov: (\d+)", run.stderr)
    is_well = run.returncode == 0 and not failing
    count, places = executed[1] if executed else "?", covered[-1] if covered else "?"
    took_s, end = time.monotonic() - started, "well" if is_well else "FAILED"
    print(f"{name:16} {count:>10} inputs, {places:>6} places reached, {took_s:4.0f} s: {end}", flush=True)
    if not is_well:
        print(run.stdout[-TOLD_MAX:] or run.stderr[-TOLD_MAX:])
    return name, is_well


def _options(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--time", type=_count, default=600, help="seconds in all, beside what starting takes")
    parser.add_argument("--jobs", type=_count, default=os.cpu_count(), help="targets at a time")
    parser.add_argument("targets", nargs="*")
    return parser.parse_args(arguments)


def _count(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 on was expected, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
