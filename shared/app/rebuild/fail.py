"""Fail: a state failed for good. The version says why, and its consumer goes; the active one serves on."""

import msgspec

from shared.app.consumers import Consumers
from shared.app.rebuild.build import BuildName
from shared.app.registry import Registry


class Failed(msgspec.Struct, frozen=True):
    """Why the version failed, as its row says: a cancelled one keeps the reason it had."""

    reason: str


def fail(registry: Registry, consumers: Consumers, name: BuildName, reason: str) -> Failed:
    """Mark the version as failed, unless it has ended already, and remove its consumer if it has not won."""
    raise NotImplementedError
