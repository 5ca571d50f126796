"""Fail: a state failed for good. The version says why, and its consumer goes; the active one serves on."""

from dataclasses import replace

import msgspec

from shared.app.consumers import Consumers
from shared.app.rebuild.build import BuildName
from shared.app.registry import Registry, Status


class Failed(msgspec.Struct, frozen=True):
    """Why the version failed, as its row says; empty if it has not, for it became active after all."""

    reason: str


def fail(registry: Registry, consumers: Consumers, name: BuildName, reason: str, now: int) -> Failed:
    """Mark the version as failed at a time (ms UTC), and remove its consumer.

    A version that has ended keeps the reason it had; one that is active or retired keeps everything.
    RegistryConflictError if it ends just now.
    """
    row = registry.version(name.builder, name.version)
    if row is None:
        return Failed(reason)
    if row.status in (Status.ACTIVE, Status.RETIRED):
        return Failed("")
    if row.status is Status.BUILDING:
        row = registry.replace(row, replace(row, status=Status.FAILED, reason=reason, finished_at=now))
    consumers.remove(name.builder, name.version)
    return Failed(row.reason)
