"""The files of `kith fold`: nothing that it reads or sets aside is ever overwritten."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cli.errors import Failure

STDOUT = "-"


def beside(path: Path) -> Path:
    """Return where the rejected lines of a file go."""
    return path.with_name(path.name + ".rejected")


def check_inputs(files: Sequence[Path]) -> None:
    """Refuse what cannot be read twice, or would be overwritten; raises Failure."""
    for path in files:
        if not path.is_file():
            raise Failure(
                f"{path} is a pipe or a device: write it to a file first and fold that, "
                "for lines are read twice, and rejected ones go to FILE.rejected"
            )
        for other in files:
            if _is_same(path, beside(other)):
                raise Failure(f"{path} is where rejected lines of {other} go: rename it, or fold it alone")


def check_out(out: Path, files: Sequence[Path], definition: Sequence[Path]) -> None:
    """Refuse a place that cannot be written, or must not be; raises Failure.

    Not to be overwritten are the files of events, and those of the builder's definition.
    """
    if str(out) == STDOUT:
        return
    if out.is_dir():
        raise Failure(f"cannot fold: --out {out} is a folder")
    if out.exists() and not out.is_file():
        return
    target = out.resolve()
    if not target.parent.is_dir():
        raise Failure(f"cannot fold: there is no folder {out.parent} for --out")
    if not os.access(target.parent, os.W_OK):
        raise Failure(f"cannot fold: the folder {out.parent} of --out cannot be written")
    for path in (*files, *definition):
        if _is_same(path, target) or _is_same(path, _partial(target)):
            raise Failure(f"cannot fold: --out {out} would overwrite {path}, which is to be read")
    for path in files:
        if beside(path).resolve() in (target, _partial(target)):
            raise Failure(f"cannot fold: --out {out} is where rejected lines of {path} go")


def write_out(out: Path, lines: Iterable[bytes]) -> None:
    """Write lines; a file appears whole or not at all, a pipe or a device takes them as they come."""
    import sys

    ended = (line + b"\n" for line in lines)
    if str(out) == STDOUT:
        sys.stdout.buffer.writelines(ended)
        sys.stdout.buffer.flush()  # here, where a reader that has gone is expected
        return
    if out.exists() and not out.is_file():
        with out.open("wb") as file:
            file.writelines(ended)
        return
    target = out.resolve()
    partial = _partial(target)
    with partial.open("wb") as file:
        file.writelines(ended)
    partial.replace(target)


def _partial(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def _is_same(path: Path, other: Path) -> bool:
    return other.exists() and path.samefile(other)
