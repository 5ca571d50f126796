"""Console blocks of the documentation: commands, and what they print."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = (
    (re.compile(r"^(created_at|updated_at|expires_at): .*$", re.MULTILINE), r"\1: TIME"),
    (re.compile(r"in [\d.]+ s \(\d+/s\)"), "in SECONDS s (RATE/s)"),
)


class Step(NamedTuple):
    """A command line and the output that the page shows for it."""

    command: str
    output: str


def blocks(page: Path, language: str) -> list[str]:
    """Return the contents of a page's code blocks in a language."""
    return [content for found, content in _FENCE.findall(page.read_text()) if found == language]


def steps(page: Path) -> list[Step]:
    """Return the commands of a page's console blocks, in order."""
    found = []
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Step(command, output))
    return found


def masked(output: str) -> str:
    """Replace what differs from run to run."""
    for pattern, replacement in _VARYING:
        output = pattern.sub(replacement, output)
    return output.strip()
