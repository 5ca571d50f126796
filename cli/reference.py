"""The help of every command, as docs/cli.md shows it: `python -m cli.reference` writes it anew.

The page is written by hand but for its blocks of help, each under a comment that names the command.
"""

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Final

from cli.main import app

PAGE: Final = Path(__file__).parents[1] / "docs" / "cli.md"
COLUMNS: Final = "90"

_BLOCK: Final = re.compile(r"(<!-- (kith[a-z ]*) --help -->\n```text\n).*?(```\n)", re.DOTALL)


def help_of(command: str) -> str:
    """Return what `COMMAND --help` prints in a terminal of `COLUMNS` columns."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS
    try:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            app([*command.split()[1:], "--help"], prog_name="kith", standalone_mode=False)
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return printed.getvalue()


def renewed(page: str) -> str:
    """Return the page with every block of help as it is now."""
    return _BLOCK.sub(lambda block: block[1] + help_of(block[2]) + block[3], page)


def commands(page: str) -> list[str]:
    """Return the commands whose help a page shows."""
    return [block[2] for block in _BLOCK.finditer(page)]


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
