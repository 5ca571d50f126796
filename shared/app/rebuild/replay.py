"""Replay: one partition, component by component, in order of arrival, through the engine that runs live.

Each finished profile is written once. A worker that runs out of time leaves a checkpoint and is called again.
"""

import msgspec

from shared.app.rebuild.build import Build
from shared.app.rebuild.ports import ActiveProfiles, Loader, MayGoOn, Objects, Progress


class PartitionNumber(msgspec.Struct, frozen=True):
    """A line of Replay's manifest. The worker's input."""

    partition: int


class Replayed(msgspec.Struct, frozen=True):
    """How far a partition is; not `done`: call again. `profiles` counts those written so far."""

    done: bool
    partition: int
    profiles: int


def replay(
    build: Build,
    partition: PartitionNumber,
    objects: Objects,
    loader: Loader,
    active: ActiveProfiles | None,
    progress: Progress,
    may_go_on: MayGoOn,
) -> Replayed:
    """Replay a partition from its checkpoint on; `active` is None if no version is active."""
    raise NotImplementedError
