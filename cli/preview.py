"""`kith preview`: what a draft makes of events, beside what the active version makes of them."""

import sys
from collections import Counter
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from cli.errors import Failure, is_out_of_reach
from cli.options import AsJson, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from shared.app.frozen import Frozen
    from shared.app.preview import Change, Folded, Pair, Side
    from shared.app.watched import Watched

SAMPLES: Final = Path("samples") / "events.jsonl"
CHANGED_SHOWN: Final = 12
"""Of the names of what changed, the most frequent."""
TEXT_MAX: Final = 60
"""Characters of a value on a terminal."""
MARGIN_MS: Final = 1000
"""A profile's times are those of records, to the millisecond; a little more does no harm."""


class Previewed(NamedTuple):
    """A draft and the active version, if there is one, over the same events."""

    builder: str
    version: int | None
    active: "Folded"
    draft: "Folded"
    code: "Mapping[str, Watched]"
    """What the draft's own code was seen to do, by its file."""


def preview(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="BUILDER|DIR",
            help="Builder whose draft is run, or a folder to run. Default: the draft of the only builder.",
            show_default=False,
        ),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Events, one JSON object a line. Default: samples/events.jsonl of the folder.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    identifier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE=VALUE",
            help="Run the archived events of the person with this identifier instead; of several people, if "
            "given again.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show values and profiles that are the same, too.")
    ] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Profiles that are shown, at most.")] = 3,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Show what a draft makes of events, beside what the active version makes of them.

    Nothing is written. Both run over the same events: samples, or real ones from the archive. What the code
    of the draft does is told by ids and paths, with its time; what it logs goes to stderr. A folder is run
    over samples without a cloud as well, and alone.
    """
    if events is not None and identifier:
        raise typer.BadParameter("give --events or --identifier, not both")
    name, draft, samples = _source(stage, source)
    draft, code = _watched(draft)
    is_alone = source is not None and Path(source).is_dir() and not identifier and stage is None
    version, active = _active_if_any(name) if is_alone else _active(stage, name)
    if identifier:
        folds = _of_people(stage, name, draft, active, [_parted(one) for one in identifier])
    else:
        folds = _of_lines(events or samples, draft, active)
    previewed = Previewed(name, version, *folds, code)
    if as_json:
        typer.echo(_json(previewed, everything=everything))
    else:
        _print(previewed, everything=everything, limit=limit)


def _source(stage: str | None, source: str | None) -> "tuple[str, Side, Path]":
    """Return the builder's name, what to run, and where its samples are."""
    from cli.draft import read_candidate
    from cli.publishing import builder_name, publisher_of, refusals
    from cli.target import resolve

    if source is not None and Path(source).is_dir():
        candidate = read_candidate(Path(source))
        from shared.app.frozen import thaw

        return candidate.name, _side(thaw(candidate.data, candidate.sha256), source), Path(source) / SAMPLES
    target = resolve(stage)
    name = builder_name(target, source)
    publisher = publisher_of(target)
    draft = publisher.registry.draft(name)
    if draft is None:
        raise Failure(
            f"builder {name} has no draft: `kith preview DIR` runs a folder, `kith draft DIR` sets it"
        )
    with refusals():
        frozen = publisher.frozen(draft)
    return name, _side(frozen, f"draft of {name}"), Path("builders") / name / SAMPLES


def _active_if_any(name: str) -> "tuple[int | None, Side | None]":
    """Return the active version of the local cloud, if one runs."""
    try:
        return _active(None, name)
    except Failure:  # there is none
        return None, None
    except Exception as error:
        if not is_out_of_reach(error):
            raise
        return None, None


def _active(stage: str | None, name: str) -> "tuple[int | None, Side | None]":
    from cli.publishing import publisher_of, refusals
    from cli.target import resolve

    publisher = publisher_of(resolve(stage))
    active = publisher.active(name)
    if active is None:
        return None, None
    with refusals():
        return active.version, _side(publisher.frozen(active), f"version {active.version} of {name}")


