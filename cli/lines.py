"""Lines of events in files, however long they are."""

from collections.abc import Iterator
from typing import IO, Final

from shared.core.containers import LINE_BYTES_MAX

BOM: Final = b"\xef\xbb\xbf"
"""What some editors put before the first character of a text."""


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines; of one that is too long for an event its beginning, for it may not fit in memory."""
    is_first = True
    while line := file.readline(LINE_BYTES_MAX):
        yield line.removeprefix(BOM) if is_first else line
        is_first = False
        while len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
            line = file.readline(LINE_BYTES_MAX)  # the rest of the same line
