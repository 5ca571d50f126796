"""What can be told of a `transform.py` or a `profile.py` without running it."""

import ast
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

PLACES: Final = 2
"""Arguments of a function of a chain: the event and the context."""
PROFILE_PLACES: Final = 3
"""Arguments of a profile function: the events, the user and the context."""

_IMPORTED: Final = sys.stdlib_module_names | {"kith"}


class ChainProblem(NamedTuple):
    """One thing wrong with a file of Python; lines count from 1."""

    line: int
    message: str


def syntax_problem(source: str, file: str) -> ChainProblem | None:
    """Say where a text is no Python."""
    try:
        compile(source, file, "exec")
    except SyntaxError as error:
        return ChainProblem(error.lineno or 1, error.msg)
    except ValueError as error:  # NUL bytes, before Python 3.12
        return ChainProblem(1, str(error))
    return None


def chain_problems(source: str, file: str) -> list[ChainProblem]:
    """Say what is wrong with a chain, as far as that shows without running it."""
    problem = syntax_problem(source, file)
    if problem is not None:
        return [problem]
    tree = ast.parse(source)
    return [*import_problems(tree), *_definition_problems(tree)]


def function_problems(source: str, file: str) -> list[ChainProblem]:
    """Say what is wrong with a profile function, as far as that shows without running it."""
    problem = syntax_problem(source, file)
    if problem is not None:
        return [problem]
    tree = ast.parse(source)
    found = _Names()
    found.visit(tree)
    return [*import_problems(tree), *_profile_problems(found)]


def import_problems(tree: ast.AST) -> Iterator[ChainProblem]:
    """Say which imports fail in the cloud, also within functions. Those within `try` and `if` may mean to."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        else:
            if not isinstance(node, ast.Try | ast.TryStar | ast.If):
                yield from import_problems(node)
            continue
        for name in names:
            if name.partition(".")[0] not in _IMPORTED:
                message = f"imports `{name}`, which is not in the cloud: only Python's library and kith are"
                yield ChainProblem(node.lineno, message)


def _definition_problems(tree: ast.Module) -> list[ChainProblem]:
    found = _Names()
    found.visit(tree)
    if "transform" in found.names and "chain" in found.names:
        line = max(found.names["transform"], found.names["chain"])
        return [ChainProblem(line, "defines both `transform` and `chain`: remove one of them")]
    if "transform" in found.names:
        return list(_function_problems("transform", found))
    if "chain" in found.names:
        return list(_list_problems(found))
    if found.has_star_import:
        return []
    return [ChainProblem(1, "must define `transform(event, context)`, or a list `chain` of such functions")]


class _Names(ast.NodeVisitor):
    """What a module's own code defines, wherever it stands outside of functions and classes."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self.values: dict[str, ast.expr] = {}
        self.has_star_import = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Note a function, and stay out of it."""
        self._define(node.name, node.lineno)
        self.functions[node.name] = node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        """Note a function, and stay out of it."""
        self._define(node.name, node.lineno)
        self.functions[node.name] = node

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Note a class, and stay out of it."""
        self._define(node.name, node.lineno)

    def visit_Lambda(self, _node: ast.Lambda) -> None:
        """Stay out of it."""

    def visit_Name(self, node: ast.Name) -> None:
        """Note a name that is given a value."""
        if isinstance(node.ctx, ast.Store):
            self._define(node.id, node.lineno)

    def visit_Assign(self, node: ast.Assign) -> None:
        """Note names and, where it is plain, their value."""
        self.generic_visit(node)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.values[target.id] = node.value

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Note a name and its value; an annotation alone defines nothing."""
        if node.value is not None:
            self.generic_visit(node)
            if isinstance(node.target, ast.Name):
                self.values[node.target.id] = node.value

    def visit_alias(self, node: ast.alias) -> None:
        """Note what an import names."""
        if node.name == "*":
            self.has_star_import = True
        else:
            self._define(node.asname or node.name.partition(".")[0], node.lineno)

    def _define(self, name: str, line: int) -> None:
        self.names[name] = line
        self.functions.pop(name, None)
        self.values.pop(name, None)


def _profile_problems(found: _Names) -> Iterator[ChainProblem]:
    if "profile" not in found.names and not found.has_star_import:
        yield ChainProblem(1, "must define `profile(events, user, context)`")
    value = found.values.get("profile")
    if isinstance(value, ast.Constant | ast.Dict | ast.List | ast.Tuple | ast.Set):
        yield ChainProblem(value.lineno, "`profile` must be a function of events, a user and a context")
    node = found.functions.get("profile")
    if node is not None and not node.decorator_list and not _takes(node.args, PROFILE_PLACES):
        message = "`profile` must take three arguments: events, a user and a context"
        yield ChainProblem(node.lineno, message)


def _list_problems(found: _Names) -> Iterator[ChainProblem]:
    value = found.values.get("chain")
    if isinstance(value, ast.List | ast.Tuple):
        if not value.elts:
            yield ChainProblem(value.lineno, "`chain` must not be empty: without functions, remove the file")
        for one in value.elts:
            if not isinstance(one, ast.Name):
                continue
            if one.id in found.functions:
                yield from _function_problems(one.id, found)
            elif one.id not in found.names and not found.has_star_import:
                yield ChainProblem(one.lineno, f"`chain` names `{one.id}`, which is not defined")
    elif isinstance(value, ast.Constant | ast.Dict | ast.Set | ast.Lambda):
        yield ChainProblem(value.lineno, "`chain` must be a list of functions")


def _function_problems(name: str, found: _Names) -> Iterator[ChainProblem]:
    value = found.values.get(name)
    if isinstance(value, ast.Constant | ast.Dict | ast.List | ast.Tuple | ast.Set):
        yield ChainProblem(value.lineno, f"`{name}` must be a function of an event and a context")
    node = found.functions.get(name)
    if node is None:
        return
    if isinstance(node, ast.AsyncFunctionDef):
        yield ChainProblem(node.lineno, f"`{name}` must be a plain function, not an async one")
    if not node.decorator_list and not _takes(node.args, PLACES):
        yield ChainProblem(node.lineno, f"`{name}` must take two arguments, an event and a context")


def _takes(arguments: ast.arguments, wanted: int) -> bool:
    places = len(arguments.posonlyargs) + len(arguments.args)
    required = places - len(arguments.defaults)
    has_room = places >= wanted or arguments.vararg is not None
    return required <= wanted and has_room and None not in arguments.kw_defaults
