"""DynamoDB's expressions, as far as Kith writes any: what is not known here is an error, never a guess."""

import re
from decimal import Decimal
from functools import lru_cache

from tests.simulation.scheduler import SimulationError

_TOKEN = re.compile(r"\s*(?:(<>|<=|>=|[=<>(),+])|([:#]?[A-Za-z_][A-Za-z0-9_]*))")
_COMPARISONS = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def holds(expression, names, values, item):
    """Whether a condition holds for an item, or for none (None)."""
    condition, used_names, used_values = _condition(expression)
    _check_used(used_names, names, "name")
    _check_used(used_values, values, "value")
    return condition(item or {}, names, values)


def updated(expression, names, values, of_condition, item):
    """Return an item as an update leaves it; `of_condition` is what its condition uses: names, and values."""
    clauses, used_names, used_values = _update(expression)
    _check_used(used_names | of_condition[0], names, "name")
    _check_used(used_values | of_condition[1], values, "value")
    new = dict(item)
    for verb, path, value in clauses:
        name = _name(path, names)
        if verb == "SET":
            new[name] = values[value]
        elif verb == "REMOVE":
            new.pop(name, None)
        elif verb == "DELETE":
            left = _without(new.pop(name, None), values[value])
            if left is not None:
                new[name] = left
        else:
            new[name] = _added(new.get(name), values[value])
    return new


def used_by(condition):
    """Return the names, and the names of the values, that a condition uses."""
    return _condition(condition)[1:] if condition else (frozenset(), frozenset())


def _added(old, more):
    ((kind, value),) = more.items()
    if kind == "N":
        return {"N": str(Decimal(old["N"] if old else 0) + Decimal(value))}
    if kind == "SS":
        return {"SS": sorted({*(old["SS"] if old else ()), *value})}
    raise SimulationError(f"ADD of a {kind}")


def _without(old, less):
    """A set without some members; None where nothing is left of it: there is no empty set."""
    if old is None:
        return None
    if {*old, *less} != {"SS"}:
        raise SimulationError("DELETE of what is no set of texts")
    left = sorted(set(old["SS"]) - set(less["SS"]))
    return {"SS": left} if left else None


def _check_used(used, given, what):
    if used != set(given):
        raise SimulationError(f"DynamoDB refuses a {what} that is missing or unused: {used ^ set(given)}")


def _name(token, names):
    return names[token] if token.startswith("#") else token


def _tokens(expression):
    tokens, at = [], 0
    expression = expression.rstrip()
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None:
            raise SimulationError(f"unknown expression: {expression[at:]!r}")
        tokens.append(found[1] or found[2])
        at = found.end()
    return tokens


class _Parser:
    def __init__(self, expression):
        self.expression = expression
        self.tokens = _tokens(expression)
        self.at = 0
        self.names = set()
        self.values = set()

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, expected=None):
        token = self.peek()
        if token is None or (expected is not None and token != expected):
            raise SimulationError(f"unknown expression: {self.expression!r} at {token!r}")
        self.at += 1
        return token

    def path(self):
        token = self.take()
        if token.startswith("#"):
            self.names.add(token)
        elif token.startswith(":") or not token[0].isalpha():
            raise SimulationError(f"unknown path: {token!r} in {self.expression!r}")
        return token

    def value(self):
        token = self.take()
        if not token.startswith(":"):
            raise SimulationError(f"unknown value: {token!r} in {self.expression!r}")
        self.values.add(token)
        return token


@lru_cache(4096)
def _condition(expression):
    parser = _Parser(expression)
    condition = _any_of(parser)
    if parser.peek() is not None:
        raise SimulationError(f"unknown expression: {expression!r}")
    return condition, frozenset(parser.names), frozenset(parser.values)


def _any_of(parser):
    parts = [_all_of(parser)]
    while parser.peek() == "OR":
        parser.take()
        parts.append(_all_of(parser))
    return parts[0] if len(parts) == 1 else lambda *args: any(part(*args) for part in parts)


def _all_of(parser):
    parts = [_single(parser)]
    while parser.peek() == "AND":
        parser.take()
        parts.append(_single(parser))
    return parts[0] if len(parts) == 1 else lambda *args: all(part(*args) for part in parts)


def _single(parser):
    if parser.peek() == "NOT":
        parser.take()
        inner = _single(parser)
        return lambda *args: not inner(*args)
    if parser.peek() == "(":
        parser.take()
        inner = _any_of(parser)
        parser.take(")")
        return inner
    if parser.peek() in {"attribute_exists", "attribute_not_exists"}:
        wanted = parser.take() == "attribute_exists"
        parser.take("(")
        path = parser.path()
        parser.take(")")
        return lambda item, names, _: (_name(path, names) in item) is wanted
    return _comparison(parser)


def _comparison(parser):
    if parser.peek() == "size":
        return _size(parser)
    path = parser.path()
    operator = parser.take()
    if operator == "IN":
        parser.take("(")
        operands = [parser.value()]
        while parser.peek() == ",":
            parser.take()
            operands.append(parser.value())
        parser.take(")")
        if len(operands) > 100:
            raise SimulationError("IN takes at most 100 operands")
        return lambda item, names, values: item.get(_name(path, names)) in [values[one] for one in operands]
    if operator not in _COMPARISONS:
        raise SimulationError(f"unknown operator {operator!r} in {parser.expression!r}")
    operand, compare = parser.value(), _COMPARISONS[operator]

    def compares(item, names, values):
        mine = item.get(_name(path, names))
        if mine is None:
            return False
        ((kind, value),) = mine.items()
        ((other_kind, other),) = values[operand].items()
        if kind != other_kind:
            return operator == "<>"
        return compare(Decimal(value), Decimal(other)) if kind == "N" else compare(value, other)

    return compares


def _size(parser):
    parser.take()
    parser.take("(")
    path = parser.path()
    parser.take(")")
    parser.take("=")
    operand = parser.value()

    def has_size(item, names, values):
        mine = item.get(_name(path, names))
        if mine is None:
            return False
        ((kind, value),) = mine.items()
        if kind != "SS":
            raise SimulationError(f"the size of a {kind}")
        return len(value) == Decimal(values[operand]["N"])

    return has_size


@lru_cache(256)
def _update(expression):
    parser = _Parser(expression)
    clauses = []
    verb = None
    while parser.peek() is not None:
        if parser.peek() in {"SET", "ADD", "REMOVE", "DELETE"}:
            verb = parser.take()
        elif verb is not None:
            parser.take(",")
        path = parser.path()
        if verb == "SET":
            parser.take("=")
        clauses.append((verb, path, None if verb == "REMOVE" else parser.value()))
    if not clauses or verb is None:
        raise SimulationError(f"unknown update: {expression!r}")
    return tuple(clauses), frozenset(parser.names), frozenset(parser.values)
