"""Composition of those states of a rebuild that work on the tables of profiles and identifiers."""

from dataclasses import replace
from typing import Final, TypeVar

from shared.adapters.clock import SystemClock
from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.active import DynamoActiveProfiles
from shared.adapters.dynamo.client import dynamo_client
from shared.adapters.dynamo.lines import DynamoLines
from shared.adapters.dynamo.loader import DynamoLoader
from shared.adapters.dynamo.sweep import DynamoVersionItems
from shared.app.rebuild.build import Build, BuildName
from shared.runtime.rebuild import Rebuild, ReplaySettings, TableSettings
from shared.runtime.transformation import lambda_profile_function

T = TypeVar("T", bound=TableSettings)

CLOCK: Final = SystemClock()


class TableRebuild(Rebuild[T]):
    """What they have in common; made once per process."""

    def __init__(self, kind: type[T]) -> None:
        super().__init__(kind)
        self.tables = Tables(self.settings.profiles_table, self.settings.identifiers_table)
        self.dynamodb = dynamo_client()

    def active(self, builder: str) -> int | None:
        """Return the number of the active version, None if there is none."""
        return self.registry.active().get(builder)

    def active_profiles(self, builder: str) -> DynamoActiveProfiles | None:
        """Return the profiles of the active version, None if there is none."""
        version = self.active(builder)
        if version is None:
            return None
        definition = self.definition(BuildName(builder, version)).builder
        return DynamoActiveProfiles(self.dynamodb, definition, version, self.tables, CLOCK)

    def lines(self, name: BuildName, active: int | None) -> DynamoLines:
        """Return the profiles of a version and of the active one, as they are shown."""
        versions = {name.version, *([] if active is None else [active])}
        builders = {
            version: self.definition(BuildName(name.builder, version)).builder for version in versions
        }
        return DynamoLines(self.dynamodb, builders, self.tables, CLOCK)

    def items(self, user_store: str, units_per_s: float) -> DynamoVersionItems:
        """Return the items of all versions, of which so many write units a second are deleted."""
        return DynamoVersionItems(
            self.dynamodb, self.tables, CLOCK, user_store=user_store, units_per_s=units_per_s
        )


def with_function(rebuild: TableRebuild[ReplaySettings], build: Build) -> Build:
    """Return the build with what runs its profile function, if it has one."""
    if not rebuild.settings.functions_sandbox:
        return build
    function = lambda_profile_function(
        rebuild.definition(build.name).frozen,
        build.version,
        rebuild.settings.functions_sandbox,
        rebuild.settings.archive_bucket,
        in_rebuild=True,
    )
    return replace(build, function=function)


def loader(
    rebuild: TableRebuild[ReplaySettings], build: Build, partitions: int, workers: int
) -> DynamoLoader:
    """Return what writes the profiles of a build of so many partitions, one of so many workers at once."""
    return DynamoLoader(
        rebuild.dynamodb,
        build.builder,
        build.version,
        rebuild.tables,
        build.t0,
        CLOCK,
        units_per_s=rebuild.settings.write_units_each(partitions, workers),
    )
