"""`kith validate`: check builders before they are deployed."""

from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer

from cli.errors import Failure
from cli.options import AsJson

BUILDERS: Final = Path("builders")


class Wrong(NamedTuple):
    """A problem, and where it is; lines count from 1."""

    path: Path
    line: int
    message: str


def validate(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR",
            help="Folders of builders. Default: every folder in builders/.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check builders, and tell everything that is wrong.

    Each problem is told with its path, its line and what is allowed instead.
    """
    checked = [(folder, _problems(folder)) for folder in folders or _all_folders()]
    if as_json:
        from shared.core.canonical import canonical_json

        typer.echo(canonical_json([_as_json(folder, problems) for folder, problems in checked]))
    else:
        for folder, problems in checked:
            for one in problems:
                typer.echo(f"{one.path}:{one.line}: {one.message}", err=True)
            if not problems:
                typer.echo(f"{folder}: ok")
    if any(problems for _, problems in checked):
        raise typer.Exit(1)


def _all_folders() -> list[Path]:
    if not BUILDERS.is_dir():
        raise Failure(f"there is no folder {BUILDERS}/ here: name the folders of builders, or go where it is")
    folders = [one for one in BUILDERS.iterdir() if one.is_dir() and not one.name.startswith((".", "__"))]
    if not folders:
        raise Failure(f"{BUILDERS}/ holds no folder of a builder")
    return sorted(folders)


def _problems(folder: Path) -> list[Wrong]:
    from shared.adapters.builder_folders import UnreadableFileError, read_builder_folder
    from shared.app.folders import missing_problems, python_problems
    from shared.app.frozen import BUILDER_FILE
    from shared.core.grammar import DefinitionError, parse_definition

    source = folder / BUILDER_FILE
    if not folder.is_dir():
        return [Wrong(folder, 1, "is no folder: name that of a builder, like builders/customers")]
    try:
        files = read_builder_folder(folder).files
    except UnreadableFileError as error:
        return [Wrong(error.path, 1, error.problem)]
    except OSError as error:
        return [Wrong(folder, 1, f"cannot be read: {error.strerror}")]
    if BUILDER_FILE not in files:
        return [Wrong(source, 1, "is missing")]
    problems = [
        Wrong(folder / name, line, message)
        for name, text in files.items()
        for line, message in python_problems(name, text)
    ]
    try:
        definition = parse_definition(files[BUILDER_FILE])
    except DefinitionError as error:
        told = [
            (one.line, f"{one.path}: {one.message}" if one.path else one.message) for one in error.problems
        ]
        return [Wrong(source, line, message) for line, message in told] + problems
    problems += [Wrong(source, *one) for one in missing_problems(definition, files)]
    whole = folder.resolve()
    if whole.parent.name == BUILDERS.name and definition.name != whole.name:
        problems.append(Wrong(source, 1, f"name: must be the folder's name, {whole.name}"))
    return problems


def _as_json(folder: Path, problems: list[Wrong]) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "ok": not problems,
        "problems": [{"path": str(one.path), "line": one.line, "message": one.message} for one in problems],
    }
