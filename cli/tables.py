"""Tables: with colours on a terminal; elsewhere plain columns, whole whatever the width."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import typer

if TYPE_CHECKING:
    from rich.text import Text

GAP: Final = 2


class Column(NamedTuple):
    """A column: its heading, and to which side its cells keep."""

    name: str
    justify: Literal["left", "right"] = "left"


def counted(count: int, noun: str) -> str:
    """Return how many there are: `1 profile`, `2 profiles`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def harmless(text: str) -> str:
    """Return text on one line, what would not be seen written out: names and values are anybody's.

    An event may carry what a terminal obeys, and whoever looks at it is not the one who sent it.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in text
    )


def is_terminal() -> bool:
    """Say whether somebody looks at what is printed."""
    from rich.console import Console

    return Console().is_terminal


def print_table(columns: Sequence[Column], rows: "Sequence[Sequence[str | Text]]", indent: int = 0) -> None:
    """Print rows under their headings."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if console.is_terminal:
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for column in columns:
            table.add_column(column.name, justify=column.justify, overflow="fold")
        for row in rows:
            table.add_row(*(Text(harmless(cell)) if isinstance(cell, str) else cell for cell in row))
        console.print(Padding(table, (0, 0, 0, indent)))
        return
    plain = [[column.name for column in columns]]
    plain += [[harmless(str(cell)) for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*plain, strict=True)]
    for row in plain:
        cells = (
            cell.rjust(width) if column.justify == "right" else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        )
        typer.echo((" " * indent + (" " * GAP).join(cells)).rstrip())


def value_text(value: Any, cut: int | None = None) -> str:
    """Return a value on one line; of a long list, how many there are and the last."""
    from cli.get import as_text

    if value is None:
        return "-"
    if isinstance(value, list) and value:
        last = value[-1]
        is_entry = isinstance(last, dict) and last.keys() == {"value", "at"}
        told = f"{as_text(last['value'])} at {last['at']}" if is_entry else as_text(last)
        text = told if len(value) == 1 else f"{len(value)}, the last: {told}"
    else:
        text = as_text(value)
    return text if cut is None or len(text) <= cut else text[: cut - 1] + "…"
