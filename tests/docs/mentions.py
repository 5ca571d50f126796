"""Commands that stand in the text, the tables and the shell blocks of the documentation."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests.docs.console import blocks

_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_INDENTED = re.compile(r"^    (\S.*)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(\w+=\S+ )*(\.venv/bin/)?(kith|make|python|aws)( |$)")


def mentioned(page: Path) -> Iterator[list[str]]:
    """Yield the commands of a page's text, tables and shell blocks as words; sessions are not among them."""
    text = _FENCED.sub("", page.read_text())
    lines = [*_SPAN.findall(text), *_INDENTED.findall(text)]
    for block in (*blocks(page, ""), *blocks(page, "sh")):
        lines += block.splitlines()
    for line in lines:
        if _COMMAND.match(line):
            yield _words(line)


def _words(command: str) -> list[str]:
    """Split a command as a shell does, without variables before it and what its output goes to."""
    words = shlex.split(command, comments=True)
    start = next(number for number, word in enumerate(words) if "=" not in word)
    end = next((number for number, word in enumerate(words) if word in {">", "|"}), len(words))
    return [words[start].removeprefix(".venv/bin/"), *words[start + 1 : end]]
