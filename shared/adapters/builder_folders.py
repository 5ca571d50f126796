"""Builder folders on disk."""

from pathlib import Path

from shared.app.folders import BuilderFolder
from shared.app.frozen import FROZEN_FILES


class UnreadableFileError(ValueError):
    """A file of a builder that cannot be read, and why."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


def read_builder_folder(folder: Path) -> BuilderFolder:
    """Read the files of one builder that say what it does. Raises `UnreadableFileError`."""
    paths = (folder / name for name in FROZEN_FILES)
    return BuilderFolder(folder.name, {path.name: _text(path) for path in paths if path.is_file()})


def read_builder_folders(root: Path) -> list[BuilderFolder]:
    """Read every folder below the root, by name; hidden ones are not builders."""
    folders = (path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    return [read_builder_folder(folder) for folder in sorted(folders)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(path, "is not UTF-8") from error
    except OSError as error:
        raise UnreadableFileError(path, f"cannot be read: {error.strerror}") from error
