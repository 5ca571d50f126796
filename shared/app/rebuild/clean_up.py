"""CleanUp: delete all that a version has left: its items, its quarantine, the objects of its build.

Used for a retired version after the grace period, and for one that failed or was cancelled.
"""

import msgspec

from shared.app.quarantine import QuarantineStore
from shared.app.rebuild.build import BuildName
from shared.app.rebuild.ports import MayGoOn, Objects, VersionItems
from shared.app.registry import Registry


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
    raise NotImplementedError
