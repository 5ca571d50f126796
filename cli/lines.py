"""Lines of events in files, however long they are."""

from collections.abc import Iterator
from typing import IO, Final

from shared.core.containers import LINE_BYTES_MAX

BOM: Final = b"\xef\xbb\xbf"
"""What some editors begin a file of UTF-8 with; no part of its first line."""


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines; of one that is too long for an event its beginning, for it may not fit in memory."""
    is_first = True
    while line := file.readline(LINE_BYTES_MAX):
        yield line.removeprefix(BOM) if is_first else line
        is_first = False
        if is_cut(line):
            for _ in rest_of_line(file):
                pass


def is_cut(line: bytes) -> bool:
    """Tell whether there is more of a line of which so much was read."""
    return len(line) == LINE_BYTES_MAX and not line.endswith(b"\n")


def rest_of_line(file: IO[bytes]) -> Iterator[bytes]:
    """Yield what is left of a line, in pieces."""
    while piece := file.readline(LINE_BYTES_MAX):
        yield piece
        if piece.endswith(b"\n"):
            return
