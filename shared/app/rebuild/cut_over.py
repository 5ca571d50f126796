"""CutOver: one conditional write makes the new version the active one; then the old one's consumer goes."""

from dataclasses import replace

import msgspec

from shared.app.consumers import Consumers
from shared.app.rebuild.build import BuildEndedError, BuildName, ensure_building
from shared.app.rebuild.clean_up import to_clean_up
from shared.app.registry import Registry, Status


class CutOver(msgspec.Struct, frozen=True):
    """Which version took over, and the newest one before it that is to be cleaned up: 0 for none.

    CleanUp looks for older ones itself.
    """

    active: int
    retired: int


def cut_over(registry: Registry, consumers: Consumers, name: BuildName, now: int) -> CutOver:
    """Make the version active at a time (ms UTC); again is the same as once.

    So it is for a version that was active and has been replaced since: its own cut-over may have died
    halfway, and be taken up again late. BuildEndedError if it has been cancelled; RegistryConflictError if
    anything changes meanwhile.
    """
    try:
        row = ensure_building(registry, name)
    except BuildEndedError:
        # Only now, as another call may make it active at any moment before.
        ended = registry.version(name.builder, name.version)
        if ended is None or ended.status is Status.FAILED:
            raise
    else:
        active = registry.active().get(name.builder)
        registry.activate(replace(row, finished_at=now), was=active)
    for old in registry.versions(name.builder):
        # All of them: which one was replaced is no longer known if this, or an earlier one, was done halfway.
        if old.version < name.version and old.status in (Status.ACTIVE, Status.RETIRED):
            if old.status is Status.ACTIVE:
                registry.replace(old, replace(old, status=Status.RETIRED))
            consumers.remove(name.builder, old.version)
    left = to_clean_up(registry, name)
    return CutOver(name.version, left[-1].version if left else 0)
