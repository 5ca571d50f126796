"""`kith init`: the folder of a new builder, to start from."""

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.errors import Failure

TEMPLATE: Final = Path(__file__).with_name("template")
NAME: Final = re.compile("[a-z][a-z0-9_]{0,63}")
SCHEMA: Final = "builder.schema.json"


def init(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder to make; its name is the builder's.", file_okay=False),
    ],
) -> None:
    """Make the folder of a new builder.

    It gets a definition, a transformation, a profile function, samples and tests, with comments that say how
    to go on.
    """
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        raise Failure(f"{name} cannot be a builder's name: a-z, 0-9 and _, the first a letter, at most 64")
    if folder.exists() and any(folder.iterdir()):
        raise Failure(f"{folder} is not empty: name a folder that is new")
    for path in sorted(one for one in TEMPLATE.rglob("*") if one.is_file() and one.suffix != ".pyc"):
        made = folder / path.relative_to(TEMPLATE)
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(_filled(path, folder, name), encoding="utf-8")
        typer.echo(f"{made}")
    typer.echo(f"\nCheck it with `kith validate {folder}`, test it with `kith test {folder}`.")
    typer.echo(
        f"Then `kith draft {folder}`, `kith preview {name}` and `kith publish {name}`: docs/publishing.md."
    )


def _filled(path: Path, folder: Path, name: str) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".yaml":
        return text
    text = text.replace("name: NAME", f"name: {name}", 1)
    has_schema = (folder.resolve().parent / SCHEMA).exists()
    return f"# yaml-language-server: $schema=../{SCHEMA}\n{text}" if has_schema else text
