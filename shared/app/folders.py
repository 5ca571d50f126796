"""Reading builder folders as somebody wrote them: definitions, frozen, or all that is wrong with them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.app.frozen import BUILDER_FILE, PROFILE_FILE, TRANSFORM_FILE, complete, freeze
from shared.core.chain_check import ChainProblem, chain_problems, function_problems, syntax_problem
from shared.core.definition import Definition
from shared.core.grammar import DefinitionError, parse_definition
from shared.core.user_code import TOO_DEEP

_OPTIONS: Final = re.compile(r"""^["']?profile_function\b""", re.MULTILINE)


class BrokenBuildersError(Exception):
    """At least one builder folder is no definition; the message holds every problem of every folder."""


@dataclass(frozen=True, slots=True)
class BuilderFolder:
    """A builder as somebody wrote it: the folder's name, and its files' texts by name."""

    name: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A folder that was read: what it says, and that frozen."""

    name: str
    definition: Definition
    data: bytes
    sha256: str


def read_folders(folders: Sequence[BuilderFolder]) -> list[Candidate]:
    """Read and freeze all folders, or raise BrokenBuildersError with every problem of every folder."""
    candidates: list[Candidate] = []
    problems: list[str] = []
    for folder in sorted(folders, key=lambda one: one.name):
        definition, found = _definition(folder)
        problems += found
        if definition is not None and not found:
            candidates.append(Candidate(folder.name, definition, *freeze(definition, folder.files)))
    if problems:
        raise BrokenBuildersError("\n".join(problems))
    return candidates


def _definition(folder: BuilderFolder) -> tuple[Definition | None, list[str]]:
    """Read one folder: its definition as far as there is one, and everything that is wrong."""
    found = [
        f"{folder.name}/{file}:{problem.line}: {problem.message}"
        for file, text in folder.files.items()
        for problem in python_problems(file, text)
    ]
    source = f"{folder.name}/{BUILDER_FILE}"
    if BUILDER_FILE not in folder.files:
        return None, [*found, f"{source}: is missing"]
    try:
        definition = parse_definition(folder.files[BUILDER_FILE], source)
    except DefinitionError as error:
        return None, [*found, *error.lines()]
    if definition.name != folder.name:
        found.append(f"{source}: name: must be the folder's name, {folder.name}, not {definition.name}")
    found += [f"{source}:{one.line}: {one.message}" for one in missing_problems(definition, folder.files)]
    return complete(definition, folder.files), found


def missing_problems(definition: Definition, files: Mapping[str, str]) -> list[ChainProblem]:
    """Say what a folder's `builder.yaml` speaks of that is not there."""
    if not definition.profile_function or PROFILE_FILE in files:
        return []
    said = _OPTIONS.search(files[BUILDER_FILE])
    line = files[BUILDER_FILE].count("\n", 0, said.start()) + 1 if said else 1
    what = f"there is no {PROFILE_FILE} beside it: add one that defines `profile`, or leave this out"
    return [ChainProblem(line, f"profile_function: {what}")]


def python_problems(file: str, text: str) -> list[ChainProblem]:
    """Say what is wrong with a file of a folder, as far as that shows without running it."""
    try:
        if file == TRANSFORM_FILE:
            return chain_problems(text, file)
        if file == PROFILE_FILE:
            return function_problems(text, file)
        problem = syntax_problem(text, file) if file.endswith(".py") else None
    except (RecursionError, MemoryError):  # Python's parser says the one or the other
        return [ChainProblem(1, TOO_DEEP)]
    return [problem] if problem else []
