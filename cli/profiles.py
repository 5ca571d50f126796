"""The profile that a command is about."""

from typing import TYPE_CHECKING, NamedTuple

from cli.errors import Failure

if TYPE_CHECKING:
    from shared.core.compile import Builder
    from shared.core.profile import Profile


class Found(NamedTuple):
    """A live profile, and the builder that made it."""

    builder: "Builder"
    profile: "Profile"


def find(
    stage: str | None,
    builder_name: str | None,
    version: int | None,
    identifier: tuple[str, str] | None,
    profile_id: str | None,
) -> Found:
    """Return the live profile with an identifier (type, value) or an id; Failure if none can be read."""
    from cli.builders import choose, definition_of
    from cli.target import resolve
    from shared import contract
    from shared.adapters.clock import SystemClock
    from shared.adapters.dynamo.store import DynamoStore
    from shared.app.damage import DamagedError
    from shared.app.read import Reader, UnusableIdentifierError, identifier_of
    from shared.core.compile import Builder

    target = resolve(stage)
    name, number = choose(target, builder_name, version)
    builder = Builder(definition_of(target, name, number))
    clock = SystemClock()
    store = DynamoStore(
        target.client("dynamodb"),
        builder,
        number,
        target.output(contract.OUTPUT_PROFILES_TABLE),
        target.output(contract.OUTPUT_IDENTIFIERS_TABLE),
        clock,
        cache=False,
    )
    reader = Reader(builder, store, lambda: clock.now_us() // 1000)
    wanted = "id" if identifier is None else identifier[0]
    try:
        if identifier is None:
            profile = reader.by_id(profile_id or "")
        else:
            profile = reader.by_identifier(identifier_of(builder.definition, *identifier))
    except UnusableIdentifierError as error:
        raise Failure(str(error)) from None
    except DamagedError as error:
        raise Failure(f"{error}; docs/quarantine.md says how to mend it") from None
    if profile is None:
        raise Failure(
            f"no profile of builder {name}, version {number}, has this {wanted}: "
            "it never had one, or the profile has expired"
        )
    return Found(builder, profile)
