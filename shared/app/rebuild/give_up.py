"""Giving up: a worker that cannot go on says why in the registry, where others see that the build has ended.

A map of the state machine only tells that some child failed; without this nobody would know which, and why.
"""

from dataclasses import replace

from shared.app.rebuild.build import BuildName
from shared.app.registry import Registry, RegistryConflictError, Status


def give_up(registry: Registry, name: BuildName, reason: str, now: int) -> None:
    """Mark a version that is building as failed; what ended before keeps its reason. `now` is ms UTC."""
    row = registry.version(name.builder, name.version)
    if row is None or row.status is not Status.BUILDING:
        return
    try:
        registry.replace(row, replace(row, status=Status.FAILED, reason=reason, finished_at=now))
    except RegistryConflictError:
        return  # another worker was faster, or somebody cancelled the build
