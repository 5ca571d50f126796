"""The states of a build called by hand, each twice at once; and the death of those at work in them."""

import fcntl
import json
import os
import signal
import termios
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from infra.function import camel
from local import processes
from shared import contract
from shared.app.rebuild.build import BuildName
from tests.e2e.conftest import Live, eventually
from tests.e2e.visitors import BUILDER, Visitors

STATES: Final = ("plan", "scan", "link", "shuffle", "replay", "verify", "follow", "cut_over", "clean_up")
TWICE: Final = 2
PROC: Final = Path("/proc")
"""Where Linux shows processes; elsewhere nobody dies."""


class ByHand:
    """A version that is built without its state machine: every function is called twice at the same time."""

    def __init__(self, visitors: Visitors, version: int) -> None:
        self._live = visitors.live
        self._name = BuildName(BUILDER, version)
        visitors.stop_execution(version)

    def plan(self) -> None:
        self._planned = self.done("plan")

    def scan(self) -> None:
        self._map("scan", self._planned["manifest"])

    def link(self) -> None:
        self._linked = self.done("link")

    def shuffle(self) -> None:
        self._map("shuffle", self._linked["shuffle"])

    def replay(self) -> None:
        shared = {"partitions": self._linked["partitions"], "workers": self._planned["workers"]}
        self._map("replay", self._linked["replay"], **shared)

    def verify(self) -> None:
        self.done("verify")

    def follow(self) -> None:
        self.done("follow")

    def cut_over(self) -> None:
        self._retired = self.done("cut_over")["retired"]

    def clean_up(self) -> None:
        """Not at once: of two that are at work the later one begins anew when the other is done."""
        for _ in range(TWICE):
            self.done("clean_up", at_once=1, version=self._retired)

    def items(self) -> list[dict[str, Any]]:
        """What Scan maps over."""
        return self._lines(self._planned["manifest"])

    def done(self, state: str, at_once: int = TWICE, **more: Any) -> dict[str, Any]:
        """Call a state until there is no more to do; return what it answers then."""

        def answered() -> dict[str, Any] | None:
            answers = self.answers(state, at_once, **more)
            assert {one["status"] for one in answers} <= {"done", "again", "waiting"}, answers
            return answers[0] if all(one["status"] == "done" for one in answers) else None

        answer = eventually(answered)
        assert answer is not None
        return answer

    def answers(self, state: str, at_once: int = TWICE, **more: Any) -> list[dict[str, Any]]:
        """Call a state so many times at once."""
        payload = {"builder": BUILDER, "version": self._name.version, "attempt": 0, **more}
        function = self._live.function(f"Rebuild{camel(state)}Function")
        client = self._live.client("lambda")

        def call(_: int) -> dict[str, Any]:
            answer = client.invoke(FunctionName=function, Payload=json.dumps(payload))
            found: dict[str, Any] = json.loads(answer["Payload"].read())
            # Of two who write the version's row at once one fails, and is called again.
            return {"status": "again"} if "FunctionError" in answer else found

        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(call, range(at_once)))

    def _map(self, state: str, manifest: str, **more: Any) -> None:
        for line in self._lines(manifest):
            self.done(state, item=line, **more)

    def _lines(self, manifest: str) -> list[dict[str, Any]]:
        bucket = self._live.outputs[contract.OUTPUT_ARCHIVE_BUCKET]
        found = self._live.client("s3").get_object(Bucket=bucket, Key=manifest)
        return [json.loads(line) for line in found["Body"].read().splitlines()]


class Deaths:
    """Holds the warm workers of all states, and kills each once it has got something to do.

    The engine's functions are processes that it writes events to: one that is held does not read them.
    """

    def __init__(self, live: Live) -> None:
        names = {live.function(f"Rebuild{camel(state)}Function"): state for state in STATES}
        self._held = {pid: names[name] for pid, name in _workers(live) if name in names}
        self.killed: set[str] = set()
        for pid in self._held:
            os.kill(pid, signal.SIGSTOP)

    @property
    def states(self) -> set[str]:
        """The states that had a warm worker."""
        return {*self._held.values(), *self.killed}

    def look(self) -> None:
        """Kill those that have got an event."""
        for pid, state in list(self._held.items()):
            with suppress(FileNotFoundError, ProcessLookupError):  # the engine ends idle ones itself
                if _has_work(pid):
                    os.kill(pid, signal.SIGKILL)
                    del self._held[pid]
                    self.killed.add(state)

    def end(self) -> None:
        """Let those go on that had nothing to do."""
        for pid in self._held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _workers(live: Live) -> Iterator[tuple[int, str]]:
    """Yield the processes of this cloud's functions, and the names of these, which other clouds have, too."""
    engine = processes.find(live.cloud.folder / "engine.process.json")
    assert engine is not None
    marker = b"AWS_LAMBDA_FUNCTION_NAME="
    for process in PROC.glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) != engine.pid:
                continue
            variables = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for one in variables:
            if one.startswith(marker):
                yield int(process.name), one.removeprefix(marker).decode()


def _has_work(pid: int) -> bool:
    """Say whether something waits in a process's standard input."""
    with (PROC / f"{pid}/fd/0").open("rb", buffering=0) as pipe:
        waiting = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(waiting, "little") > 0