def _side(frozen: "Frozen", told_as: str) -> "Side":
    from cli.folders import ReadBuilder
    from cli.hashing import repeatable
    from cli.reach import local_reach
    from shared.app.preview import Side
    from shared.core.compile import Builder
    from shared.core.masking import Mask

    repeatable(frozen.files)
    read = ReadBuilder(Path(told_as), frozen.definition, frozen.files)
    mask = Mask(local_reach().hidden(frozen.definition))
    return Side(Builder(frozen.definition), *read.code(), mask)


def _watched(side: "Side") -> "tuple[Side, dict[str, Watched]]":
    """Return a side whose code is watched, and what will be seen of it."""
    from shared.app.frozen import PROFILE_FILE, TRANSFORM_FILE
    from shared.app.watched import Watched, WatchedFunction, WatchedTransformer

    seen: dict[str, Watched] = {}
    if side.transformer is not None:
        seen[TRANSFORM_FILE] = Watched()
        side = side._replace(transformer=WatchedTransformer(side.transformer, seen[TRANSFORM_FILE]))
    if side.function is not None:
        seen[PROFILE_FILE] = Watched()
        side = side._replace(function=WatchedFunction(side.function, seen[PROFILE_FILE]))
    return side, seen


def _of_lines(path: Path, draft: "Side", active: "Side | None") -> "tuple[Folded, Folded]":
    from cli.lines import lines_of
    from shared.app.preview import Folded, folded, sample_records

    if not path.is_file():
        raise Failure(f"{path} does not exist: name a file with --events, or a person with --identifier")

    def run(side: "Side") -> "Folded":
        with path.open("rb") as file:
            return folded(side, sample_records(lines_of(file)))

    return (Folded([], Counter()) if active is None else run(active)), run(draft)


def _parted(identifier: str) -> tuple[str, str]:
    kind, is_given, value = identifier.partition("=")
    if not (kind and is_given and value):
        raise typer.BadParameter("--identifier takes a type and a value, like user_id=u_1086")
    return kind, value


def _of_people(
    stage: str | None,
    name: str,
    draft: "Side",
    active: "Side | None",
    identifiers: list[tuple[str, str]],
) -> "tuple[Folded, Folded]":
    """Run the archived events of people whom the active version knows, of the time of their profiles."""
    from cli.profiles import find
    from cli.target import resolve
    from shared.app.preview import archived_records, folded_of_people
    from shared.core.archive import DamagedArchiveError

    if active is None:
        raise Failure(f"builder {name} has no active version, which would know who this is: use --events")
    people = [find(stage, name, None, one, None).profile for one in identifiers]
    since = min(one.created_at for one in people) - MARGIN_MS
    until = max(one.updated_at for one in people) + MARGIN_MS
    wanted = {one for profile in people for one in profile.identifiers}
    target = resolve(stage)
    objects = target.bucket()
    with _telling() as tell:
        try:
            before, after = folded_of_people(
                [active, draft], lambda: archived_records(objects, since, until, tell), wanted
            )
        except DamagedArchiveError as error:
            raise Failure(f"the archive is damaged: {error}") from None
    return before, after


@contextmanager
def _telling() -> "Iterator[Callable[[str], None]]":
    """Show on a terminal which part of the archive is read."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    with console.status("reading the archive") as status:
        yield lambda key: status.update(f"reading {key.rpartition('/')[0]}")


def _print(previewed: Previewed, *, everything: bool, limit: int) -> None:
    from shared.app.preview import changes, paired

    pairs = [(one, changes(one)) for one in paired(previewed.active.profiles, previewed.draft.profiles)]
    differing = [one for one in pairs if one[1]]
    for line in _summary(previewed, len(pairs), [found for _, found in differing]):
        typer.echo(line)
    for file, seen in previewed.code.items():
        for line in _seen(file, seen, limit):
            typer.echo(line)
    shown = pairs if everything else differing
    for pair, found in shown[:limit]:
        typer.echo("")
        _print_pair(previewed, pair, found, everything=everything)
    more = len(shown) - limit
    if more > 0:
        typer.echo(f"\n... and {more} more; --limit shows more of them")


def _summary(previewed: Previewed, count: int, found: "Sequence[Sequence[Change]]") -> "Iterator[str]":
    from cli.tables import counted, harmless

    active, draft = previewed.active, previewed.draft
    if previewed.version is not None:
        yield f"active version {previewed.version}: {_outcome(active)}"
    yield f"draft of {previewed.builder}: {_outcome(draft)}"
    if previewed.version is None:
        yield "no active version to compare it with"
        return
    if not found:
        yield f"{counted(count, 'profile')}, all the same"
        return
    yield f"{counted(count, 'profile')}, {len(found)} different:"
    names = Counter(harmless(change.name) for one in found for change in one)
    width = max(map(len, names))
    for name, profiles in names.most_common(CHANGED_SHOWN):
        yield f"  {name:<{width}}  in {profiles}"
    if len(names) > CHANGED_SHOWN:
        yield f"  ... and {len(names) - CHANGED_SHOWN} others"


def _seen(file: str, seen: "Watched", limit: int) -> "Iterator[str]":
    """Tell what code did: `limit` of each kind, by ids and paths; the values of events are nobody's here."""
    what = "profiles" if file == "profile.py" else "events"
    each_ms = 1000 * seen.seconds / max(seen.count, 1)
    yield f"{file} of the draft: {seen.count} {what} in {1000 * seen.seconds:.1f} ms, {each_ms:.2f} ms each"
    kinds = Counter(note.became for note in seen.notes)
    for kind, count in kinds.items():
        for note in [one for one in seen.notes if one.became == kind][:limit]:
            yield f"  {kind:<9}  {note.id}  {note.detail}".rstrip()
        if count > limit:
            yield f"  {kind:<9}  ... and {count - limit} more"


