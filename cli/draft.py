"""`kith draft`: what will be published next."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import Failure
from cli.options import AsJson, BuilderName, Stage

if TYPE_CHECKING:
    from shared.app.folders import Candidate
    from shared.app.publish import Publisher
    from shared.app.registry import Draft, Version


def draft(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR", help="Folder of the builder that becomes its draft.", show_default=False
        ),
    ] = None,
    builder: BuilderName = None,
    drop: Annotated[bool, typer.Option("--drop", help="Remove the draft.")] = False,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Set or show a draft: what `kith publish` makes a version.

    With DIR, that folder becomes the draft of its builder. Without, the draft is shown as its
    difference to the active version.
    """
    if folder is not None and (drop or builder is not None):
        raise typer.BadParameter("DIR becomes the draft of its builder: it goes without --builder and --drop")
    from cli.publishing import builder_name, publisher_of
    from cli.target import resolve

    candidate = None if folder is None else read_candidate(folder)
    target = resolve(stage)
    publisher = publisher_of(target)
    if candidate is not None:
        from cli.publishing import who

        _set(publisher, candidate, who(target), as_json=as_json)
        return
    name = builder_name(target, builder)
    found = publisher.registry.draft(name)
    if drop:
        _drop(publisher, name, found, as_json=as_json)
    else:
        _show(publisher, name, found, as_json=as_json)


def read_candidate(folder: Path) -> "Candidate":
    """Return what a builder's folder says; Failure with all its problems if it is none."""
    from shared.adapters.builder_folders import read_builder_folder
    from shared.app.folders import BrokenBuildersError, read_folders

    if not folder.is_dir():
        raise Failure(f"{folder} is no folder: name that of a builder, like builders/customers")
    try:
        (candidate,) = read_folders([read_builder_folder(folder.resolve())])
    except (BrokenBuildersError, OSError, ValueError) as error:
        raise Failure(f"{folder} is no builder; `kith validate` checks it again:\n{error}") from None
    return candidate


def _set(publisher: "Publisher", candidate: "Candidate", by: str, *, as_json: bool) -> None:
    from cli.publishing import now_ms, refusals
    from cli.tables import counted

    name = candidate.name
    with refusals():
        kept = publisher.set_draft(candidate, by, now_ms())
    active = publisher.active(name)
    if as_json:
        typer.echo(_json(name, kept, active))
    elif kept is None:
        typer.echo(f"{name} says what its active version{_number(active)} says: there is nothing to draft")
    else:
        changed = _difference(publisher, kept, active)
        lines = sum(1 for one in changed if one[:1] in "+-" and one[:3] not in ("+++", "---"))
        since = f"{counted(lines, 'line')} changed since version{_number(active)}"
        than = since if active else "a new builder"
        typer.echo(f"{name} has a draft: {than}")
        typer.echo(f"  kith draft --builder {name}  shows the difference")
        typer.echo(f"  kith preview {name}          runs it over events, beside the active version")
        typer.echo(f"  kith publish {name}          makes it a version")


def _drop(publisher: "Publisher", name: str, found: "Draft | None", *, as_json: bool) -> None:
    if found is not None:
        publisher.registry.drop_draft(found)
    if as_json:
        typer.echo(_json(name, publisher.registry.draft(name), publisher.active(name)))
    else:
        typer.echo(f"{name} has no draft" if found is None else f"the draft of {name} is dropped")


def _show(publisher: "Publisher", name: str, found: "Draft | None", *, as_json: bool) -> None:
    from cli.publishing import refusals
    from shared.core.times import format_time

    active = publisher.active(name)
    with refusals():
        changed = [] if found is None else _difference(publisher, found, active)
    if as_json:
        typer.echo(_json(name, found, active, changed))
        return
    if found is None:
        typer.echo(f"{name} has no draft")
        return
    than = f"the active version is{_number(active)}" if active else "there is no active version"
    typer.echo(f"draft of {name}, by {found.created_by} at {format_time(found.created_at)}; {than}")
    _print_difference(changed)


def _difference(publisher: "Publisher", draft: "Draft", active: "Version | None") -> list[str]:
    """Return the lines of the unified difference of all files, active version to draft."""
    from difflib import unified_diff

    new = publisher.frozen(draft).files
    old: dict[str, str] = publisher.frozen(active).files if active else {}
    lines: list[str] = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, ""), new.get(name, "")
        told = unified_diff(
            before.splitlines(),
            after.splitlines(),
            f"version{_number(active)}/{name}".replace(" ", "-") if name in old else "/dev/null",
            f"draft/{name}" if name in new else "/dev/null",
            lineterm="",
        )
        lines += told
    return lines


def _print_difference(lines: list[str]) -> None:
    """Print a difference: coloured on a terminal, plain elsewhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        style = "bold" if line[:3] in ("+++", "---") else styles.get(line[:1], "")
        console.print(Text(line, style))
    if not lines:
        console.print("the files are the same; what they mean has changed with the release of Kith")


def _number(version: "Version | None") -> str:
    return "" if version is None else f" {version.version}"


def _json(
    name: str, draft: "Draft | None", active: "Version | None", difference: list[str] | None = None
) -> str:
    from cli.versions import draft_facts
    from shared.core.canonical import canonical_json

    facts: dict[str, Any] = {
        "builder": name,
        "draft": draft_facts(draft),
        "active_version": None if active is None else active.version,
    }
    if difference is not None:
        facts["difference"] = difference
    return canonical_json(facts).decode()
