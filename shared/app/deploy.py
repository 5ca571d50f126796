"""What a deploy does with the builders: the first version of each new one, drafts of the changed ones.

Every step may be repeated: a deploy that died between any two of them is finished by the next one.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from shared import contract
from shared.app.consumers import Consumer, Consumers
from shared.app.folders import BuilderFolder, Candidate, read_folders
from shared.app.frozen import DefinitionObjects
from shared.app.registry import Draft, Registry, RegistryConflictError, Status, Version

FIRST_VERSION: Final = 1
DEPLOYED_BY: Final = "deploy"
"""Who made what a deploy made, in the registry."""


class Outcome(StrEnum):
    """What became of a builder."""

    PUBLISHED = "published"
    """Version 1 was made, or finished, and is active."""
    DRAFTED = "drafted"
    """The folder differs from the active version, and waits as a draft."""
    UNCHANGED = "unchanged"
    GONE = "gone"
    """The folder is gone; the active version goes on."""


@dataclass(frozen=True, slots=True)
class Deployer:
    """The use case on its ports."""

    registry: Registry
    objects: DefinitionObjects
    consumers: Consumers

    def deploy(
        self, folders: Sequence[BuilderFolder], consumer: Consumer, now: int
    ) -> dict[str, list[Outcome]]:
        """Bring registry and consumers in line with the folders; return what became of each builder.

        BrokenBuildersError before anything is changed, if any folder is broken. `now` is ms UTC.
        """
        candidates = read_folders(folders)
        active = self.registry.active()
        outcomes: dict[str, list[Outcome]] = {}
        for candidate in candidates:
            if candidate.name in active:
                version = self._consume_active(candidate.name, active[candidate.name], consumer)
                outcomes[candidate.name] = [self._draft(candidate, version, now)]
            else:
                outcomes[candidate.name] = self._first(candidate, consumer, now)
        for name in sorted(active.keys() - outcomes.keys()):
            self._consume_active(name, active[name], consumer)
            outcomes[name] = [Outcome.GONE]
        return outcomes

    def _first(self, candidate: Candidate, consumer: Consumer, now: int) -> list[Outcome]:
        """Publish version 1, or finish one that was begun, which stays what it was frozen as."""
        version = self.registry.version(candidate.name, FIRST_VERSION)
        if version is None:
            version = self._add_first(candidate, now)
        outcomes: list[Outcome] = []
        # One that a person published is built from the archive: that is not for a deploy to cut short.
        if version.status is Status.BUILDING and version.created_by == DEPLOYED_BY:
            self._consume(version, consumer)
            version = self.registry.activate(replace(version, finished_at=now), was=None)
            outcomes.append(Outcome.PUBLISHED)
        if version.sha256 != candidate.sha256:
            outcomes.append(self._draft(candidate, version, now))
        return outcomes or [Outcome.UNCHANGED]

    def _add_first(self, candidate: Candidate, now: int) -> Version:
        key = contract.definition_key(candidate.name, str(FIRST_VERSION), candidate.sha256)
        self.objects.put(key, candidate.data)
        version = Version(
            builder=candidate.name,
            version=FIRST_VERSION,
            status=Status.BUILDING,
            definition_key=key,
            sha256=candidate.sha256,
            t0=0,  # a first version counts everything that is in the stream
            created_at=now,
            created_by=DEPLOYED_BY,
        )
        self.registry.add(version)
        return version

    def _consume_active(self, builder: str, active: int, consumer: Consumer) -> Version:
        """See to the consumer of the active version, and return that version.

        Another one may take over just then, and remove a consumer that this brings back.
        """
        while True:
            version = self._version(builder, active)
            self._consume(version, consumer)
            newest = self.registry.active()[builder]
            if newest == active:
                return version
            self.consumers.remove(builder, active)
            active = newest

    def _consume(self, version: Version, consumer: Consumer) -> None:
        self.consumers.ensure_alias(version.builder, version.version)
        self.consumers.ensure_mapping(version.builder, version.version, version.t0, consumer)

    def _draft(self, candidate: Candidate, version: Version, now: int) -> Outcome:
        """Keep the folder as draft if it differs from the version; drop a deploy's draft if it does not.

        Of a draft that somebody sets at the same moment, one of the two stays.
        """
        draft = self.registry.draft(candidate.name)
        if candidate.sha256 == version.sha256:
            if draft is not None and draft.created_by == DEPLOYED_BY:
                self.registry.drop_draft(draft)
            return Outcome.UNCHANGED
        if draft is None or draft.sha256 != candidate.sha256:
            key = contract.definition_key(candidate.name, contract.REGISTRY_DRAFT, candidate.sha256)
            self.objects.put(key, candidate.data)
            newer = Draft(
                builder=candidate.name,
                definition_key=key,
                sha256=candidate.sha256,
                created_at=now,
                created_by=DEPLOYED_BY,
            )
            with suppress(RegistryConflictError):
                self.registry.put_draft(newer, draft)
        return Outcome.DRAFTED

    def _version(self, builder: str, version: int) -> Version:
        row = self.registry.version(builder, version)
        if row is None:
            raise LookupError(f"the registry has no version {version} of {builder}, yet it is active")
        return row
