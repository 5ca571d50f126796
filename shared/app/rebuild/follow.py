"""Follow: start the version's own consumer at T0, and wait until it has caught up."""

import msgspec

from shared import contract
from shared.app.consumers import Consumer, Consumers
from shared.app.markers import Shards
from shared.app.rebuild.build import BuildName, ensure_building
from shared.app.rebuild.plan import Timing, is_read
from shared.app.rebuild.ports import Objects
from shared.app.registry import Registry


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
    timing: Timing,
) -> Followed:
    """Start the consumer, put a marker on every shard for it, and see whether it has come by them all."""
    row = ensure_building(registry, name)
    consumers.ensure_alias(name.builder, name.version)
    consumers.ensure_mapping(name.builder, name.version, row.t0, consumer)
    if is_read(objects, shards, name, contract.version_alias(name.builder, name.version)):
        return Followed(done=True)
    return Followed(done=False, wait_s=timing.poll_s)
