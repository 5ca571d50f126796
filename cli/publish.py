"""`kith publish`: make the draft a version."""

from typing import TYPE_CHECKING

import typer

from cli.options import AsJson, Stage
from cli.publishing import AcceptLoss, BuilderArgument, Grace, Replace, Watch

if TYPE_CHECKING:
    from cli.target import Target
    from shared.app.registry import Version


def publish(
    builder: BuilderArgument = None,
    watch: Watch = False,
    replace: Replace = False,
    grace: Grace = None,
    accept_loss: AcceptLoss = False,
    as_json: AsJson = False,
    stage: Stage = None,
) -> None:
    """Publish the draft: build it from the archive, as the next version.

    The active version serves until the new one is complete and has caught up with the stream; then
    the new one takes over in one step. Publishing again finishes what an interrupted publish left.
    """
    from cli.losses import ensure_nothing_is_lost
    from cli.publishing import asked, builder_name, publisher_of, refusals
    from cli.target import resolve

    target = resolve(stage)
    name = builder_name(target, builder)
    how = asked(target, grace=grace, replace=replace)
    if not accept_loss:
        ensure_nothing_is_lost(target, name)
    with refusals():
        version = publisher_of(target).publish_draft(name, how)
    tell(target, version, watch=watch, as_json=as_json)


def tell(target: "Target", version: "Version", *, watch: bool, as_json: bool) -> None:
    """Say which version is building, and watch it."""
    from cli.builds import print_build, watch_build_of

    if watch:
        watch_build_of(target, version.builder, version.version, as_json=as_json)
    elif as_json:
        print_build(target, version.builder, version.version, as_json=True)
    else:
        typer.echo(f"version {version.version} of {version.builder} is building")
        typer.echo(f"  kith builds {version.builder} --watch  shows how far it is")
        typer.echo(f"  kith cancel {version.builder}          ends it")
