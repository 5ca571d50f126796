"""Follow: start the version's own consumer at T0, and wait until it has caught up."""

from typing import Final

import msgspec

from shared import contract
from shared.app.consumers import Consumer, Consumers
from shared.app.markers import Shards
from shared.app.rebuild.build import BuildEndedError, BuildFailedError, BuildName, ensure_building
from shared.app.rebuild.plan import Timing, read_up_to
from shared.app.rebuild.ports import Objects
from shared.app.registry import Registry, Status, Version

HOUR_MS: Final = 3_600_000
FOLLOWS_H_MAX: Final = contract.STREAM_RETENTION_H - 6
"""How long after T0 a version must have caught up: the stream may lose what it still has to read."""
BEHIND_MS_MAX: Final = HOUR_MS
"""How far behind the stream a version counts as caught up; far below the age at which records are skipped."""
RECORD_AGE: Final = "MaximumRecordAgeInSeconds"
ANY_AGE: Final = -1
LANES: Final = "ParallelizationFactor"


class Followed(msgspec.Struct, frozen=True):
    """How far the consumer is. Not `done`: call again in `wait_s` seconds."""

    done: bool
    wait_s: int = 0


def follow(
    registry: Registry,
    consumers: Consumers,
    consumer: Consumer,
    objects: Objects,
    shards: Shards,
    name: BuildName,
    now: int,
    timing: Timing,
) -> Followed:
    """Start the consumer, put markers on every shard for it, and see whether it has come by them all.

    BuildFailedError when that takes so long (`now` is ms UTC) that the stream loses what is still to be read.
    """
    row = ensure_building(registry, name)
    done = _has_caught_up(objects, shards, name, now, consumer.get(LANES, 1))
    if not done and now - row.t0 > FOLLOWS_H_MAX * HOUR_MS:
        raise BuildFailedError(
            f"it has not caught up {FOLLOWS_H_MAX} hours after T0, and the stream keeps records for "
            f"{contract.STREAM_RETENTION_H}: make the build faster (rebuild_write_units, "
            "rebuild_concurrency, parallelization), and publish again"
        )
    consumers.ensure_alias(name.builder, name.version)
    # All since T0 waits for the consumer, in order: what is old is not to be skipped, as it is live, where
    # it has been tried for long. Duplicates are known all the same: a memory forgets the oldest of many
    # events, never by the clock, and an event that comes again has the arrival that it had.
    waits_for_all = {**consumer, RECORD_AGE: ANY_AGE}
    try:
        consumers.ensure_mapping(name.builder, name.version, row.t0, consumer if done else waits_for_all)
    finally:
        # Also if that has failed: whoever ended the version may have removed its alias just before.
        _ensure_still_building(registry, consumers, consumer, row)
    return Followed(done=True) if done else Followed(done=False, wait_s=timing.wait_s(now - row.t0))


def _has_caught_up(objects: Objects, shards: Shards, name: BuildName, now: int, lanes: int) -> bool:
    """Tell whether the consumer is about where the stream is: markers put lately are behind it.

    While it came to the first ones the stream went on: what took hours puts others, as often as it takes.
    """
    reader = contract.version_alias(name.builder, name.version)
    number = 0
    while (at := read_up_to(objects, shards, name, reader, now, number, lanes)) is not None:
        if now - at <= BEHIND_MS_MAX:
            return True
        number += 1
    return False


def _ensure_still_building(
    registry: Registry, consumers: Consumers, consumer: Consumer, row: Version
) -> None:
    """Undo what was done to the consumer of a version that has ended meanwhile; BuildEndedError if it has.

    Whoever ended it may have removed its consumer just before this made it.
    """
    name = BuildName(row.builder, row.version)
    try:
        ensure_building(registry, name)
    except BuildEndedError:
        ended = registry.version(name.builder, name.version)
        if ended is not None and ended.status is Status.ACTIVE:  # this call was given up, another was done
            consumers.ensure_mapping(name.builder, name.version, row.t0, consumer)
        else:
            consumers.remove(name.builder, name.version)
        raise
