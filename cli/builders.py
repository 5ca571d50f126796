"""Which builders are live in a cloud, and what their versions say."""

from cli.errors import Failure
from cli.target import Target
from shared import contract
from shared.adapters.definitions import Definitions, UnknownVersionError
from shared.app.frozen import DamagedDefinitionError
from shared.core.definition import Definition


def active_versions(target: Target) -> dict[str, int]:
    """Return the active version of every builder that has one."""
    from shared.adapters.registry import DynamoRegistry

    region = target.client("dynamodb").meta.region_name
    return DynamoRegistry(target.output(contract.OUTPUT_REGISTRY_TABLE), region).active()


def choose(target: Target, name: str | None, version: int | None) -> tuple[str, int]:
    """Return the builder and version that a command is about; Failure if that is not clear."""
    active = active_versions(target)
    if name is None:
        if not active:
            raise Failure("no builder has an active version yet; if the deploy has just ended, try again")
        if len(active) > 1:
            raise Failure(
                f"there are several builders: name one with --builder ({', '.join(sorted(active))})"
            )
        name = next(iter(active))
    if version is None:
        if name not in active:
            known = ", ".join(sorted(active)) or "none"
            raise Failure(f"builder {name} has no active version; builders that have one: {known}")
        version = active[name]
    return name, version


def definition_of(target: Target, name: str, version: int) -> Definition:
    """Return what a version says; Failure if there is no such version, or it is damaged."""
    definitions = Definitions(
        target.client("dynamodb"),
        target.client("s3"),
        target.output(contract.OUTPUT_REGISTRY_TABLE),
        target.output(contract.OUTPUT_ARCHIVE_BUCKET),
    )
    try:
        return definitions.load(name, version).frozen.definition
    except UnknownVersionError:
        raise Failure(f"builder {name} has no version {version}") from None
    except DamagedDefinitionError as error:
        raise Failure(str(error)) from None
