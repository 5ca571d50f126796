"""Verify: every event that came in is accounted for, or the build fails; a sample is compared."""

from collections.abc import Mapping
from typing import Final

import msgspec

from shared.app.rebuild.build import REPLAY, SCAN, BuildFailedError, BuildName
from shared.app.rebuild.formats import fetch_json
from shared.app.rebuild.plan import Extent
from shared.app.rebuild.ports import Objects, ProfileLines
from shared.app.rebuild.results import Linked, collect

SAMPLED_MAX: Final = 200


class Verified(msgspec.Struct, frozen=True):
    """Where the events went: `events_in` and `fanned_out` are the sum of the five that follow them.

    `fanned_out` is by how many events transformations made more; `repeated` are copies in overlapping objects
    of the archive. Of `sampled` profiles, `same` are equal in the active version, the `different` are there
    too, and the rest are not: new definitions make new profiles, and the active version has gone on.
    """

    events_in: int
    fanned_out: int
    folded: int
    dropped: int
    duplicate: int
    repeated: int
    quarantined: int
    profiles: int
    sampled: int = 0
    same: int = 0
    different: int = 0


def verify(name: BuildName, objects: Objects, lines: ProfileLines, active: int | None) -> Verified:
    """Add up what all workers counted.

    BuildFailedError if any is missing, or events are, or the transformation left none of them.
    """
    extent = fetch_json(objects, name.extent, Extent)
    linked = fetch_json(objects, name.linked, Linked)
    scanned, _ = collect(objects, name, SCAN, extent.parts)
    replayed, sample = collect(objects, name, REPLAY, linked.partitions)
    found = Verified(
        events_in=scanned["events_in"],
        fanned_out=scanned["events_fanned_out"],
        folded=replayed["events_folded"],
        dropped=sum(count for what, count in scanned.items() if what.startswith("dropped.")),
        duplicate=replayed["events_duplicate"],
        repeated=replayed["events_repeated"],
        quarantined=scanned["events_quarantined"],
        profiles=replayed["profiles"],
    )
    went = found.folded + found.dropped + found.duplicate + found.repeated + found.quarantined
    if found.events_in + found.fanned_out != went:
        raise BuildFailedError(f"of {found.events_in + found.fanned_out} events {went} are accounted for")
    replayed_in = found.folded + found.duplicate + found.repeated
    if scanned["contributions"] != replayed_in:
        raise BuildFailedError(f"of {scanned['contributions']} contributions {replayed_in} were replayed")
    if found.quarantined and not found.folded + found.dropped and _failed_transformation(scanned):
        raise BuildFailedError(f"transform.py: all {found.quarantined} events went to quarantine")
    return found if active is None else _compared(found, name, lines, active, sample)


def _failed_transformation(scanned: Mapping[str, int]) -> bool:
    return any(count for what, count in scanned.items() if what.startswith("quarantined.transform"))


def _compared(
    found: Verified, name: BuildName, lines: ProfileLines, active: int, sample: list[str]
) -> Verified:
    ids = sorted(sample)[:SAMPLED_MAX]
    new, old = lines.canonical(name.version, ids), lines.canonical(active, ids)
    both = new.keys() & old.keys()
    same = sum(new[one] == old[one] for one in both)
    return msgspec.structs.replace(found, sampled=len(ids), same=same, different=len(both) - same)
