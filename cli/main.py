"""`kith`, the command line: one module per command, heavy imports inside the commands."""

import typer

from cli import (
    backfill,
    builds,
    cancel,
    draft,
    events,
    fold,
    functions,
    get,
    init,
    preview,
    publish,
    quarantine,
    rollback,
    send,
    test,
    validate,
    verify,
    versions,
)
from cli.errors import Commands
from cli.hashing import own_process

app = typer.Typer(
    name="kith",
    cls=Commands,
    help="Customer profiles in your own AWS account: the same events always give the same profiles.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain text, in a terminal as in a pipe
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("init")(init.init)
app.command("validate")(validate.validate)
app.command("test")(test.run_tests)
app.command("send")(send.send)
app.command("get")(get.get)
app.command("events")(events.events)
app.command("fold")(fold.fold)
app.command("backfill")(backfill.backfill)
app.command("draft")(draft.draft)
app.command("preview")(preview.preview)
app.command("publish")(publish.publish)
app.command("builds")(builds.builds)
app.command("versions")(versions.versions)
app.command("rollback")(rollback.rollback)
app.command("cancel")(cancel.cancel)
app.command("verify")(verify.verify)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(functions.app, name="functions")


def main() -> None:
    """Run the command line."""
    own_process()
    app(prog_name="kith")


if __name__ == "__main__":
    main()
