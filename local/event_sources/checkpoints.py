"""Checkpoints of a mapping in one JSON file, replaced as a whole at every change."""

import json
import os
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from local.event_sources.settings import Position
from local.event_sources.shard import Checkpoint


class FileCheckpoints:
    """The checkpoints of one mapping, in `{folder}/{uuid}.json`; safe for several threads."""

    def __init__(self, folder: Path, uuid: str) -> None:
        self._path = folder / f"{uuid}.json"
        self._lock = threading.Lock()
        self._checkpoints: dict[str, Checkpoint] = {}

    def load(self) -> dict[str, Checkpoint]:
        """Load all checkpoints by shard id; none if the mapping is new."""
        with self._lock:
            if self._path.exists():
                stored = json.loads(self._path.read_text())
                self._checkpoints = {shard_id: _decode(item) for shard_id, item in stored.items()}
            return dict(self._checkpoints)

    def save(self, shard_id: str, checkpoint: Checkpoint) -> None:
        """Store one shard's checkpoint; a crash leaves the file as it was or as it will be."""
        with self._lock:
            self._checkpoints[shard_id] = checkpoint
            stored = {shard_id: asdict(item) for shard_id, item in self._checkpoints.items()}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(".draft")
            draft.write_text(json.dumps(stored))
            os.replace(draft, self._path)  # noqa: PTH105 - the atomic one, by its name

    def forget(self) -> None:
        """Remove the file of a mapping that is gone."""
        with self._lock:
            self._path.unlink(missing_ok=True)


def _decode(item: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        position=Position(**item["position"]),
        parallelization=item["parallelization"],
        done={int(index): sequence for index, sequence in item["done"].items()},
        finished=item["finished"],
        incarnation=item["incarnation"],
    )
