"""CleanUp: delete all that a version has left: its items, its quarantine, the objects of its build.

Used for a retired version after the grace period, and for one that failed or was cancelled.
"""

from typing import Final

import msgspec

from shared.app.quarantine import QuarantineStore
from shared.app.rebuild.build import BuildFailedError, BuildName
from shared.app.rebuild.ports import MayGoOn, Objects, VersionItems
from shared.app.registry import Registry, Status

SWEEPS: Final = 2
"""The second finds what a worker wrote behind the first, that had not yet noticed the end of its build."""


class CleanedUp(msgspec.Struct, frozen=True):
    """How far it is. Not `done`: call again with `cursor`. `deleted` counts the items of this call."""

    done: bool
    cursor: str
    deleted: int


def clean_up(
    registry: Registry,
    items: VersionItems,
    quarantine: QuarantineStore,
    objects: Objects,
    name: BuildName,
    cursor: str,
    may_go_on: MayGoOn,
) -> CleanedUp:
    """Delete what a version has left, from `cursor` (at first empty) on, for as long as there is time.

    BuildFailedError if the version is active or building.
    """
    row = registry.version(name.builder, name.version)
    if row is not None and row.status in (Status.ACTIVE, Status.BUILDING):
        raise BuildFailedError(f"version {name.version} of {name.builder} is {row.status}")
    sweep, _, at = cursor.partition(":")
    number = int(sweep or 1)
    swept = items.sweep(name.builder, name.version, at, may_go_on)
    if swept.cursor is not None:
        return CleanedUp(done=False, cursor=f"{number}:{swept.cursor}", deleted=swept.deleted)
    if number < SWEEPS:
        return CleanedUp(done=False, cursor=f"{number + 1}:", deleted=swept.deleted)
    for stored in quarantine.list(name.builder):
        if stored.entry.version == name.version:
            quarantine.delete(stored)
    objects.delete_all(one.key for one in objects.list(name.prefix))
    return CleanedUp(done=True, cursor="", deleted=swept.deleted)
