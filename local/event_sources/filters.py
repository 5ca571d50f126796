"""Filters of an event source mapping: which records are delivered at all.

A pattern has the shape of a record. Its leaves are lists, of values and of `{"exists": true}` or
`{"exists": false}`; one of them must hold for the value at that place, and all leaves must. AWS knows more
operators: they are refused here, not ignored.
"""

import json
from collections.abc import Mapping
from typing import Any

Filters = tuple[str, ...]
"""Patterns, as the JSON that mappings hold."""


class UnsupportedFilterError(Exception):
    """A pattern asks for something that is not done here."""


def read_filters(criteria: Mapping[str, Any]) -> Filters:
    """Read a mapping's FilterCriteria. Raises UnsupportedFilterError."""
    patterns = tuple(item["Pattern"] for item in criteria.get("Filters") or ())
    for pattern in patterns:
        _check(_shape(pattern))
    return patterns


def _shape(pattern: str) -> dict[str, Any]:
    try:
        shape = json.loads(pattern)
    except (ValueError, RecursionError):
        shape = None
    if not isinstance(shape, dict):
        raise UnsupportedFilterError(f"the filter {pattern!r}: a pattern is an object")
    return shape


def is_wanted(record: Mapping[str, Any], filters: Filters) -> bool:
    """Tell whether a record is to be delivered: always, unless there are filters."""
    return not filters or any(_matches(record, json.loads(pattern)) for pattern in filters)


def _check(pattern: Any) -> None:
    if isinstance(pattern, dict):
        for part in pattern.values():
            _check(part)
        return
    if not isinstance(pattern, list):
        raise UnsupportedFilterError(f"the filter {pattern!r}: leaves are lists")
    for rule in pattern:
        if isinstance(rule, dict) and (rule.keys() != {"exists"} or not isinstance(rule["exists"], bool)):
            raise UnsupportedFilterError(f"the filter rule {json.dumps(rule)}")


def _matches(value: Any, pattern: Mapping[str, Any]) -> bool:
    found = value if isinstance(value, dict) else {}
    return all(
        _matches(found.get(name), part) if isinstance(part, dict) else _holds(found, name, part)
        for name, part in pattern.items()
    )


def _holds(found: Mapping[str, Any], name: str, rules: list[Any]) -> bool:
    # As on AWS, only a leaf of the record exists: an object does not.
    is_leaf = name in found and not isinstance(found[name], dict)
    return any(
        rule["exists"] is is_leaf if isinstance(rule, dict) else is_leaf and found[name] == rule
        for rule in rules
    )
