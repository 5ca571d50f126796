"""Builder folders that commands read from disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import typer

from cli.errors import Failure

if TYPE_CHECKING:
    from shared.app.functions.ports import FunctionInput, ProfileFunction
    from shared.app.local_code import Reach
    from shared.app.reading import Transformer
    from shared.core.definition import Definition
    from shared.core.functions import FunctionOutcome

LOGGED_MAX: Final = 100
"""Lines of the log of user code that a command shows: a run may have one for each of a million events."""


class ReadBuilder(NamedTuple):
    """A builder's folder, read: where it is, what it says, and the texts of its files by name."""

    folder: Path
    definition: "Definition"
    files: Mapping[str, str]

    def code(self) -> "tuple[Transformer | None, ProfileFunction | None]":
        """Return what runs the folder's chain and its profile function; Failure if one cannot be run.

        They have one store, as in the cloud. What they log goes to stderr, and so does why the profile
        function failed for a profile.
        """
        from cli.reach import local_reach

        reach = local_reach()
        return self._transformer(reach), self._profile_function(reach)

    def _transformer(self, reach: "Reach") -> "Transformer | None":
        from shared.adapters.clock import SystemClock
        from shared.app.frozen import TRANSFORM_FILE
        from shared.app.transform import local_transformer
        from shared.core.user_code import UserCodeError

        path = self.folder / TRANSFORM_FILE
        try:
            return local_transformer(
                self.files, self.definition, _Logged(path).write, SystemClock().pause, reach
            )
        except UserCodeError as error:
            raise Failure(f"{path}:{error.line}: {error}") from None

    def _profile_function(self, reach: "Reach") -> "ProfileFunction | None":
        from shared.app.frozen import PROFILE_FILE
        from shared.app.functions.local import local_profile_function
        from shared.core.user_code import UserCodeError

        path = self.folder / PROFILE_FILE
        logged = _Logged(path)
        try:
            function = local_profile_function(self.files, self.definition, logged.write, reach)
        except UserCodeError as error:
            raise Failure(f"{path}:{error.line}: {error}") from None
        return None if function is None else _Told(function, logged)


class _Told:
    """A profile function whose failures are told."""

    def __init__(self, function: "ProfileFunction", logged: "_Logged") -> None:
        self._function = function
        self._logged = logged

    def run(self, inputs: "Sequence[FunctionInput]", time_s: float | None = None) -> "list[FunctionOutcome]":
        from shared.core.functions import FunctionFailure

        outcomes = self._function.run(inputs, time_s)
        for given, outcome in zip(inputs, outcomes, strict=True):
            if isinstance(outcome, FunctionFailure):
                why = f"{outcome.detail} ({outcome.reason})"
                self._logged.write("error", f"profile {given.user.profile_id} has no result: {why}")
        return outcomes


class _Logged:
    """Shows the log of user code, as far as anybody reads it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = 0

    def write(self, level: str, text: str) -> None:
        self._lines += 1
        if self._lines <= LOGGED_MAX:
            typer.echo(f"{self._path}: {level}: {text}", err=True)
        if self._lines == LOGGED_MAX:
            typer.echo(f"{self._path}: further lines of its log are not shown", err=True)


def read_builder(folder: Path) -> ReadBuilder:
    """Return a builder's folder, read; Failure with all its problems if it is none."""
    from shared.adapters.builder_folders import read_builder_folder
    from shared.app.folders import missing_problems
    from shared.app.frozen import BUILDER_FILE, complete
    from shared.core.grammar import DefinitionError, parse_definition

    path = folder / BUILDER_FILE
    try:
        files = read_builder_folder(folder).files
    except (OSError, ValueError) as error:
        raise Failure(str(error)) from None
    if BUILDER_FILE not in files:
        raise Failure(
            f"{path} does not exist: --builder takes the folder of a builder, like builders/customers"
        )
    try:
        definition = parse_definition(files[BUILDER_FILE], str(path))
    except DefinitionError as error:
        raise Failure(f"{folder} is no builder; `kith validate` checks it again:\n{error}") from None
    for problem in missing_problems(definition, files):
        raise Failure(f"{path}:{problem.line}: {problem.message}")
    return ReadBuilder(folder, complete(definition, files), files)
