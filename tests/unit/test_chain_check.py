"""What can be told of a transform.py without running it: never more than running it would tell."""

import pytest

from shared.core.chain import Chain
from shared.core.chain_check import chain_problems
from shared.core.user_code import UserCodeError
from shared.core.user_context import UserContext

GOOD = [
    "def transform(event, context): pass",
    "def transform(event, context, *, more=1): pass",
    "def transform(event, context=None, more=None): pass",
    "def transform(*arguments): pass",
    "transform = lambda event, context: None",
    "def a(event, context): pass\nchain = [a]",
    "def a(event, context): pass\nchain = (a, a)",
    "def a(event, context): pass\nchain: list = [a, lambda event, context: None]",
    "def a(event, context): pass\nchain = [a] * 2",
    "if True:\n    def transform(event, context): pass",
    "try:\n    import nothing_like_it\nexcept ImportError:\n    def transform(event, context): pass",
    "class A:\n    def __call__(self, event, context): pass\ntransform = A()",
    "def transform(event, context):\n    try:\n        import nothing_like_it\n    except ImportError: pass",
    "def transform(event, context):\n    import json, kith\n    from os import path",
    "from functools import partial\ndef a(x, event, context): pass\nchain = [partial(a, 1)]",
    "def wrap(function):\n    return lambda *both: None\n@wrap\ndef transform(): pass",
    "def transform(event): pass\ndef transform(event, context): pass",
]
BAD = {
    "": (1, "must define `transform(event, context)`, or a list `chain` of such functions"),
    "x = 1\ndef f(): transform = 1": (1, "must define"),
    "class A:\n    def transform(event, context): pass": (1, "must define"),
    "chain: list": (1, "must define"),
    "def transform(event, context): pass\n\nchain = [transform]": (3, "both `transform` and `chain`"),
    "def transform(event, context):\n    return {": (2, "'{' was never closed"),
    "\n\ndef transform(event): pass": (3, "`transform` must take two arguments"),
    "def transform(event, context, more): pass": (1, "two arguments"),
    "def transform(event, context, *, more): pass": (1, "two arguments"),
    "async def transform(event, context): pass": (1, "not an async one"),
    "transform = 5": (1, "must be a function"),
    "import os\nimport nothing_like_it.x\ndef transform(event, context): pass": (
        2,
        "imports `nothing_like_it.x`",
    ),
    "from .helper import a\ndef transform(event, context): pass": (1, "imports `.helper`"),
    "chain = []": (1, "must not be empty"),
    "chain = {}": (1, "must be a list"),
    "\nchain = [a]": (2, "names `a`, which is not defined"),
    "def a(event): pass\nchain = [a]": (1, "`a` must take two arguments"),
    "async def a(event, context): pass\nchain = [a]": (1, "not an async one"),
    "x = '\0'": (1, ""),
}


def load(source):
    Chain(source, UserContext("b", 0, {}, lambda *_: None, {}))


@pytest.mark.parametrize("source", GOOD)
def test_a_chain_is_one_with_and_without_running_it(source):
    assert chain_problems(source, "transform.py") == []
    load(source)


@pytest.mark.parametrize("source", BAD)
def test_what_is_no_chain_is_told_without_running_it(source):
    line, message = BAD[source]
    [problem] = chain_problems(source, "transform.py")
    assert problem.line == line
    assert message in problem.message
    with pytest.raises(UserCodeError):
        load(source)


def test_what_only_running_tells_is_left_to_it():
    for source in ("raise SystemExit", "transform = print and None", "chain = list()"):
        load_problems = chain_problems(source, "transform.py")
        assert all("must define" in one.message for one in load_problems)
    assert chain_problems("from os.path import *", "transform.py") == []


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def transform(event, context):\n    with open('x'):\n        import helper", 3),
        ("class A:\n    def __call__(self, a, b):\n        from helper import y\ntransform = A()", 3),
        ("async def a(): import helper\nchain = [lambda *both: None]", 1),
    ],
)
def test_an_import_within_a_function_fails_in_the_cloud_as_one_outside_does(source, line):
    [problem] = chain_problems(source, "transform.py")
    assert (problem.line, problem.message.split(",")[0]) == (line, "imports `helper`")
