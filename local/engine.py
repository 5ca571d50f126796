"""The local engine: an AWS-compatible service on 127.0.0.1, in the background."""

import json
import os
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local import processes

ROOT: Final = Path(__file__).parent.parent
ENGINE_PYTHON: Final = ROOT / ".venv-engine" / "bin" / "python"
ENGINE_MAIN: Final = ROOT / "local" / "engine_main.py"

HOST: Final = "127.0.0.1"
PORT_FIRST: Final = 4566
PORTS_TRIED_MAX: Final = 100
REGION: Final = "eu-west-1"
ACCOUNT: Final = "000000000000"
# CDK remembers the account of an access key; this one must not be mistaken for anybody's.
ACCESS_KEY: Final = "kithlocalengine"
SECRET_KEY: Final = "kith-local-engine"  # noqa: S105 - opens nothing but the engine on this machine

WAIT_SCALE: Final = 0.25
"""What becomes of a second that a state machine waits, also before it tries a state again."""

START_S_MAX: Final = 60
STOP_S_MAX: Final = 20
LOG_LINES_SHOWN: Final = 15


class EngineError(Exception):
    """The engine does not do what it should; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running engine. `identity` differs for each start: with it goes all that the engine holds."""

    port: int
    identity: str

    @property
    def url(self) -> str:
        """Give the endpoint URL of all services."""
        return f"http://{HOST}:{self.port}"


class Engine:
    """One engine, and all its files below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "engine.log"
        self._process_file = folder / "engine.process.json"
        self._port_file = folder / "engine.port"

    def find(self) -> Endpoint | None:
        """Find the engine of this folder, if it runs and answers."""
        process = processes.find(self._process_file)
        if process is None or not self._port_file.exists():
            return None
        port = int(self._port_file.read_text())
        return Endpoint(port, f"{process.pid}-{process.started}") if _health(port) else None

    def start(self, port: int | None = None, *, keep_state: bool = False) -> Endpoint:
        """Start the engine on a port, else on the first free one, after what was left of an earlier one.

        With `keep_state` it saves what it holds when it is stopped, and starts with what was saved.
        Raises EngineError if it does not come up.
        """
        self.stop()
        return self._start(port or free_port(), enforce_iam=False, keep_state=keep_state)

    def restart_enforcing_iam(self) -> Endpoint:
        """Restart an engine that keeps its state, on the same port, now checking every permission."""
        return self._restart(enforce_iam=True)

    def restart_trusting(self) -> Endpoint:
        """Restart an engine that keeps its state, on the same port, now checking no permission."""
        return self._restart(enforce_iam=False)

    def _restart(self, *, enforce_iam: bool) -> Endpoint:
        port = int(self._port_file.read_text())
        self.stop()
        return self._start(port, enforce_iam=enforce_iam, keep_state=True)

    def stop(self) -> bool:
        """Stop the engine, if it runs; returns whether it did."""
        return processes.stop(self._process_file, STOP_S_MAX)

    def _start(self, port: int, *, enforce_iam: bool, keep_state: bool) -> Endpoint:
        if not ENGINE_PYTHON.exists():
            raise EngineError("the local engine is not installed: run make setup")
        for name in ("tmp", "state", "s3"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._port_file.write_text(str(port))
        environment = self._environment(port, enforce_iam=enforce_iam, keep_state=keep_state)
        processes.start([ENGINE_PYTHON, ENGINE_MAIN], environment, log=self.log, file=self._process_file)
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            endpoint = self.find()
            if endpoint:
                return endpoint
            if processes.find(self._process_file) is None:
                break
            time.sleep(processes.POLL_S)
        self.stop()
        raise EngineError(f"the local engine did not start; the end of {self.log}:\n{self.log_end()}")

    def _environment(self, port: int, *, enforce_iam: bool, keep_state: bool) -> dict[str, str]:
        # Nothing of the user's environment but the path: functions inherit the engine's.
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder / "tmp"),
            "BIND_HOST": HOST,
            "MINISTACK_HOST": HOST,
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "LOG_LEVEL": "WARNING",
            "LAMBDA_EXECUTOR": "local",
            "SFN_WAIT_SCALE": str(WAIT_SCALE),
            # It would open further ports, and take down containers of whoever uses Docker here.
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "DOCKER_HOST": f"unix://{self.folder}/no-docker.sock",
            "AUTH": "true" if enforce_iam else "false",
            "PERSIST_STATE": "1" if keep_state else "0",
            "STATE_DIR": str(self.folder / "state"),
            "S3_PERSIST": "1" if keep_state else "0",
            "S3_DATA_DIR": str(self.folder / "s3"),
        }

    def log_end(self) -> str:
        """Give the last lines of the engine's log: warnings and errors."""
        if not self.log.exists():
            return "(empty)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])


def free_port() -> int:
    """Choose the first port from 4566 on that nobody listens on."""
    for port in range(PORT_FIRST, PORT_FIRST + PORTS_TRIED_MAX):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise EngineError(f"no port from {PORT_FIRST} to {PORT_FIRST + PORTS_TRIED_MAX - 1} is free")


def _health(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/_ministack/ready", timeout=5) as answer:
            return bool(json.loads(answer.read())["status"] == "completed")
    except (OSError, urllib.error.URLError, ValueError, KeyError):
        return False
