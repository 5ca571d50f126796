"""Builder folders that commands read from disk."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.errors import Failure

if TYPE_CHECKING:
    from shared.core.definition import Definition


def read_definition(folder: Path) -> "Definition":
    """Return the definition of a builder's folder; Failure with all its problems if it is none."""
    from shared.adapters.builder_folders import read_builder_folder
    from shared.app.frozen import BUILDER_FILE
    from shared.core.grammar import DefinitionError, parse_definition

    path = folder / BUILDER_FILE
    try:
        text = read_builder_folder(folder).files.get(BUILDER_FILE)
    except (OSError, ValueError) as error:
        raise Failure(str(error)) from None
    if text is None:
        raise Failure(
            f"{path} does not exist: --builder takes the folder of a builder, like builders/customers"
        )
    try:
        return parse_definition(text, str(path))
    except DefinitionError as error:
        raise Failure(f"{folder} is no builder; `kith validate` checks it again:\n{error}") from None
