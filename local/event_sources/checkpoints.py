"""Checkpoints of a mapping in one JSON file, replaced as a whole at every change."""

import json
import os
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Final

import msgspec

from local.event_sources.ports import PortError
from local.event_sources.shard import Checkpoint


class FileCheckpoints:
    """The checkpoints of one mapping, in `{folder}/{uuid}.json`; safe for several threads."""

    def __init__(self, folder: Path, uuid: str) -> None:
        self._path = folder / f"{uuid}.json"
        self._lock = threading.Lock()
        self._checkpoints: dict[str, Checkpoint] = {}

    def load(self) -> dict[str, Checkpoint]:
        """Load all checkpoints by shard id, none if the mapping is new; PortError if they are damaged."""
        with self._lock:
            if self._path.exists():
                try:
                    self._checkpoints = _DECODER.decode(self._path.read_bytes())
                except (msgspec.MsgspecError, ValueError, RecursionError):
                    raise PortError(f"{self._path} is damaged: without it, all records come again") from None
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


_DECODER: Final = msgspec.json.Decoder(dict[str, Checkpoint])
