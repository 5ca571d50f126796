"""`kith get`: read a profile."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.options import AsJson, BuilderName, BuilderVersion, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES_SHOWN: Final = 5
"""Of a long list, the newest; `--json` prints all."""
INDENT: Final = "  "


def get(
    kind: Annotated[
        str | None,
        typer.Argument(metavar="TYPE", help="Type of identifier, like user_id.", show_default=False),
    ] = None,
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="Its value, as events carry it.", show_default=False)
    ] = None,
    profile_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Id of the profile, instead.", show_default=False)
    ] = None,
    builder: BuilderName = None,
    version: BuilderVersion = None,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Read the profile that has an identifier, or that has an id.

    --json prints its canonical form, long lists whole. Missing or expired: exit code 1.
    """
    if (kind is None) != (value is None) or (kind is None) == (profile_id is None):
        raise typer.BadParameter("give TYPE and VALUE, or --id ID")
    from cli.profiles import find

    identifier = None if kind is None or value is None else (kind, value)
    found = find(stage, builder, version, identifier, profile_id)
    from shared.core.profile import canonical, present

    if as_json:
        typer.echo(canonical(found.builder, found.profile))
    else:
        show(_lines(present(found.builder, found.profile)))


def show(lines: "Iterator[tuple[str, str]]") -> None:
    """Print (name, value) lines: the names stand out on a terminal, and nothing does elsewhere."""
    from rich.console import Console
    from rich.text import Text

    from cli.tables import harmless

    console = Console(highlight=False, soft_wrap=True)
    for name, value in lines:
        console.print(Text.assemble((harmless(name), "bold cyan"), harmless(value)))


def _lines(profile: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    names = ("profile_id", "created_at", "updated_at", "expires_at", "event_count")
    for name in (*names, "published_id", "destination_id", "table_name"):
        if name in profile:
            yield from _value(name, profile[name], 0)
    for section in ("identifiers", "traits", "attributes"):
        if profile[section]:
            yield section, ""
            for name, value in sorted(profile[section].items()):
                yield from _value(name, value, 1)


def _value(name: str, value: Any, depth: int) -> "Iterator[tuple[str, str]]":
    margin = INDENT * depth
    if not isinstance(value, list):
        yield margin + name, f": {as_text(value)}"
        return
    if len(value) == 1 and not isinstance(value[0], dict):
        yield margin + name, f": {as_text(value[0])}"
        return
    left_out = max(0, len(value) - ENTRIES_SHOWN)
    yield margin + name, f": {len(value)}" + (f", the last {ENTRIES_SHOWN}" if left_out else "")
    for one in value[left_out:]:
        if isinstance(one, dict) and one.keys() == {"value", "at"}:
            yield "", f"{margin}{INDENT}{one['at']}  {as_text(one['value'])}"
        else:
            yield "", f"{margin}{INDENT}{as_text(one)}"


def as_text(value: Any) -> str:
    """Return a value on one line: text as it is, anything else as JSON."""
    from shared.core.canonical import canonical_json

    if isinstance(value, str) and value.isprintable():
        return value
    return canonical_json(value).decode()
