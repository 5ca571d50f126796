"""YAML text as plain values, each with its place in the text.

A definition is written by people, so YAML's surprises stay out: only `null`, `true`, `false` and numbers as
JSON writes them are other than text, so that a country `no`, a key `on` or a date is what it looks like.
Keys are always text. A key given twice, an alias, a tag, a second document: each is a problem.
"""

import re
from decimal import Decimal
from typing import Any, Final, NamedTuple

import yaml
from yaml.composer import ComposerError
from yaml.reader import ReaderError

from shared.core.grammar.problems import Location, Problem, dotted

TEXT_BYTES_MAX: Final = 256 * 1024
DEPTH_MAX: Final = 16

_TAG: Final = "tag:yaml.org,2002:"
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_BOOLEAN: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_NULL: Final = re.compile(r"null|Null|NULL|~|")
_DIGITS_MAX: Final = 40
_EXPONENT_MAX: Final = 300
"""What every program that reads JSON can read."""


class Place(NamedTuple):
    """A line and a column, from 1."""

    line: int
    column: int


class Document(NamedTuple):
    """A YAML text: its values, where each of them stands, and what is wrong with the text itself."""

    value: Any
    """Mappings, lists, text, int, Decimal, bool, None."""
    places: dict[Location, Place]
    problems: list[Problem]

    def problem(self, location: Location, message: str) -> Problem:
        """Return a problem at a location, or at what encloses it where the text has no such place.

        Steps that validation adds to what is written (the list that a single path stands for) are skipped.
        """
        known: Location = ()
        for step in location:
            if (*known, step) in self.places:
                known = (*known, step)
        line, column = self.places.get(known, Place(1, 1))
        # A key that is not there has no place, but it does have a name.
        absent = location[-1:] if location and isinstance(location[-1], str) else ()
        path = known if known[-1:] == absent else known + absent
        return Problem(line, column, dotted(path), message)


def read_document(text: str) -> Document:
    """Read YAML text. Never raises: what is wrong is in the document's problems."""
    document = Document(None, {}, [])
    if len(text.encode(errors="replace")) > TEXT_BYTES_MAX:
        message = f"longer than {TEXT_BYTES_MAX // 1024} KiB, the most that a definition may have"
        document.problems.append(Problem(1, 1, "", message))
        return document
    try:
        node = yaml.compose(text, _Loader)
    except ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, len(before) - before.rfind("\n"))
        document.problems.append(Problem(*place, "", "a character that YAML does not allow"))
        return document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        what = " ".join(filter(None, (error.context, error.problem)))
        document.problems.append(Problem(*place, "", f"not readable as YAML: {what}"))
        return document
    except (yaml.YAMLError, ValueError, OverflowError):
        # PyYAML lets these through for escapes and directives with numbers out of range.
        document.problems.append(Problem(1, 1, "", "not readable as YAML: an escape that is no character"))
        return document
    if node is None:
        document.problems.append(Problem(1, 1, "", "empty; a definition has at least name and identifiers"))
        return document
    return document._replace(value=_value(node, (), document))


class _Loader(yaml.SafeLoader):
    """Composes nodes with the few implicit types above, bounded in depth and without aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # PyYAML's own
    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise ComposerError(None, None, "aliases are not supported: repeat the value", mark)
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ComposerError(None, None, f"nested deeper than {DEPTH_MAX} levels", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _name, _pattern in (("null", _NULL), ("bool", _BOOLEAN), ("int", _INTEGER), ("float", _FLOAT)):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern.pattern})$"), None)


def _value(node: yaml.Node, location: Location, document: Document) -> Any:
    document.places.setdefault(location, _place(node))
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
        return _mapping(node, location, document)
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
        return [_value(item, (*location, index), document) for index, item in enumerate(node.value)]
    try:
        return _scalar(node)
    except ValueError as error:
        document.problems.append(document.problem(location, str(error)))
        return None


def _mapping(node: yaml.MappingNode, location: Location, document: Document) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value
        place = _place(key_node)
        if not isinstance(key, str) or not _is_unicode(key):
            problem = Problem(*place, dotted(location), "a key must be plain text")
            document.problems.append(problem)
        elif key in values:
            first = document.places[*location, key].line
            message = f"given twice; line {first} has it already"
            document.problems.append(Problem(*place, dotted((*location, key)), message))
        else:
            document.places[*location, key] = place
            values[key] = _value(value_node, (*location, key), document)
    return values


def _scalar(node: yaml.Node) -> str | int | Decimal | bool:
    """Return a scalar's value. Raises ValueError, with a message for the writer, where it has none."""
    text, tag = node.value, node.tag.removeprefix(_TAG)
    if tag == "null":
        raise ValueError("empty; give it a value, or remove the key")
    if tag == "str" and isinstance(text, str):
        if not _is_unicode(text):
            raise ValueError("half a surrogate pair is no text")
        return text
    if tag == "bool" and _BOOLEAN.fullmatch(text):
        return bool(text.lower() == "true")
    if tag in {"int", "float"} and _FLOAT.fullmatch(text):
        if len(text) > _DIGITS_MAX:
            raise ValueError(f"a number of more than {_DIGITS_MAX} characters; quote it if it is text")
        exponent = text.upper().partition("E")[2]
        if abs(int(exponent or 0)) > _EXPONENT_MAX:
            raise ValueError("a number out of range; quote it if it is text")
        return int(text) if _INTEGER.fullmatch(text) else Decimal(text)
    raise ValueError("tags (`!...`) are not supported")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)
