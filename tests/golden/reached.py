"""Which lines of what reads are reached by what is on file: a form that nothing on file has reaches none.

Not counted are lines that only raise, or run when something was raised: nothing on file is damaged.
"""

import ast
import inspect
import sys
import textwrap
from types import CodeType, FunctionType

from shared.adapters import registry
from shared.adapters.dynamo import computed, deltas, items, json_text, overflow, state, wire
from shared.adapters.dynamo.histories import Histories
from shared.adapters.dynamo.packing import Unpacker
from shared.core import archive, history, spool
from tests.golden.release import meaning, objects_of, tables_of

READS = (
    *vars(state.StateReader).values(),
    *vars(Unpacker).values(),
    *(getattr(items.Items, name) for name in ("stored", "parts", "_separate", "_join", "_profile")),
    *(items.pointer_of, items.traces_of, items._merge, items._traits, items._value, items._parked),
    *(computed.take, computed._heads, deltas.contributions_of, overflow.whole, overflow.chunk_names),
    *(wire.from_wire, json_text.json_of, Histories._take_named, Histories._newest_first),
    *(history.open_chunk, history.events_of, history._rows),
    *(spool.unpack, spool._decode, spool._number),
    *(archive.read_object, archive.record_of_line),
    *(registry.version_of, registry.progress_of),
)


def unreached(folders):
    """Return the lines that reading these releases does not reach, as `file:line`."""
    wanted = {}
    for read in READS:
        if isinstance(read, FunctionType):
            _add(wanted, inspect.unwrap(read))
    reached = {code: set() for code in wanted}

    def trace(frame, _event, _argument):
        lines = reached.get(frame.f_code)
        if lines is None:
            return None

        def note(frame, _event, _argument):
            lines.add(frame.f_lineno)
            return note

        return note

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for folder in folders:
            meaning(tables_of(folder), objects_of(folder))
    finally:
        sys.settrace(before)
    return sorted(
        f"{code.co_filename}:{line}" for code, lines in wanted.items() for line in lines - reached[code]
    )


def _refusing(node):
    """Return the statements of a node that are there for what is damaged."""
    if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise):
        return node.body
    return [node] if isinstance(node, ast.Raise | ast.ExceptHandler) else []


def _add(wanted, function):
    """Add the code of a function, and of what is defined within, with the lines that are to be reached."""
    lines, first = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    left_out = {
        line + first - 1
        for node in ast.walk(tree)
        for one in _refusing(node)
        for line in range(one.lineno, one.end_lineno + 1)
    }
    some = [function.__code__]
    while some:
        code = some.pop()
        some += [one for one in code.co_consts if isinstance(one, CodeType)]
        told = {line for _, _, line in code.co_lines() if line is not None}
        wanted[code] = told - left_out - {code.co_firstlineno}
