"""FILE.rejected: the lines of a file that could not be used, each with its number and the reason."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shared.app.fold import Rejected
from shared.core.canonical import canonical_json


def rejected_line(rejected: Rejected) -> bytes:
    """Return one line of JSON: the data as text, or in base64 where it is no UTF-8."""
    try:
        data = {"data": rejected.data.decode()}
    except UnicodeDecodeError:
        data = {"data_base64": b64encode(rejected.data).decode("ascii")}
    detail = {"detail": rejected.detail} if rejected.detail else {}
    return canonical_json({"line": rejected.line, "reason": rejected.reason, **detail, **data}) + b"\n"


class RejectedFile:
    """Takes rejected lines as they come; in the end the file is there, or gone if there are none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.is_kept = True
        """Whether it takes the place of an earlier one in the end."""
        self._partial = path.with_name(path.name + ".partial")
        self._file: BinaryIO | None = None

    def add(self, rejected: Rejected) -> None:
        """Add a line."""
        if self._file is None:
            self._file = self._partial.open("wb")
        self._file.write(rejected_line(rejected))
        self.count += 1

    def close(self) -> None:
        """End the file, in the place of an earlier one or as if it had never been."""
        if self._file is not None:
            self._file.close()
        if not self.is_kept:
            self._partial.unlink(missing_ok=True)
        elif self._file is not None:
            self._partial.replace(self.path)
        else:
            self.path.unlink(missing_ok=True)


@contextmanager
def rejected_file(path: Path) -> Iterator[RejectedFile]:
    """Open a file of rejected lines; if something goes wrong, what was there before stays."""
    file = RejectedFile(path)
    try:
        yield file
    except BaseException:
        file.is_kept = False
        raise
    finally:
        file.close()
