"""Background processes: started, found again, ended with all their children, never mistaken."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from local import processes

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
child.wait()
"""


def started(folder: Path, script: str) -> str:
    """Start a script and wait for its first line of output."""
    processes.start(
        [sys.executable, "-c", script], dict(os.environ), log=folder / "log", file=folder / "process.json"
    )
    deadline_s = time.monotonic() + 20
    while not (lines := (folder / "log").read_text().split()):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return lines[0]


def test_a_process_is_found_until_it_is_stopped(tmp_path: Path):
    file = tmp_path / "process.json"
    started(tmp_path, SLEEP)
    assert processes.find(file)
    assert processes.stop(file, 10)
    assert processes.find(file) is None
    assert not processes.stop(file, 10)


def test_a_process_that_does_not_listen_is_ended_all_the_same(tmp_path: Path):
    started(tmp_path, STUBBORN)
    assert processes.stop(tmp_path / "process.json", 0.2)
    assert processes.find(tmp_path / "process.json") is None


def test_children_end_with_their_parent(tmp_path: Path):
    child = int(started(tmp_path, PARENT))
    processes.stop(tmp_path / "process.json", 10)
    deadline_s = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_another_process_with_the_same_number_is_not_mistaken_for_ours(tmp_path: Path):
    file = tmp_path / "process.json"
    file.write_text(json.dumps({"pid": os.getpid(), "started": "long ago"}))
    assert processes.find(file) is None
    assert not processes.stop(file, 1)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"pid": 1}', "[]"])
def test_a_damaged_note_is_no_process(tmp_path: Path, content: str):
    file = tmp_path / "process.json"
    file.write_text(content)
    assert processes.find(file) is None


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
