"""`kith functions`: profiles whose function keeps failing, and another try for them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import Failure
from cli.options import AsJson, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.target import Target
    from shared.adapters.function_errors import S3FunctionErrors
    from shared.app.functions.errors import FunctionError, Standing

app = typer.Typer(
    help="Look at profiles whose function keeps failing, and have it run again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Builder = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only of this builder.", show_default=False)
]


@app.command("errors")
def list_errors(builder: Builder = None, as_json: AsJson = False, stage: Stage = None) -> None:
    """List profiles whose function failed for the last time, and why.

    A profile that has changed since and then had a result is not listed.
    """
    from cli.target import resolve
    from shared.core.times import format_time

    target = resolve(stage)
    found = False
    for one in _standing(target, builder):
        if one.rev is None:
            continue
        found = True
        if as_json:
            typer.echo(_json(_facts(one.error)))
            continue
        due = one.error.due
        typer.echo(
            f"{due.builder} v{due.version} {due.profile_id}  {format_time(one.error.failed_at)}"
            f"  {one.error.reason}  {one.error.detail}".rstrip()
        )
    if not found and not as_json:
        typer.echo("no profile function has failed for good")


@app.command()
def retry(
    profile_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Ids of profiles, as `errors` prints them.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every profile that `errors` lists.")] = False,
    builder: Builder = None,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Have the functions of profiles run again that failed.

    All attempts are made anew. Profiles that no longer need it are forgotten.
    """
    from cli.target import resolve
    from shared import contract
    from shared.adapters.sqs import SqsQueue
    from shared.app.functions.errors import retry as retry_errors

    if bool(profile_ids) == everything:
        raise typer.BadParameter("give IDs, or --all")
    target = resolve(stage)
    wanted = set(profile_ids or ())
    found = [one for one in _standing(target, builder) if everything or one.error.due.profile_id in wanted]
    missing = wanted - {one.error.due.profile_id for one in found}
    if missing:
        raise Failure(f"`kith functions errors` lists no profile {min(missing)}")
    queue = SqsQueue(target.client("sqs"), target.output(contract.OUTPUT_FUNCTIONS_QUEUE))
    sent, forgotten = retry_errors(_errors(target), queue, found)
    if as_json:
        typer.echo(_json({"sent": sent, "forgotten": forgotten}))
    else:
        typer.echo(f"to run again: {sent}, no longer due: {forgotten}")


def _errors(target: "Target") -> "S3FunctionErrors":
    from shared.adapters.function_errors import S3FunctionErrors

    return S3FunctionErrors(target.bucket())


def _standing(target: "Target", builder: str | None) -> "Iterator[Standing]":
    from shared import contract
    from shared.adapters.clock import SystemClock
    from shared.adapters.dynamo.due import DynamoDueProfiles
    from shared.app.functions.errors import DamagedFunctionError, standing

    table = target.output(contract.OUTPUT_PROFILES_TABLE)
    profiles = DynamoDueProfiles(target.client("dynamodb"), table, SystemClock())
    try:
        yield from standing(_errors(target).list(builder), profiles)
    except DamagedFunctionError as error:
        raise Failure(str(error)) from None


def _facts(error: "FunctionError") -> dict[str, Any]:
    from shared.core.times import format_time

    return {
        "builder": error.due.builder,
        "version": error.due.version,
        "profile_id": error.due.profile_id,
        "reason": error.reason,
        "detail": error.detail,
        "attempts": error.attempts,
        "failed_at": format_time(error.failed_at),
    }


def _json(value: Any) -> str:
    from shared.core.canonical import canonical_json

    return canonical_json(value).decode()
