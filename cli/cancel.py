"""`kith cancel`: end a build."""

from typing import Annotated

import typer

from cli.options import AsJson, Stage


def cancel(
    builder: Annotated[str, typer.Argument(metavar="BUILDER", help="Name of the builder.")],
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """End the build of a version, and delete what it has made.

    The active version serves on. Of the cancelled one only its row in the registry stays, which says who
    cancelled it; `kith rollback` publishes what it says again. Where none is building, it deletes what
    versions that failed have left, if that was broken off.
    """
    from cli.builds import print_build
    from cli.publishing import now_ms, publisher_of, refusals, who
    from cli.target import resolve
    from shared.app.publish import is_cancelled

    target = resolve(stage)
    with refusals():
        cancelled = publisher_of(target).cancel(builder, who(target), now_ms())
    if as_json:
        print_build(target, builder, cancelled.version, as_json=True)
    else:
        became = "is cancelled" if is_cancelled(cancelled) else "has failed"
        typer.echo(f"version {cancelled.version} of {builder} {became}, and what it made is being deleted")
