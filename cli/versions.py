"""`kith versions`: what has been published, when, and by whom."""

from typing import TYPE_CHECKING, Any

import typer

from cli.options import AsJson, Stage
from cli.publishing import BuilderArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from shared.app.registry import Draft, Version


def versions(builder: BuilderArgument = None, as_json: AsJson = False, stage: Stage = None) -> None:
    """List the versions of a builder, and its draft."""
    from cli.errors import Failure
    from cli.publishing import builder_name, registry_of
    from cli.target import resolve

    target = resolve(stage)
    registry = registry_of(target)
    name = builder_name(target, builder)
    found, draft = registry.versions(name), registry.draft(name)
    if not found and draft is None:
        raise Failure(f"there is no builder {name}; there are {', '.join(registry.builders()) or 'none'}")
    if as_json:
        from shared.core.canonical import canonical_json

        facts = {"builder": name, "versions": list(map(version_facts, found)), "draft": draft_facts(draft)}
        typer.echo(canonical_json(facts))
    else:
        _print(found, draft)


def version_facts(version: "Version") -> dict[str, Any]:
    """Return what the registry says of a version, for programs."""
    from shared.core.times import format_time

    return {
        "version": version.version,
        "status": version.status.value,
        "created_at": format_time(version.created_at),
        "created_by": version.created_by,
        "finished_at": format_time(version.finished_at) if version.finished_at else None,
        "t0": format_time(version.t0) if version.t0 else None,
        "sha256": version.sha256,
        "reason": version.reason,
    }


def draft_facts(draft: "Draft | None") -> dict[str, Any] | None:
    """Return what the registry says of a draft, for programs."""
    from shared.core.times import format_time

    if draft is None:
        return None
    return {
        "created_at": format_time(draft.created_at),
        "created_by": draft.created_by,
        "sha256": draft.sha256,
    }


def _print(found: "Sequence[Version]", draft: "Draft | None") -> None:
    from cli.publishing import coloured
    from cli.tables import Column, print_table
    from shared.core.times import format_time

    def time(moment: int) -> str:
        return format_time(moment)[:19].replace("T", " ") if moment else ""

    first_with: dict[str, int] = {}
    rows: list[list[str | Text]] = []
    for one in found:
        same = first_with.setdefault(one.sha256, one.version)
        note = one.reason or (f"the definition of version {same}" if same != one.version else "")
        rows.append(
            [
                str(one.version),
                coloured(one.status.value),
                time(one.created_at),
                one.created_by,
                time(one.finished_at),
                note,
            ]
        )
    if draft is not None:
        rows.append(["draft", "", time(draft.created_at), draft.created_by, "", ""])
    columns = [Column(name) for name in ("version", "status", "published (UTC)", "by", "finished", "note")]
    print_table(columns, rows)
