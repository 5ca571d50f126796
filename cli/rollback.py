"""`kith rollback`: publish what an earlier version says."""

from typing import Annotated

import typer

from cli.options import AsJson, Stage
from cli.publishing import AcceptLoss, Grace, Replace, Watch


def rollback(
    builder: Annotated[str, typer.Argument(metavar="BUILDER", help="Name of the builder.")],
    version: Annotated[
        int, typer.Argument(metavar="VERSION", min=1, help="Version whose definition is published again.")
    ],
    watch: Watch = False,
    replace: Replace = False,
    grace: Grace = None,
    accept_loss: AcceptLoss = False,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Publish an earlier version again, as the next version.

    It is built from the archive like any other, so it holds all events up to now. The version may as
    well be the active one, or one that failed.
    """
    from cli.losses import ensure_nothing_is_lost
    from cli.publish import tell
    from cli.publishing import asked, publisher_of, refusals
    from cli.target import resolve

    target = resolve(stage)
    how = asked(target, grace=grace, replace=replace)
    if not accept_loss:
        ensure_nothing_is_lost(target, builder)
    with refusals():
        begun = publisher_of(target).rollback(builder, version, how)
    tell(target, begun, watch=watch, as_json=as_json)
