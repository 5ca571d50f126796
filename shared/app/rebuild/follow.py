"""Follow: start the version's own consumer at T0, and wait until it has caught up."""

from typing import Any

import msgspec

from shared.app.consumers import Consumer, Consumers
from shared.app.rebuild.build import BuildName
from shared.app.rebuild.plan import Timing
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
    shards: Any,
    name: BuildName,
    timing: Timing,
) -> Followed:
    """Start the consumer, put a marker on every shard for it, and see whether it has come by them all."""
    raise NotImplementedError
