"""Follows the event source mappings as they come, change and go, and runs a worker per shard."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from local.event_sources.ports import Checkpoints, PortError, Stream
from local.event_sources.settings import (
    SERVICES,
    Position,
    Settings,
    UnsupportedMappingError,
    read_settings,
    service_of,
)
from local.event_sources.shard import Checkpoint, ShardInfo, startable
from local.event_sources.worker import Ports, ShardWorker

STOP_S_MAX = 20
"""How long a stopping worker may wait for the function it has just invoked."""

SHARDS_EVERY_MS = 5_000
"""How often a mapping looks for new shards."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outside:
    """Makes the ports of each mapping; `connect` raises PortError."""

    connect: Callable[[Settings, Checkpoints], tuple[Stream, Ports]]
    checkpoints: Callable[[str], Checkpoints]


@dataclass(frozen=True, slots=True)
class _Running:
    worker: ShardWorker
    thread: threading.Thread
    stop: threading.Event

    def end(self) -> None:
        """Ask the worker to end after what it has in flight."""
        self.stop.set()
        self.worker.wake()


class MappingRunner:
    """Runs one mapping: a worker per shard, children only after their parents are drained."""

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self.settings = settings
        self._checkpoints = outside.checkpoints(settings.uuid)
        self._known = self._checkpoints.load()
        self._stream, self._ports = outside.connect(settings, self._checkpoints)
        self._running: dict[str, _Running] = {}
        self._next_listing_ms = 0

    def tick(self) -> None:
        """Start the shards that may start; cheap unless it is time to list them, or one has ended."""
        ended = [shard_id for shard_id, item in self._running.items() if not item.thread.is_alive()]
        for shard_id in ended:
            self._known[shard_id] = self._running.pop(shard_id).worker.shard.checkpoint()
        now_ms = self._ports.clock()
        if not ended and now_ms < self._next_listing_ms:
            return
        try:
            listed = self._stream.shards()
        except PortError as error:
            logger.warning("%s: the stream cannot be listed: %s", self.settings.stream_arn, error)
            self._next_listing_ms = now_ms + 1000
            return
        self._next_listing_ms = now_ms + SHARDS_EVERY_MS
        self._meet(listed)
        finished = {shard_id for shard_id, checkpoint in self._known.items() if checkpoint.finished}
        for info in startable(listed, finished):
            self._start(info)

    def stop(self, *, forget: bool = False) -> None:
        """End all workers after what they have in flight; `forget` drops the checkpoints too."""
        for item in self._running.values():
            item.end()
        for item in self._running.values():
            item.thread.join(STOP_S_MAX)
        self._running.clear()
        if forget:
            self._checkpoints.forget()

    def _meet(self, listed: Iterable[ShardInfo]) -> None:
        """Give every shard that is seen for the first time the position it starts from."""
        # Shards that appear later are children of known ones: nothing of theirs may be missed.
        start = Position("TRIM_HORIZON") if self._known else self.settings.start
        for info in listed:
            known = self._known.get(info.shard_id)
            if known is None:
                self._remember(info, Checkpoint(start, incarnation=info.incarnation))
            elif known.incarnation != info.incarnation:
                # The engine numbers shards anew after UpdateShardCount: the old one is gone.
                self._remember(info, Checkpoint(Position("TRIM_HORIZON"), incarnation=info.incarnation))

    def _remember(self, info: ShardInfo, checkpoint: Checkpoint) -> None:
        running = self._running.pop(info.shard_id, None)
        if running:
            running.end()
            running.thread.join(STOP_S_MAX)
        self._known[info.shard_id] = checkpoint
        self._checkpoints.save(info.shard_id, checkpoint)

    def _start(self, info: ShardInfo) -> None:
        if info.shard_id in self._running:
            return
        checkpoint = self._known[info.shard_id]
        worker = ShardWorker(
            self.settings, info.shard_id, checkpoint, self._stream.reader(info.shard_id), self._ports
        )
        name = f"{self.settings.uuid[:8]}-{info.shard_id}"
        stop = threading.Event()
        thread = threading.Thread(target=worker.run, args=(stop,), name=name, daemon=True)
        self._running[info.shard_id] = _Running(worker, thread, stop)
        thread.start()


class Supervisor:
    """Keeps one MappingRunner per enabled mapping of a source that is run here."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._runners: dict[str, MappingRunner] = {}
        self._refused: set[str] = set()

    def tick(self, mappings: Iterable[Mapping[str, Any]]) -> None:
        """Adapt to the mappings as they are now, and let each of them look for shards."""
        listed = {item["UUID"]: item for item in mappings if service_of(item) in SERVICES}
        wanted = {
            uuid: settings
            for uuid, settings in ((uuid, self._settings(item)) for uuid, item in listed.items())
            if settings is not None and settings.enabled
        }
        for uuid in [uuid for uuid, runner in self._runners.items() if not _same(runner, wanted.get(uuid))]:
            logger.info("mapping %s: stopped", uuid)
            self._runners.pop(uuid).stop(forget=uuid not in listed)
        for uuid, settings in wanted.items():
            if uuid in self._runners or self._begin(uuid, settings):
                self._runners[uuid].tick()

    def stop(self) -> None:
        """End all mappings; their checkpoints stay."""
        for runner in self._runners.values():
            runner.stop()
        self._runners.clear()

    def _begin(self, uuid: str, settings: Settings) -> bool:
        try:
            self._runners[uuid] = MappingRunner(settings, self._outside)
        except PortError as error:
            logger.warning("mapping %s cannot start yet: %s", uuid, error)
            return False
        logger.info("mapping %s: started: %s", uuid, settings)
        return True

    def _settings(self, mapping: Mapping[str, Any]) -> Settings | None:
        try:
            return read_settings(mapping)
        except UnsupportedMappingError as error:
            if mapping["UUID"] not in self._refused:
                self._refused.add(mapping["UUID"])
                logger.error("mapping %s is not run: %s", mapping["UUID"], error)  # noqa: TRY400 - says it all
            return None


def _same(runner: MappingRunner, settings: Settings | None) -> bool:
    """Compare but for the start: LATEST is read off a time that changes with every update."""
    return settings is not None and replace(settings, start=runner.settings.start) == runner.settings
