"""CutOver: one conditional write makes the new version the active one; then the old one's consumer goes."""

from dataclasses import replace

import msgspec

from shared.app.consumers import Consumers
from shared.app.rebuild.build import BuildName, ensure_building
from shared.app.registry import Registry, Status


class CutOver(msgspec.Struct, frozen=True):
    """Which version is active now, and which one it replaced: 0 for none."""

    active: int
    retired: int


def cut_over(registry: Registry, consumers: Consumers, name: BuildName, now: int) -> CutOver:
    """Make the version active at a time (ms UTC); again is the same as once.

    BuildEndedError if it has been cancelled; RegistryConflictError if anything changes meanwhile.
    """
    row = registry.version(name.builder, name.version)
    if row is None or row.status is not Status.ACTIVE:
        row = ensure_building(registry, name)
        active = registry.active().get(name.builder)
        registry.activate(replace(row, finished_at=now), was=active)
    retired = 0
    for old in registry.versions(name.builder):
        # All of them: the one that was replaced is no longer known if this was done halfway.
        if old.version < name.version and old.status is Status.ACTIVE:
            registry.replace(old, replace(old, status=Status.RETIRED))
        if old.version < name.version and old.status in (Status.ACTIVE, Status.RETIRED):
            retired = old.version
    if retired:
        consumers.remove(name.builder, retired)
    return CutOver(name.version, retired)
