"""`kith quarantine`: records that could not be processed, and their replay."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.errors import Failure
from cli.options import AsJson, Stage

if TYPE_CHECKING:
    from cli.target import Target
    from shared.adapters.quarantine import S3Quarantine
    from shared.app.quarantine import DamagedEntryError, Entry, Stored

app = typer.Typer(
    help="Look at records that could not be processed, and replay them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

TEXT_SHOWN_MAX: Final = 2000

Builder = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only of this builder.", show_default=False)
]
Reason = Annotated[
    str | None,
    typer.Option(metavar="REASON", help="Only with this reason, like not_json.", show_default=False),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Only what arrived at this time (ISO 8601, UTC) or later.", show_default=False
    ),
]


@app.command("list")
def list_entries(
    builder: Builder = None,
    reason: Reason = None,
    since: Since = None,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """List what is in quarantine: id, arrival and reason of each entry."""
    from cli.target import resolve
    from shared.core.times import format_time

    found = False
    damaged = _Damaged()
    since_ms = since_of(since)
    for stored in _store(resolve(stage)).list(builder, reason, since_ms, damaged):
        found = True
        if as_json:
            typer.echo(_json(_facts(stored.entry)))
        else:
            entry = stored.entry
            reasons = ", ".join(entry.reasons)
            typer.echo(f"{entry.id}  {format_time(entry.arrival)}  {reasons}  {entry.detail}".rstrip())
    damaged.end()
    if not found and not as_json:
        typer.echo("nothing is in quarantine" if not (builder or reason or since) else "nothing matches")


@app.command()
def show(
    entry_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the entry, as `list` prints it.")],
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Show one entry: why it is there, and what it holds."""
    from cli.tables import harmless
    from cli.target import resolve

    stored = _entry(_store(resolve(stage)), entry_id)
    facts = _facts(stored.entry) | _content(stored.entry)
    if as_json:
        typer.echo(_json(facts))
        return
    for name, value in facts.items():
        text = _counts(value) if isinstance(value, dict) else str(value)
        more = len(text) - TEXT_SHOWN_MAX
        shown = "\n".join(map(harmless, text[:TEXT_SHOWN_MAX].split("\n")))
        typer.echo(f"{name}: {shown}" + (f" ... and {more} characters more" if more > 0 else ""))


@app.command()
def replay(
    entry_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Ids of entries.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Replay every entry, or all that the other options select.")
    ] = False,
    builder: Builder = None,
    reason: Reason = None,
    since: Since = None,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Have ingestion process entries again.

    They keep their arrival. Those that ingestion accepts leave quarantine. Exit code 1 if any of them stays.
    """
    from cli.target import resolve
    from shared import contract
    from shared.adapters.lambda_ import LambdaIngestion
    from shared.app.quarantine import replay as replay_entries

    if bool(entry_ids) == everything:
        raise typer.BadParameter("give IDs, or --all")
    if entry_ids and (builder or reason or since):
        raise typer.BadParameter("--builder, --reason and --since select among all: use them with --all")
    since_ms = since_of(since)
    target = resolve(stage)
    store = _store(target)
    damaged = _Damaged()
    entries = (
        store.list(builder, reason, since_ms, damaged)
        if everything
        else (_entry(store, one) for one in entry_ids or [])
    )
    ingestion = LambdaIngestion(target.caller(), target.output(contract.OUTPUT_INGEST_FUNCTION))
    replayed = replay_entries(store, ingestion, entries)
    outcomes = {
        "accepted": replayed.accepted,
        "still_bad": replayed.still_bad,
        "failed": replayed.failed,
        "orphaned": replayed.orphaned,
    }
    if as_json:
        typer.echo(_json(outcomes))
    else:
        typer.echo(", ".join(f"{name.replace('_', ' ')}: {len(ids)}" for name, ids in outcomes.items()))
    damaged.end()
    if sum(map(len, outcomes.values())) > len(replayed.accepted):
        raise Failure(
            "what stays in quarantine: still bad entries are unreadable for this release, failed ones are "
            "explained in the ingestion function's log, orphaned ones belong to a version that has ended"
        )


def _store(target: "Target") -> "S3Quarantine":
    from shared.adapters.quarantine import S3Quarantine

    return S3Quarantine(target.bucket())


class _Damaged:
    """Takes what is no entry, so that the others are gone through first."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def __call__(self, error: "DamagedEntryError") -> None:
        self._found.append(str(error))

    def end(self) -> None:
        """Fail, if there was any."""
        if self._found:
            raise Failure("\nkith: ".join(self._found))


def _entry(store: "S3Quarantine", entry_id: str) -> "Stored":
    from shared.app.quarantine import DamagedEntryError

    try:
        stored = store.get(entry_id)
    except DamagedEntryError as error:
        raise Failure(str(error)) from None
    if stored is None:
        raise Failure(f"quarantine has no entry {entry_id}; `kith quarantine list` prints the ids")
    return stored


def since_of(text: str | None) -> int | None:
    """Return the time that somebody typed, ms UTC; None if none was given."""
    from shared.core.times import parse_time

    if text is None:
        return None
    moment = parse_time(text)
    if moment is None:
        raise typer.BadParameter("--since takes a time like 2026-01-31 or 2026-01-31T12:00:00Z")
    return moment


def _facts(entry: "Entry") -> dict[str, Any]:
    from shared.core.times import format_time

    return {
        "id": entry.id,
        "builder": entry.builder,
        "version": entry.version,
        "reason": entry.reason,
        "detail": entry.detail,
        "reasons": dict(entry.reasons),
        "arrival": format_time(entry.arrival),
        "shard": entry.shard,
        "sequence": entry.sequence,
        "index": entry.index,
    }


def _counts(reasons: dict[str, int]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in reasons.items())


def _content(entry: "Entry") -> dict[str, str]:
    """Return what the entry holds, each event on a line, as text, or in base64 where it is none."""
    from base64 import b64encode

    from shared.core.records import kinesis_records

    data = [record.data for record in kinesis_records(entry.envelope)]
    try:
        return {"data": "\n".join(one.decode() for one in data)}
    except UnicodeDecodeError:
        return {"data_base64": "\n".join(b64encode(one).decode() for one in data)}


def _json(value: Any) -> str:
    from shared.core.canonical import canonical_json

    return canonical_json(value).decode()
