"""`kith test`: the tests that builders bring."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shared.core.masking import Mask

BUILDERS: Final = Path("builders")
TESTS: Final = "tests"


def run_tests(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DIR",
            help="Folders of builders. Default: every folder in builders/ that has tests.",
            show_default=False,
            exists=True,
            file_okay=False,
        ),
    ] = None,
    events: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Events that the tests get as `samples`. Default: those in samples/.",
            show_default=False,
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Run the tests of builders, with pytest.

    They stand in the folder tests/ of a builder, and get what docs/transformations.md lists: `transform` runs
    its chain, `profile` its profile function, `profiles` folds events, `samples` are events, `context` is for
    calling a function directly. Values of its secrets are masked in what is printed.
    """
    if find_spec("pytest") is None:
        raise Failure("pytest is not installed: `make setup` installs it")
    chosen = folders or sorted(one.parent for one in BUILDERS.glob(f"*/{TESTS}") if one.is_dir())
    if not chosen:
        raise Failure(f"no builder in {BUILDERS}/ has a folder {TESTS}/: `kith init` makes one that has")
    without = [str(one) for one in chosen if not (one / TESTS).is_dir()]
    if without:
        raise Failure(f"there is no folder {TESTS}/ in {', '.join(without)}")
    from cli.folders import read_builder
    from cli.reach import local_reach

    checked = []
    for one in chosen:
        builder = read_builder(one)
        _check(one, builder.files)
        # Failure with path and line, if any of them cannot be read or run.
        builder.code()
        checked.append((one, local_reach().hidden(builder.definition)))
    given = [one.resolve() for one in events or ()]
    # One after the other, each in a process of its own: their modules have the same names.
    failed = [_run(folder.resolve(), given, hidden) for folder, hidden in checked]
    if any(failed):
        raise typer.Exit(1)


def _check(folder: Path, files: "Mapping[str, str]") -> None:
    """Refuse what would run here and nowhere else: the tests find modules that the cloud does not have."""
    from shared.app.folders import python_problems

    problems = [
        f"{folder / name}:{line}: {message}"
        for name, text in files.items()
        for line, message in python_problems(name, text)
    ]
    if problems:
        raise Failure("\n".join(problems))


def _run(folder: Path, events: list[Path], hidden: "Iterable[str]") -> bool:
    """Run one folder's tests; say whether any failed. What is hidden is masked in all that they print."""
    from cli.fixtures import EVENTS, FOLDER
    from cli.hashing import HASH_SEED
    from shared.core.masking import Mask

    arguments = ["-q", "-p", "cli.fixtures", "-p", "no:cacheprovider", "-c", os.devnull]
    command = [sys.executable, "-m", "pytest", *arguments, f"--rootdir={folder}", str(folder / TESTS)]
    # The folder comes first, so that `import transform` is the builder's own.
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    given = os.pathsep.join(map(str, events))
    environment = {**os.environ, "PYTHONPATH": path, FOLDER: str(folder), EVENTS: given, **HASH_SEED}
    typer.echo(f"{folder.name}:")
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    if not hidden:
        return subprocess.run(command, check=False, cwd=folder, env=environment).returncode != 0  # noqa: S603 - our own interpreter, and the user's own tests
    return _run_masked(command, folder, environment, Mask(hidden)) != 0


def _run_masked(command: list[str], folder: Path, environment: dict[str, str], mask: "Mask") -> int:
    process = subprocess.Popen(  # noqa: S603 - as above
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        for line in process.stdout or ():
            typer.echo(mask(line), nl=False)
    return process.returncode
