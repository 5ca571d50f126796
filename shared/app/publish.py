"""What a deploy does with the builders: the first version of each new one, drafts of the changed ones.

Every step may be repeated: a deploy that died between any two of them is finished by the next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from shared import contract
from shared.app.frozen import BUILDER_FILE, freeze
from shared.app.registry import Draft, Registry, Status, Version
from shared.core.definition import Definition
from shared.core.grammar import DefinitionError, parse_definition

FIRST_VERSION: Final = 1
DEPLOYED_BY: Final = "deploy"
"""Who made what a deploy made, in the registry."""

Consumer = Mapping[str, Any]
"""Arguments of CreateEventSourceMapping, all but `FunctionName`."""


class BrokenBuildersError(Exception):
    """At least one builder folder is no definition; the message holds every problem of every folder."""


class Objects(Protocol):
    """Where frozen definitions are kept."""

    def put(self, key: str, data: bytes) -> None:
        """Write an object, over an older one of the same key."""


class Consumers(Protocol):
    """The aliases of the ingestion function and their event source mappings: one per version."""

    def ensure_alias(self, builder: str, version: int) -> None:
        """Make the version's alias, unless there is one."""

    def ensure_mapping(self, builder: str, version: int, t0: int, consumer: Consumer) -> None:
        """Make the version's mapping, from T0 (ms UTC) on, or change its settings to these."""

    def remove_all(self) -> list[str]:
        """Remove all mappings, then all aliases; return the names of the aliases."""


@dataclass(frozen=True, slots=True)
class BuilderFolder:
    """A builder as somebody wrote it: the folder's name, and its files' texts by name."""

    name: str
    files: Mapping[str, str]


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
class _Candidate:
    """A folder that was read: a definition, frozen."""

    name: str
    data: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Publisher:
    """The use case on its ports."""

    registry: Registry
    objects: Objects
    consumers: Consumers

    def deploy(
        self, folders: Sequence[BuilderFolder], consumer: Consumer, now: int
    ) -> dict[str, list[Outcome]]:
        """Bring registry and consumers in line with the folders; return what became of each builder.

        BrokenBuildersError before anything is changed, if any folder is broken. `now` is ms UTC.
        """
        candidates = _read_all(folders)
        active = self.registry.active()
        outcomes: dict[str, list[Outcome]] = {}
        for candidate in candidates:
            if candidate.name in active:
                version = self._version(candidate.name, active[candidate.name])
                self._consume(version, consumer)
                outcomes[candidate.name] = [self._draft(candidate, version, now)]
            else:
                outcomes[candidate.name] = self._first(candidate, consumer, now)
        for name in sorted(active.keys() - outcomes.keys()):
            self._consume(self._version(name, active[name]), consumer)
            outcomes[name] = [Outcome.GONE]
        return outcomes

    def _first(self, candidate: _Candidate, consumer: Consumer, now: int) -> list[Outcome]:
        """Publish version 1, or finish one that was begun, which stays what it was frozen as."""
        version = self.registry.version(candidate.name, FIRST_VERSION)
        if version is None:
            version = self._add_first(candidate, now)
        outcomes: list[Outcome] = []
        if version.status is Status.BUILDING:
            self._consume(version, consumer)
            version = self.registry.activate(version, was=None)
            outcomes.append(Outcome.PUBLISHED)
        if version.sha256 != candidate.sha256:
            outcomes.append(self._draft(candidate, version, now))
        return outcomes or [Outcome.UNCHANGED]

    def _add_first(self, candidate: _Candidate, now: int) -> Version:
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

    def _consume(self, version: Version, consumer: Consumer) -> None:
        self.consumers.ensure_alias(version.builder, version.version)
        self.consumers.ensure_mapping(version.builder, version.version, version.t0, consumer)

    def _draft(self, candidate: _Candidate, version: Version, now: int) -> Outcome:
        """Keep the folder as draft if it differs from the version; drop a deploy's draft if it does not."""
        draft = self.registry.draft(candidate.name)
        if candidate.sha256 == version.sha256:
            if draft is not None and draft.created_by == DEPLOYED_BY:
                self.registry.drop_draft(draft)
            return Outcome.UNCHANGED
        if draft is None or draft.sha256 != candidate.sha256:
            key = contract.definition_key(candidate.name, contract.REGISTRY_DRAFT, candidate.sha256)
            self.objects.put(key, candidate.data)
            self.registry.put_draft(
                Draft(
                    builder=candidate.name,
                    definition_key=key,
                    sha256=candidate.sha256,
                    created_at=now,
                    created_by=DEPLOYED_BY,
                )
            )
        return Outcome.DRAFTED

    def _version(self, builder: str, version: int) -> Version:
        row = self.registry.version(builder, version)
        if row is None:
            raise LookupError(f"the registry has no version {version} of {builder}, yet it is active")
        return row


def _read_all(folders: Sequence[BuilderFolder]) -> list[_Candidate]:
    """Read and freeze all folders, or raise BrokenBuildersError with every problem of every folder."""
    candidates: list[_Candidate] = []
    problems: list[str] = []
    for folder in sorted(folders, key=lambda one: one.name):
        definition, found = _definition(folder)
        problems += found
        if definition is not None and not found:
            candidates.append(_Candidate(folder.name, *freeze(definition, folder.files)))
    if problems:
        raise BrokenBuildersError("\n".join(problems))
    return candidates


def _definition(folder: BuilderFolder) -> tuple[Definition | None, list[str]]:
    """Read one folder: its definition as far as there is one, and everything that is wrong."""
    found = [_python_problem(folder.name, name, text) for name, text in folder.files.items()]
    found = [problem for problem in found if problem]
    source = f"{folder.name}/{BUILDER_FILE}"
    if BUILDER_FILE not in folder.files:
        return None, [*found, f"{source}: is missing"]
    try:
        definition = parse_definition(folder.files[BUILDER_FILE], source)
    except DefinitionError as error:
        return None, [*found, *error.lines()]
    if definition.name != folder.name:
        found.append(f"{source}: name: must be the folder's name, {folder.name}, not {definition.name}")
    return definition, found


def _python_problem(builder: str, file: str, text: str) -> str:
    """Say where a Python file is no Python; nothing else is judged without running it."""
    if not file.endswith(".py"):
        return ""
    try:
        compile(text, file, "exec")
    except SyntaxError as error:
        return f"{builder}/{file}:{error.lineno or 1}: {error.msg}"
    except ValueError as error:  # NUL bytes, before Python 3.12
        return f"{builder}/{file}:1: {error}"
    return ""
