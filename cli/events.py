"""`kith events`: why is this value here."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import AsJson, BuilderName, BuilderVersion, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator


def events(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="Type of identifier, like user_id.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its value, as events carry it.")],
    builder: BuilderName = None,
    version: BuilderVersion = None,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Say why a profile's values are there: events, merges and identifiers it knows of.

    For each attribute the events that gave its first and its last value, as far as its aggregation
    keeps them: a sum or a count does not. Times of contributions are event times, all others are arrivals.
    """
    from cli.get import show
    from cli.profiles import find
    from shared.app.read import why
    from shared.core.canonical import canonical_json

    known = why(*find(stage, builder, version, (kind, value), None))
    if as_json:
        typer.echo(canonical_json(known))
    else:
        show(_lines(known))


def _lines(known: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    founder = known["founder"]
    yield "profile_id", f": {known['profile_id']}"
    yield "founded", f": {known['created_at']} by {founder['type']} {founder['value']}"
    yield "events", f": {known['event_count']}, the latest arrived {known['updated_at']}"
    yield "identifiers", ""
    for one in known["identifiers"]:
        yield f"  {one['type']}", f": {one['value']}, first seen {one['first_seen']}"
    if known["merges"]:
        yield "merges", ""
    for one in known["merges"]:
        yield f"  {one['profile_id']}", f": joined {one['at']}, linked by {', '.join(one['linked_by'])}"
    for section in ("attributes", "traits"):
        if known[section]:
            yield section, ""
        for name, sources in sorted(known[section].items()):
            yield from _sources(name, sources)
    if "computed" in known:
        yield from _computed(known["computed"])


def _computed(computed: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    from cli.get import as_text

    is_late = computed.pop("is_due")
    yield "profile function", ": has not run since the last event" if is_late else ""
    traits = computed.pop("traits", {})
    for name, value in (*computed.items(), *sorted(traits.items())):
        yield f"  {name}", f": {as_text(value)}"


def _sources(name: str, sources: dict[str, Any]) -> "Iterator[tuple[str, str]]":
    from cli.get import as_text

    ends: dict[str, Any] = {which: sources[which] for which in ("first", "last") if which in sources}
    if len(ends) == len({one["event_id"] for one in ends.values()}) + 1:
        ends = {"only": ends["first"]}
    if not ends:
        yield f"  {name}", f": {sources['aggregation']} of all its events, none kept"
    for which, one in ends.items():
        yield (
            f"  {name}",
            f": {which} {as_text(one['value'])} at {one['at']} by event {as_text(one['event_id'])}",
        )
