"""Publishing: a draft, or what an earlier version says, becomes a new version, which a state machine builds.

Every step may be repeated: what died between any two of them is finished by publishing, or cancelling, again.
Of two who publish at once one wins, for both take the same next number.
"""

from dataclasses import dataclass, replace
from typing import Final

from shared import contract
from shared.app.deploy import DEPLOYED_BY
from shared.app.executions import Executions
from shared.app.folders import Candidate
from shared.app.frozen import DefinitionObjects, Frozen, thaw
from shared.app.registry import Draft, Registry, RegistryConflictError, Status, Version

CANCELLED: Final = "cancelled by "
"""How the reason of a cancelled version begins; who cancelled it follows."""
CANCEL_ATTEMPTS_MAX: Final = 5


class CannotPublishError(Exception):
    """Nothing was changed; the message says why, and what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks for a version, when (ms UTC), and how.

    `grace_s`: for how long the version that it replaces is kept; None leaves that to the stack's setting.
    With `replaces`, a version that is building is cancelled first.
    """

    by: str
    now: int
    grace_s: int | None = None
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class Publisher:
    """The use case on its ports."""

    registry: Registry
    objects: DefinitionObjects
    executions: Executions

    def set_draft(self, candidate: Candidate, by: str, now: int) -> Draft | None:
        """Keep a folder as its builder's draft; none of one that says what the active version says."""
        name = candidate.name
        older = self.registry.draft(name)
        active = self.active(name)
        if active is not None and active.sha256 == candidate.sha256:
            if older is not None:
                self.registry.drop_draft(older)
            return None
        key = contract.definition_key(name, contract.REGISTRY_DRAFT, candidate.sha256)
        self.objects.put(key, candidate.data)
        draft = Draft(
            builder=name, definition_key=key, sha256=candidate.sha256, created_at=now, created_by=by
        )
        try:
            self.registry.put_draft(draft, older)
        except RegistryConflictError:
            raise CannotPublishError(f"somebody has just set another draft of {name}") from None
        return draft

    def publish_draft(self, builder: str, asked: Asked) -> Version:
        """Make the draft the next version and start to build it."""
        draft = self.registry.draft(builder)
        if draft is None:
            raise CannotPublishError(self._no_draft(builder))
        active = self.active(builder)
        if active is not None and active.sha256 == draft.sha256:
            self.registry.drop_draft(draft)  # it may be what the version was published from
            raise CannotPublishError(
                f"the draft of {builder} says what version {active.version} says, which is active: the draft "
                f"is dropped. `kith rollback {builder} {active.version}` builds the same once more"
            )
        version = self._publish(draft, asked)
        self.registry.drop_draft(draft)
        return version

    def rollback(self, builder: str, version: int, asked: Asked) -> Version:
        """Publish what an earlier version says as the next version."""
        earlier = self.registry.version(builder, version)
        if earlier is None:
            has = _numbers(self.registry.versions(builder))
            raise CannotPublishError(f"builder {builder} has no version {version}: {has}")
        return self._publish(earlier, asked)

    def cancel(self, builder: str, by: str, now: int) -> Version:
        """End the build of a version, and have what it has made deleted. The active version serves on.

        Where none is building, what versions that failed have left is deleted, if that was broken off.
        """
        versions = self.registry.versions(builder)
        building = _building(versions)
        if building is not None:
            return self._cancel(building, by, now)
        failed = self._end_failed(versions)
        if failed:
            return failed[-1]
        if versions and is_cancelled(versions[-1]):
            return versions[-1]
        raise CannotPublishError(f"no version of {builder} is building: {_numbers(versions)}")

    def active(self, builder: str) -> Version | None:
        """Return the active version of a builder, if it has one."""
        number = self.registry.active().get(builder)
        return None if number is None else self.registry.version(builder, number)

    def frozen(self, row: Draft | Version) -> Frozen:
        """Return what a draft or a version says; DamagedDefinitionError if its object was changed."""
        return thaw(self._read(row), row.sha256, row.definition_key)

    def _publish(self, source: Draft | Version, asked: Asked) -> Version:
        versions = self.registry.versions(source.builder)
        building = _building(versions)
        if building is not None:
            if self._is_begun(building, source):
                self._start(building, asked)
                return building
            if not asked.replaces:
                self._refuse(building, source)
            self._cancel(building, asked.by, asked.now)
        self._end_failed(versions)
        return self._build(source, 1 + (versions[-1].version if versions else 0), asked)

    def _is_begun(self, building: Version, source: Draft | Version) -> bool:
        """Say whether somebody began to publish the same, and came no further than the version's row."""
        if building.sha256 != source.sha256 or building.created_by == DEPLOYED_BY:
            return False
        return self.executions.of(building.builder, building.version) is None

    def _refuse(self, building: Version, source: Draft | Version) -> None:
        """Refuse a second build; a draft that is being built has become a version."""
        _not_of_a_deploy(building)
        if isinstance(source, Draft) and source.sha256 == building.sha256:
            self.registry.drop_draft(source)
        raise CannotPublishError(
            f"version {building.version} of {building.builder} is building, published by "
            f"{building.created_by}: wait for it (`kith builds {building.builder} --watch`), or cancel it "
            "with --replace"
        )

    def _build(self, source: Draft | Version, number: int, asked: Asked) -> Version:
        """Add a version, frozen under a key of its own, and start to build it."""
        data = self._read(source)
        thaw(data, source.sha256, source.definition_key)
        builder = source.builder
        key = contract.definition_key(builder, str(number), source.sha256)
        self.objects.put(key, data)
        version = Version(
            builder=builder,
            version=number,
            status=Status.BUILDING,
            definition_key=key,
            sha256=source.sha256,
            t0=0,  # the build chooses it
            created_at=asked.now,
            created_by=asked.by,
            has_items=False,
        )
        try:
            self.registry.add(version)
        except RegistryConflictError:
            raise _published_by_another(version) from None
        self._start(version, asked)
        return version

    def _start(self, version: Version, asked: Asked) -> None:
        """Start to build a version. Of those who find one whose build is not started yet, one starts it."""
        if not self.executions.start(version.builder, version.version, asked.grace_s):
            raise _published_by_another(version)

    def _cancel(self, building: Version, by: str, now: int) -> Version:
        """Mark a version as failed, however often its build writes the row meanwhile, and end its build."""
        _not_of_a_deploy(building)
        for _ in range(CANCEL_ATTEMPTS_MAX):
            failed = replace(building, status=Status.FAILED, reason=CANCELLED + by, finished_at=now)
            try:
                cancelled = self.registry.replace(building, failed)
            except RegistryConflictError:
                building = self._again(building)
            else:
                self._end(cancelled)
                return cancelled
        raise CannotPublishError(f"version {building.version} of {building.builder} is in motion: try again")

    def _again(self, building: Version) -> Version:
        row = self.registry.version(building.builder, building.version) or building
        if row.status is not Status.BUILDING:
            raise CannotPublishError(
                f"version {row.version} of {row.builder} is no longer building: it is {row.status}"
            )
        return row

    def _end(self, cancelled: Version) -> None:
        self.executions.stop(cancelled.builder, cancelled.version, cancelled.reason)
        self.executions.clean_up(cancelled.builder, cancelled.version)

    def _end_failed(self, versions: list[Version]) -> list[Version]:
        """End all that failed and have left something, if nobody is at it; return them.

        Whoever cancelled one may not have come this far, and a clean-up may have died. The execution of one
        that failed cleans up itself, unless it has ended.
        """
        failed = [one for one in versions if one.status is Status.FAILED and not one.cleaned_at]
        for one in failed:
            execution = None if is_cancelled(one) else self.executions.of(one.builder, one.version)
            if execution is None or not execution.runs:
                self._end(one)
        return failed

    def _read(self, source: Draft | Version) -> bytes:
        found = self.objects.get(source.definition_key)
        if found is None:
            raise CannotPublishError(
                f"the frozen definition of {source.builder} is gone: {source.definition_key}"
            )
        return found[0]

    def _no_draft(self, builder: str) -> str:
        versions = self.registry.versions(builder)
        building = _building(versions)
        if building is not None:
            return f"builder {builder} has no draft; its version {building.version} is building"
        advice = f"`kith draft builders/{builder}` makes one of its folder"
        return f"builder {builder} has no draft: {advice}" if versions else f"no builder {builder}: {advice}"


def _building(versions: list[Version]) -> Version | None:
    return next((one for one in reversed(versions) if one.status is Status.BUILDING), None)


def is_cancelled(version: Version) -> bool:
    """Say whether somebody has ended the build of a version."""
    return version.status is Status.FAILED and version.reason.startswith(CANCELLED)


def _published_by_another(version: Version) -> CannotPublishError:
    return CannotPublishError(
        f"somebody else has just published version {version.version} of {version.builder}: see "
        f"`kith builds {version.builder}`"
    )


def _not_of_a_deploy(building: Version) -> None:
    if building.created_by == DEPLOYED_BY:
        raise CannotPublishError(
            f"a deploy is publishing version {building.version} of {building.builder}: let it finish, or "
            "deploy again"
        )


def _numbers(versions: list[Version]) -> str:
    if not versions:
        return "it has no versions"
    return "it has " + ", ".join(f"{one.version} ({one.status})" for one in versions)
