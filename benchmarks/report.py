"""How benchmarks report: rows of a figure, and what it is to be compared with."""

from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from shared.core.compile import Builder
from shared.core.grammar import parse_definition

CUSTOMERS = Path(__file__).parent.parent / "builders" / "customers"


class Row(NamedTuple):
    """A figure, and its ratio to a peer or a limit."""

    what: str
    figure: str
    ratio: str = ""


def show(title: str, rows: list[Row]) -> None:
    """Print a table."""
    table = Table("figure", "measured", "ratio", title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(width=110).print(table)


def customers() -> Builder:
    """Return the default builder."""
    return Builder(parse_definition((CUSTOMERS / "builder.yaml").read_text()))
