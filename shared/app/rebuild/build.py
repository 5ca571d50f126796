"""A build: one version of a builder on its way, the names of its objects, and how it may end early."""

from dataclasses import dataclass
from typing import Final

from shared import contract
from shared.app.functions.ports import ProfileFunction, TimeLeft
from shared.app.registry import Registry, Status, Version
from shared.core.compile import Builder

SCAN: Final = "scan"
LINK: Final = "link"
SHUFFLE: Final = "shuffle"
REPLAY: Final = "replay"

MAP_ITEMS_MAX: Final = 80_000
"""Parts, and partitions: what the children of a map answer must fit into what Step Functions passes on."""


class BuildEndedError(Exception):
    """The version is no longer building: it was cancelled, has failed, or is finished."""


class BuildFailedError(Exception):
    """The build cannot go on, and trying again would not help; the message holds no personal value."""


@dataclass(frozen=True, slots=True)
class BuildName:
    """Which version of which builder, and what its objects are called."""

    builder: str
    version: int

    @property
    def prefix(self) -> str:
        """Return what the names of all objects begin with."""
        return f"{contract.PREFIX_REBUILD}{self.builder}/{contract.registry_version(self.version)}/"

    @property
    def scan_manifest(self) -> str:
        """Return the key of the lines that Scan maps over: one `Part` each."""
        return f"{self.prefix}scan.jsonl"

    @property
    def extent(self) -> str:
        """Return the key of what there is to scan, which is written once the manifest is."""
        return f"{self.prefix}extent.json"

    @property
    def linked(self) -> str:
        """Return the key of what Link found."""
        return f"{self.prefix}linked.json"

    @property
    def shuffle_manifest(self) -> str:
        """Return the key of the lines that Shuffle maps over: `{"part": n}` each."""
        return f"{self.prefix}shuffle.jsonl"

    @property
    def replay_manifest(self) -> str:
        """Return the key of the lines that Replay maps over: `{"partition": n}` each."""
        return f"{self.prefix}replay.jsonl"

    def markers(self, reader: str) -> str:
        """Return the key of the token and the shards of the markers put for a reader."""
        return f"{self.prefix}markers/{reader}.json"

    def spool(self, part: int, digest: str) -> str:
        """Return the key of a part's contributions, by their component within the part."""
        return f"{self.prefix}spool/{part:06d}-{digest}"

    def links(self, part: int, digest: str) -> str:
        """Return the key of what links the components of a spool to those of other parts."""
        return f"{self.prefix}links/{part:06d}-{digest}"

    def aside(self, part: int, digest: str) -> str:
        """Return the key of some of what a part has for quarantine."""
        return f"{self.prefix}aside/{part:06d}-{digest}"

    def assignments(self, part: int) -> str:
        """Return the key of where each component of a part belongs."""
        return f"{self.prefix}assignments/{part:06d}"

    def shuffled(self, part: int) -> str:
        """Return the key of a part's contributions, by partition."""
        return f"{self.prefix}shuffled/{part:06d}"

    def names(self, partition: int) -> str:
        """Return the key of the ids that the profiles of a partition take over from the active version."""
        return f"{self.prefix}names/{partition:06d}"

    def checkpoint(self, partition: int) -> str:
        """Return the key of how far a partition's replay has come."""
        return f"{self.prefix}checkpoints/{partition:06d}"

    @property
    def sweep(self) -> str:
        """Return the key of how far the version is deleted."""
        return f"{self.prefix}sweep.json"

    def results(self, state: str) -> str:
        """Return what the keys of a state's results begin with."""
        return f"{self.prefix}results/{state}/"

    def result(self, state: str, number: int) -> str:
        """Return the key of what a worker counted: of a part, or of a partition."""
        return f"{self.results(state)}{number:06d}.json"


@dataclass(frozen=True, slots=True)
class Build:
    """A version that is being built, by its compiled definition, from the records that arrived before `t0`.

    `t0` is ms UTC. `function` runs the builder's profile function, if it has one, for
    which there are `left_s` seconds; without that, any number or none, as `MayGoOn` says.
    """

    builder: Builder
    version: int
    t0: int
    function: ProfileFunction | None = None
    left_s: TimeLeft | None = None

    @property
    def name(self) -> BuildName:
        """Return which version this is."""
        return BuildName(self.builder.name, self.version)


def ensure_building(registry: Registry, name: BuildName) -> Version:
    """Return the version's row; BuildEndedError unless it is still building. Every worker asks first."""
    row = registry.version(name.builder, name.version)
    if row is None:
        raise BuildEndedError(f"the registry has no version {name.version} of {name.builder}")
    if row.status is not Status.BUILDING:
        raise BuildEndedError(f"version {name.version} of {name.builder} is {row.status}: {row.reason}")
    return row


def ensure_same_release(row: Version, release: str) -> None:
    """Raise BuildFailedError if workers of another release have begun the build.

    Their objects may mean other things, and one version's profiles are made by one engine.
    """
    if row.release != release:
        raise BuildFailedError("another release of Kith was deployed while it was being built: publish again")
