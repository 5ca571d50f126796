"""CleanUp: delete all that a version has left: its items, quarantine and errors, the objects of its build.

Used for a retired version after the grace period, and for one that failed or was cancelled.
"""

from dataclasses import replace
from itertools import islice
from typing import Final

import msgspec

from shared.app.consumers import Consumers
from shared.app.functions.errors import prefix_of as errors_of
from shared.app.quarantine import prefix_of
from shared.app.rebuild.build import BuildFailedError, BuildName
from shared.app.rebuild.formats import find_json
from shared.app.rebuild.ports import MayGoOn, Objects, VersionItems
from shared.app.registry import Registry, Status, Version
from shared.contract import PREFIX_QUARANTINE

SWEEPS: Final = 2
"""The second finds what was written behind the first, by whom nobody thought of."""
DELETED_TOGETHER: Final = 1000
"""Objects that are deleted before there is a look at the time: as many as S3 takes in one request."""


class CleanedUp(msgspec.Struct, frozen=True):
    """How far it is. Not `done`: call again. `deleted` counts the items of this call."""

    done: bool
    deleted: int


class Sweep(msgspec.Struct, frozen=True):
    """How far the sweeps are: which one it is, and where it goes on; beyond `SWEEPS` all items are gone.

    Kept in an object and told to nobody: a cursor names keys of items, and these hold values of identifiers.
    """

    number: int = 1
    cursor: str = ""


def clean_up(
    registry: Registry,
    consumers: Consumers,
    items: VersionItems,
    objects: Objects,
    name: BuildName,
    now: int,
    may_go_on: MayGoOn,
) -> CleanedUp:
    """Delete what a version has left, from where the last call stopped, for as long as there is time.

    Before a retired version come older ones that nobody has cleaned up, because what was to do so was lost.
    `now` is ms UTC. BuildFailedError if the version is active or building.
    """
    row = registry.version(name.builder, name.version)
    if row is not None and row.status in (Status.ACTIVE, Status.BUILDING):
        raise BuildFailedError(f"version {name.version} of {name.builder} is {row.status}")
    older = to_clean_up(registry, name) if row is not None and row.status is Status.RETIRED else []
    if older:
        row, name = older[0], BuildName(name.builder, older[0].version)
    is_stored = row is None or row.has_items
    cleaned = _clean_up(consumers, items if is_stored else None, objects, name, may_go_on)
    done = cleaned.done or _is_done_by_another(registry, row)
    if cleaned.done and row is not None:
        registry.replace(row, replace(row, cleaned_at=now))
    if done:
        # Only now: a worker that was late, and puts it once more, then sees in the row that all is done.
        objects.delete_all([name.sweep])
    return CleanedUp(done=done and not older, deleted=cleaned.deleted)


def to_clean_up(registry: Registry, name: BuildName) -> list[Version]:
    """Return the retired versions before this one that have not been cleaned up, the oldest first."""
    return [
        one
        for one in registry.versions(name.builder)
        if one.version < name.version and one.status is Status.RETIRED and not one.cleaned_at
    ]


def _is_done_by_another(registry: Registry, row: Version | None) -> bool:
    """Tell whether a version was cleaned up since its row was read."""
    latest = None if row is None else registry.version(row.builder, row.version)
    return row is not None and latest is not None and latest.cleaned_at != row.cleaned_at


def _clean_up(
    consumers: Consumers, items: VersionItems | None, objects: Objects, name: BuildName, may_go_on: MayGoOn
) -> CleanedUp:
    """Go on with one version: first its consumer, if a worker that was late has brought it back.

    No `items`: it can have none, and the tables need not be looked through. How far it is stays, to the end.
    """
    consumers.remove(name.builder, name.version)
    at = find_json(objects, name.sweep, Sweep) or Sweep()
    if items is not None and at.number <= SWEEPS:
        swept = items.sweep(name.builder, name.version, at.cursor, may_go_on)
        ended = swept.cursor is None
        left = Sweep(at.number + 1) if ended else Sweep(at.number, swept.cursor or "")
        objects.put(name.sweep, msgspec.json.encode(left))
        return CleanedUp(done=False, deleted=swept.deleted)
    prefixes = (
        PREFIX_QUARANTINE + prefix_of(name.builder, name.version),
        errors_of(name.builder, name.version),
        name.prefix,
    )
    for prefix in prefixes:
        if not _delete_all(objects, prefix, name.sweep, may_go_on):
            return CleanedUp(done=False, deleted=0)
    return CleanedUp(done=True, deleted=0)


def _delete_all(objects: Objects, prefix: str, kept: str, may_go_on: MayGoOn) -> bool:
    """Delete the objects below a prefix but one; False if there is no time for all."""
    keys = (one.key for one in objects.list(prefix) if one.key != kept)
    while some := list(islice(keys, DELETED_TOGETHER)):
        if not may_go_on():
            return False
        objects.delete_all(some)
    return True
