"""Options that several commands share, so that they read the same everywhere."""

from typing import Annotated

import typer

Stage = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Stage on AWS: its stack is `kith-STAGE`. Default: the local cloud of `make run`.",
        show_default=False,
    ),
]
BuilderName = Annotated[
    str | None,
    typer.Option("--builder", metavar="NAME", help="Builder. Default: the only one.", show_default=False),
]
BuilderVersion = Annotated[
    int | None,
    typer.Option(
        "--version",
        metavar="N",
        min=1,
        help="Version of the builder. Default: the active one.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
