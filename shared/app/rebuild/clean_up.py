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
    """How far it is. Not `done`: call again. `deleted` counts the items of this call."""

    done: bool
    deleted: int


class Sweep(msgspec.Struct, frozen=True):
    """How far the sweeps are: which one it is, and where it goes on.

    Kept in an object and told to nobody: a cursor names keys of items, and these hold values of identifiers.
    """

    number: int = 1
    cursor: str = ""


def clean_up(
    registry: Registry,
    items: VersionItems,
    quarantine: QuarantineStore,
    objects: Objects,
    name: BuildName,
    may_go_on: MayGoOn,
) -> CleanedUp:
    """Delete what a version has left, from where the last call stopped, for as long as there is time.

    BuildFailedError if the version is active or building.
    """
    row = registry.version(name.builder, name.version)
    if row is not None and row.status in (Status.ACTIVE, Status.BUILDING):
        raise BuildFailedError(f"version {name.version} of {name.builder} is {row.status}")
    found = objects.get(name.sweep)
    at = msgspec.json.decode(found[0], type=Sweep) if found else Sweep()
    swept = items.sweep(name.builder, name.version, at.cursor, may_go_on)
    if swept.cursor is not None:
        return _go_on(objects, name, Sweep(at.number, swept.cursor), swept.deleted)
    if at.number < SWEEPS:
        return _go_on(objects, name, Sweep(at.number + 1), swept.deleted)
    for stored in quarantine.list(name.builder):
        if stored.entry.version == name.version:
            quarantine.delete(stored)
    objects.delete_all(one.key for one in objects.list(name.prefix))
    return CleanedUp(done=True, deleted=swept.deleted)


def _go_on(objects: Objects, name: BuildName, at: Sweep, deleted: int) -> CleanedUp:
    """Leave how far it is for the next call."""
    objects.put(name.sweep, msgspec.json.encode(at))
    return CleanedUp(done=False, deleted=deleted)
