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
    cancelled it; `kith rollback` publishes what it says again.
    """
    from cli.builds import print_build
    from cli.publishing import now_ms, publisher_of, refusals, who
    from cli.target import resolve

    target = resolve(stage)
    with refusals():
        cancelled = publisher_of(target).cancel(builder, who(target), now_ms())
    if as_json:
        print_build(target, builder, cancelled.version, as_json=True)
    else:
        typer.echo(
            f"version {cancelled.version} of {builder} is cancelled, and what it made is being deleted"
        )
