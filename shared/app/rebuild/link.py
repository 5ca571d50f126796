"""Link: which components of all parts may be one person, and which partition each of them goes to."""

import msgspec

from shared.app.rebuild.build import BuildName
from shared.app.rebuild.ports import Objects, Progress


class Linked(msgspec.Struct, frozen=True):
    """What was linked; the manifests are the keys for the maps of Shuffle and Replay."""

    parts: int
    components: int
    partitions: int
    shuffle_manifest: str
    replay_manifest: str


def link(name: BuildName, objects: Objects, progress: Progress) -> Linked:
    """Link all parts, and assign their components to partitions."""
    raise NotImplementedError
