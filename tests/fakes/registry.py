"""The registry in memory, with the conditions of the real one."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from shared.app.registry import Draft, RegistryConflictError, Status, Version


class FakeRegistry:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], Version] = {}
        self.drafts: dict[str, Draft] = {}
        self.pointers: dict[str, int] = {}

    def builders(self) -> list[str]:
        return sorted({*(name for name, _ in self.rows), *self.drafts})

    def active(self) -> dict[str, int]:
        return dict(self.pointers)

    def version(self, builder: str, version: int) -> Version | None:
        return self.rows.get((builder, version))

    def versions(self, builder: str) -> list[Version]:
        return [row for (name, _), row in sorted(self.rows.items()) if name == builder]

    def draft(self, builder: str) -> Draft | None:
        return self.drafts.get(builder)

    def add(self, version: Version) -> None:
        if (version.builder, version.version) in self.rows:
            raise RegistryConflictError
        self.rows[version.builder, version.version] = version

    def replace(self, old: Version, new: Version) -> Version:
        current = self.rows.get((old.builder, old.version))
        if current is None or current.rev != old.rev:
            raise RegistryConflictError
        written = replace(new, rev=old.rev + 1)
        self.rows[old.builder, old.version] = written
        return written

    def activate(self, version: Version, was: int | None) -> Version:
        if self.pointers.get(version.builder) != was:
            raise RegistryConflictError
        written = self.replace(version, replace(version, status=Status.ACTIVE))
        self.pointers[version.builder] = version.version
        return written

    def put_draft(self, draft: Draft, was: Draft | None) -> None:
        if self.drafts.get(draft.builder) not in (was, draft):
            raise RegistryConflictError
        self.drafts[draft.builder] = draft

    def drop_draft(self, draft: Draft) -> None:
        if self.drafts.get(draft.builder) == draft:
            del self.drafts[draft.builder]


class FakeProgress:
    def __init__(self) -> None:
        self.counted: dict[tuple[str, int], Counter[str]] = {}

    def add_progress(self, builder: str, version: int, counted: Mapping[str, int]) -> None:
        self.counted.setdefault((builder, version), Counter()).update(counted)

    def progress(self, builder: str, version: int) -> dict[str, int]:
        return dict(self.counted.get((builder, version), {}))
