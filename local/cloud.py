"""The local cloud as a whole: engine, deployed app, event-source runner; all its files in one folder."""

import fcntl
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from local import deploy, processes
from local.engine import ACCESS_KEY, PORT_FIRST, REGION, ROOT, SECRET_KEY, Endpoint, Engine, free_port
from local.event_sources.checkpoints import FileCheckpoints
from local.event_sources.kinesis import list_mappings
from local.event_sources.ports import PortError, Stream
from local.event_sources.settings import SERVICES, service_of
from local.event_sources.sources import open_stream

FOLDER: Final = ROOT / ".local"
RUNNER_STOP_S_MAX: Final = 30

Tell = Callable[[str], None]
"""Takes a line that says what happens next."""


class BusyError(Exception):
    """Another command is changing this local cloud right now."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a client needs to reach the local cloud: the content of `cloud.json`."""

    endpoint_url: str
    region: str
    stage: str
    outputs: Mapping[str, str]
    access_key_id: str
    secret_access_key: str


class LocalCloud:
    """One local cloud in one folder. Whatever state it was left in, `start` makes it whole."""

    def __init__(self, folder: Path = FOLDER, *, keep_state: bool = False) -> None:
        self.folder = folder
        self.sampled_file = folder / "sampled"
        self._keep_state = keep_state
        self.engine = Engine(folder)
        self.checkpoints = folder / "checkpoints"
        self.connection_file = folder / "cloud.json"
        self._deployed_file = folder / "deployed.json"
        self._runner_file = folder / "event-sources.process.json"
        self._runner_log = folder / "event-sources.log"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from changing this cloud meanwhile; raises BusyError if somebody does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError("another make run or make stop is at work on the local cloud") from None
            yield

    def start(self, tell: Tell) -> None:
        """Bring everything up that is not up, and deploy unless nothing changed.

        Raises EngineError or DeployError.
        """
        deploy.stop(self.folder)  # of a command that was killed: it would be in the way of this one's
        endpoint = self.engine.find()
        # A first deployment that did not end leaves resources in the way of the next one.
        if endpoint and _read(self._deployed_file).get("engine") != endpoint.identity:
            endpoint = None
        if endpoint is None:
            tell("Starting the local engine")
            self._clear()
            port = free_port()
            if port != PORT_FIRST:
                tell(f"Port {PORT_FIRST} is in use: taking {port}")
            endpoint = self.engine.start(port, keep_state=self._keep_state)
        if self._deploy(endpoint, tell):
            self.stop_runner()
        self.start_runner(endpoint)

    def restart_enforcing_iam(self) -> None:
        """Restart with the same content, every permission checked; needs `keep_state`."""
        self._restart(self.engine.restart_enforcing_iam)

    def restart_trusting(self) -> None:
        """Restart with the same content, no permission checked, as at first; needs `keep_state`."""
        self._restart(self.engine.restart_trusting)

    def _restart(self, restart: Callable[[], Endpoint]) -> None:
        self.stop_runner()
        endpoint = restart()
        self._note_deployed(endpoint)
        self.start_runner(endpoint)

    def stop(self) -> bool:
        """End everything, and drop what it held; returns whether anything ran."""
        ran = [deploy.stop(self.folder), self.stop_runner(), self.engine.stop()]
        self.connection_file.unlink(missing_ok=True)
        return any(ran)

    def start_runner(self, endpoint: Endpoint) -> None:
        """Start the event-source runner unless it runs."""
        if processes.find(self._runner_file):
            return
        environment = deploy.environment(endpoint, self.folder)
        environment["KITH_LOCAL_CHECKPOINTS"] = str(self.checkpoints)
        command = [sys.executable, "-m", "local.event_sources"]
        processes.start(command, environment, log=self._runner_log, file=self._runner_file)

    def stop_runner(self) -> bool:
        """Stop the event-source runner; it goes on from its checkpoints when it is started again."""
        return processes.stop(self._runner_file, RUNNER_STOP_S_MAX)

    def connection(self) -> Connection:
        """Read how to reach the cloud; raises FileNotFoundError if it is not up."""
        return Connection(**json.loads(self.connection_file.read_text()))

    def environment(self) -> dict[str, str]:
        """Give the environment for commands against this cloud."""
        endpoint = self.engine.find()
        if endpoint is None:
            raise FileNotFoundError("the local cloud does not run: make run starts it")
        return deploy.environment(endpoint, self.folder)

    def is_caught_up(self) -> bool:
        """Tell whether every consumer of a stream has dealt with every record of it."""
        endpoint = self.engine.find()
        if endpoint is None:
            return False
        try:
            mappings = list_mappings(deploy.client(endpoint, "lambda"))
        except PortError:
            return False
        client = cache(partial(deploy.client, endpoint))
        streams = {
            item["UUID"]: open_stream(item["EventSourceArn"], client, lambda: 0)
            for item in mappings
            if service_of(item) in SERVICES
        }
        return bool(streams) and all(
            _is_at_the_tip(stream, FileCheckpoints(self.checkpoints, uuid))
            for uuid, stream in streams.items()
        )

    def _deploy(self, endpoint: Endpoint, tell: Tell) -> bool:
        wanted, deployed = _state(endpoint), _read(self._deployed_file)
        if deployed == wanted and self.connection_file.exists():
            return False
        if deployed.get("engine") != endpoint.identity:
            tell("Running cdk bootstrap")
            deploy.bootstrap(endpoint, self.folder)
        tell("Running cdk deploy")
        outputs = deploy.deploy(endpoint, self.folder)
        connection = {
            "endpoint_url": endpoint.url,
            "region": REGION,
            "stage": deploy.STAGE,
            "outputs": outputs,
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        }
        self.connection_file.write_text(json.dumps(connection, indent=2) + "\n")
        self._note_deployed(endpoint)
        return True

    def _note_deployed(self, endpoint: Endpoint) -> None:
        self._deployed_file.write_text(json.dumps(_state(endpoint)))

    def _clear(self) -> None:
        """Drop what an earlier engine left: its checkpoints and state mean nothing to a new one."""
        self.stop()
        for name in ("checkpoints", "state", "s3", "tmp"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for file in (self.engine.log, self._runner_log, self.sampled_file):
            file.unlink(missing_ok=True)


def _is_at_the_tip(stream: Stream, checkpoints: FileCheckpoints) -> bool:
    """Tell whether a mapping has nothing outstanding in any shard of its stream."""
    known = checkpoints.load()
    try:
        shards = stream.shards()
        positions = {shard.shard_id: known[shard.shard_id].position for shard in shards}
        return bool(shards) and not any(
            position.kind == "AT_SEQUENCE_NUMBER" or stream.reader(shard_id).read(position, 1).records
            for shard_id, position in positions.items()
        )
    except (KeyError, PortError):  # not met by the runner yet
        return False


def _state(endpoint: Endpoint) -> dict[str, str]:
    """Say what is deployed where: when it differs from what was noted, it is deployed again."""
    return {"engine": endpoint.identity, "sources": deploy.fingerprint()}


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        return {}
