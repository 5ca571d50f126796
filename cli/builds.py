"""`kith builds`: how far the builds of versions are."""

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.errors import Failure
from cli.options import AsJson, Stage
from cli.publishing import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from cli.target import Target
    from shared.app.builds import Build, State

POLL_S: Final = 1.0
STUCK_POLLS_MAX: Final = 15
"""How often a version may be found without an execution that runs before watching it ends."""
BAR_WIDTH: Final = 16
_MARKS: Final = {"done": "✓", "running": "▸", "failed": "✗", "waiting": " "}
_COLOURS: Final = {"done": "green", "running": "cyan", "failed": "red", "waiting": "dim"}


def builds(
    builder: Annotated[
        str | None,
        typer.Argument(metavar="BUILDER", help="Name of the builder. Default: all.", show_default=False),
    ] = None,
    watch: Watch = False,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Show how far the builds of versions are, or how the last one of each builder ended.

    With --watch, stays until the build has ended; exit code 1 if it failed.
    """
    from cli.publishing import builds_of, registry_of
    from cli.target import resolve

    target = resolve(stage)
    names = [builder] if builder is not None else registry_of(target).builders()
    reader = builds_of(target)
    newest = [one for one in map(reader.newest, names) if one is not None]
    if not newest:
        raise Failure(f"builder {builder} has no version yet" if builder else "no builder has a version yet")
    if watch:
        building = [one for one in newest if one.finished_at == 0] or newest
        if len(building) > 1:
            named = ", ".join(one.builder for one in building)
            raise Failure(f"several builders have builds: name the one to watch ({named})")
        watch_build_of(target, building[0].builder, building[0].version, as_json=as_json)
        return
    for one in newest:
        print_build(target, one.builder, one.version, as_json=as_json)


def print_build(target: "Target", builder: str, version: int, *, as_json: bool) -> None:
    """Print how far one version is."""
    from rich.console import Console

    from cli.publishing import builds_of, now_ms

    now = now_ms()
    found = builds_of(target).of(builder, version, now)
    if as_json:
        typer.echo(_json(found))
    else:
        console = Console(highlight=False, soft_wrap=True)
        if console.is_terminal:
            console.print(_drawn(found, now))
        else:
            for line in _lines(found, now):
                typer.echo(line)


def watch_build_of(target: "Target", builder: str, version: int, *, as_json: bool) -> None:
    """Show how a version goes on until it has ended; Failure if it failed."""
    from rich.console import Console

    console = Console(highlight=False)
    if console.is_terminal and not as_json:
        last = _watch_drawn(target, builder, version)
    else:
        last = _watch_plain(target, builder, version, as_json=as_json)
    if last.is_building:
        raise Failure(_stuck(last))
    if last.version.reason:
        raise Failure(f"version {version} of {builder} has failed: {last.version.reason}")
    if not as_json:
        typer.echo(f"version {version} of {builder} is {last.version.status}")


def _watch_drawn(target: "Target", builder: str, version: int) -> "Build":
    from rich.live import Live

    from cli.publishing import builds_of, now_ms

    reader, stuck = builds_of(target), 0
    with Live(auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            now = now_ms()
            found = reader.of(builder, version, now)
            live.update(_drawn(found, now), refresh=True)
            stuck = stuck + 1 if found.is_stuck else 0
            if not found.is_building or stuck > STUCK_POLLS_MAX:
                return found
            time.sleep(POLL_S)


def _watch_plain(target: "Target", builder: str, version: int, *, as_json: bool) -> "Build":
    """Print a line whenever something has changed."""
    from cli.publishing import builds_of, now_ms

    reader, stuck, before = builds_of(target), 0, ""
    while True:
        found = reader.of(builder, version, now_ms())
        line = _json(found) if as_json else _line(found)
        if line != before:
            typer.echo(line)
            before = line
        stuck = stuck + 1 if found.is_stuck else 0
        if not found.is_building or stuck > STUCK_POLLS_MAX:
            return found
        time.sleep(POLL_S)


def _title(build: "Build", now: int) -> str:
    version = build.version
    ended = version.finished_at or now
    took = _duration((ended - version.created_at) / 1000)
    how_long = f"for {took}" if build.is_building else f"after {took}"
    return (
        f"{version.builder}, version {version.version}: {version.status} {how_long}, "
        f"published by {version.created_by}"
    )


def _drawn(build: "Build", now: int) -> "RenderableType":
    """Draw a build for a terminal: its states under each other, with bars for those that are maps."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for state in build.states:
        colour = _COLOURS[state.status]
        bar = (
            ProgressBar(
                total=state.total,
                completed=state.done,
                width=BAR_WIDTH,
                complete_style="cyan",
                finished_style="green",
            )
            if state.total and state.status != "waiting"
            else Text("")
        )
        name = Text(f"  {_MARKS[state.status]} {state.name}", colour)
        table.add_row(name, bar, Text(", ".join(_facts(state)), "" if state.status == "running" else "dim"))
    parts: list[RenderableType] = [_coloured_title(build, now), table]
    parts += [Text(f"  {line}", "red") for line in _trouble(build)]
    return Group(*parts)


def _coloured_title(build: "Build", now: int) -> "Text":
    from rich.text import Text

    from cli.publishing import coloured

    before, status, after = _title(build, now).partition(f" {build.version.status}")
    return Text.assemble((before, "bold"), " ", coloured(status.strip()), after)


def _lines(build: "Build", now: int) -> "Sequence[str]":
    """Return a build as plain lines."""
    lines = [_title(build, now)]
    for state in build.states:
        facts = ", ".join([state.status, *_facts(state)])
        lines.append(f"  {state.name:<8} {facts}")
    return [*lines, *(f"  {line}" for line in _trouble(build))]


def _line(build: "Build") -> str:
    """Return the one line that tells where a build is."""
    version = build.version
    at = next((one for one in build.states if one.status in ("running", "failed")), None)
    if at is None or not build.is_building:
        facts = [version.status.value, *([version.reason] if version.reason else [])]
        return f"{version.builder} v{version.version}: " + ", ".join(facts)
    facts = _facts(at.settled())
    return f"{version.builder} v{version.version}: " + ", ".join([at.name, *facts])


def _facts(state: "State") -> list[str]:
    if not state.unit:
        return []
    of_all = f"/{state.total:,}" if state.total else ""
    facts = [f"{state.done:,}{of_all} {state.unit}"]
    for name, count in state.counts.items():
        rate = f" ({state.events_per_s:,}/s)" if name == "events" and state.events_per_s else ""
        facts.append(f"{count:,} {name}{rate}")
    if state.left_s is not None:
        facts.append(f"{_duration(state.left_s)} left")
    return facts


def _trouble(build: "Build") -> list[str]:
    if build.version.reason:
        return [build.version.reason]
    return [_stuck(build)] if build.is_stuck else []


def _stuck(build: "Build") -> str:
    name, number = build.version.builder, build.version.version
    if not build.execution:
        return f"its build was never started: publish it again, or `kith cancel {name}`"
    return f"nothing works at version {number} (execution: {build.execution}): `kith cancel {name}` ends it"


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def _json(build: "Build") -> str:
    import msgspec

    from cli.versions import version_facts
    from shared.core.canonical import canonical_json

    facts: dict[str, Any] = {
        "builder": build.version.builder,
        **version_facts(build.version),
        "execution": build.execution or None,
        "states": msgspec.to_builtins(build.states),
    }
    return canonical_json(facts).decode()
