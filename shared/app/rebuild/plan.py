"""Plan: choose T0, wait until the archive before it is complete, and list it as a manifest of parts.

Called again and again: each call does what can be done and says how long to wait for the rest. Every step is
found done when it was done before.
"""

from typing import Any, Final

import msgspec

from shared.app.rebuild.build import BuildName
from shared.app.rebuild.ports import Objects
from shared.app.registry import Registry

PART_BYTES: Final = 64 * 2**20
"""Archive bytes, compressed, that one Scan worker takes; a larger object is a part of its own."""
PART_OBJECTS_MAX: Final = 500
"""Objects of a part: its line is the worker's input, which Step Functions limits."""


class Timing(msgspec.Struct, frozen=True):
    """How long Plan and Follow wait, in seconds.

    `lead_s` is from the first call to T0; `marker_delay_s` from T0 until the markers are put, so that no
    record that arrived before T0 comes behind one; `poll_s` between two looks for what is awaited.
    """

    lead_s: int = 60
    marker_delay_s: int = 120
    poll_s: int = 15


class Planned(msgspec.Struct, frozen=True):
    """How far planning is; not `done`: call again in `wait_s` seconds. `manifest` is what Scan maps over."""

    done: bool
    wait_s: int = 0
    t0: int = 0
    parts: int = 0
    objects: int = 0
    bytes: int = 0
    manifest: str = ""


class Part(msgspec.Struct, frozen=True):
    """A line of Scan's manifest: the objects (key, bytes) that one worker reads. The worker's input."""

    part: int
    objects: list[tuple[str, int]]


def plan(
    registry: Registry, objects: Objects, shards: Any, name: BuildName, now: int, timing: Timing
) -> Planned:
    """Plan a build as far as possible at a time (ms UTC). BuildEndedError if it is not building any more."""
    raise NotImplementedError
