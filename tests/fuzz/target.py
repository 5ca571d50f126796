"""What is fuzzed: something that reads bytes, and what it once failed on."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

CORPUS = Path(__file__).parent / "corpus"


class Target(NamedTuple):
    """What reads bytes, and bytes that it reads well."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def corpus(name):
    """Return the inputs that were found by fuzzing once, the oldest first by name."""
    folder = CORPUS / name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.exists() else []