def _outcome(folded: "Folded") -> str:
    from cli.tables import counted

    tally = folded.tally
    parts = [counted(tally["events_in"], "event"), counted(len(folded.profiles), "profile")]
    for name, count in sorted(tally.items()):
        kind, _, reason = name.partition(".")
        if kind in ("dropped", "quarantined") and reason:
            parts.append(f"{count} {kind} ({reason})")
    return ", ".join(parts)


def _print_pair(previewed: Previewed, pair: "Pair", found: "Sequence[Change]", *, everything: bool) -> None:
    from rich.text import Text

    from cli.tables import Column, harmless, is_terminal, print_table, value_text
    from shared.app.preview import Change
    from shared.app.shown import values_of

    shown = pair.active or pair.draft or {}
    people = ", ".join(f"{kind} {values[0]}" for kind, values in list(shown["identifiers"].items())[:2])
    typer.echo(f"profile {shown['profile_id']} ({harmless(people)})")
    rows = list(found)
    if everything:
        before, after = values_of(pair.active), values_of(pair.draft)
        names = sorted(before.keys() | after.keys())
        rows = [Change(name, before.get(name), after.get(name)) for name in names]
    changed = {one.name for one in found}
    is_alone = previewed.version is None
    cut = TEXT_MAX if is_terminal() else None
    cells: list[list[str | Text]] = []
    for one in rows:
        style = "" if is_alone else _style(one) if one.name in changed else "dim"
        values = (one.draft,) if is_alone else (one.active, one.draft)
        cells.append([one.name, *(Text(value_text(value, cut), style) for value in values)])
    headings = ["draft"] if is_alone else [f"version {previewed.version}", "draft"]
    print_table([Column(""), *map(Column, headings)], cells, indent=2)


def _style(change: "Change") -> str:
    if change.active is None:
        return "green"
    return "red" if change.draft is None else "yellow"


def _json(previewed: Previewed, *, everything: bool) -> str:
    from shared.app.preview import changes, paired
    from shared.core.canonical import canonical_json

    pairs = [(one, changes(one)) for one in paired(previewed.active.profiles, previewed.draft.profiles)]
    facts = {
        "builder": previewed.builder,
        "active_version": previewed.version,
        "active": _facts(previewed.active),
        "draft": _facts(previewed.draft),
        "code": {
            file: {
                "runs": seen.count,
                "ms": Decimal(f"{1000 * seen.seconds:.3f}"),
                "notes": [one._asdict() for one in seen.notes],
            }
            for file, seen in previewed.code.items()
        },
        "profiles": [
            {"active": pair.active, "draft": pair.draft, "changed": [change.name for change in found]}
            for pair, found in pairs
            if found or everything
        ],
    }
    return canonical_json(facts).decode()


def _facts(folded: "Folded") -> dict[str, Any]:
    return {"profiles": len(folded.profiles), "tally": dict(folded.tally)}
