"""Programs: what of a frozen definition its user code is run with."""

from shared.app.frozen import PROFILE_FILE, TRANSFORM_FILE, Frozen
from shared.core.definition import timeout_s
from shared.core.fetch_rules import fetch_rules
from shared.core.sandbox import Program


def chain_program(frozen: Frozen, version: int) -> Program | None:
    """Return the chain of a version; None if it has none."""
    return _program(frozen, version, TRANSFORM_FILE, in_rebuild=False)


def function_program(frozen: Frozen, version: int, *, in_rebuild: bool = False) -> Program | None:
    """Return the profile function of a version; None if it has none. In rebuilds it fetches if told to."""
    return _program(frozen, version, PROFILE_FILE, in_rebuild=in_rebuild)


def _program(frozen: Frozen, version: int, file: str, *, in_rebuild: bool) -> Program | None:
    source = frozen.files.get(file)
    if source is None:
        return None
    definition = frozen.definition
    return Program(
        definition.name,
        version,
        source,
        dict(definition.env),
        file,
        fetch_rules(definition.fetch, in_rebuild=in_rebuild),
        dict(definition.warehouses),
        timeout_s(definition),
    )
