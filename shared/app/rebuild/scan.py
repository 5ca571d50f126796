"""Scan: one part of the archive, from records to contributions, grouped by who may be one person.

    objects -> records before T0 -> events -> contributions -> components over their identifiers

Leaves a spool (the contributions, component by component), links (each component's identifiers, hashed) and
what was counted. What is no event goes to the quarantine of the new version.
"""

import msgspec

from shared.app.quarantine import QuarantineStore
from shared.app.rebuild.build import Build
from shared.app.rebuild.plan import Part
from shared.app.rebuild.ports import Objects, Progress


class Scanned(msgspec.Struct, frozen=True):
    """What a worker read: the numbers of records, events and contributions, and of its components."""

    part: int
    records: int
    events: int
    contributions: int
    components: int


def scan(
    build: Build, part: Part, objects: Objects, quarantine: QuarantineStore, progress: Progress
) -> Scanned:
    """Read a part of the archive.

    BuildFailedError that names the object if one is gone or damaged.
    """
    raise NotImplementedError
