"""Profile functions: what is one, with and without running it."""

import pytest

from shared.app.functions.samples import Sample, sample_input
from shared.core.chain_check import function_problems
from shared.core.functions import FunctionFailure
from shared.core.history import events_of
from shared.core.profile_code import ProfileCode
from shared.core.user_code import UserCodeError
from shared.core.user_context import UserContext
from tests.app.functions_input import an_input

GOOD = [
    "def profile(events, user, context): pass",
    "async def profile(events, user, context): pass",
    "def profile(events, user, context, more=None, *, other=1): pass",
    "def profile(*arguments): pass",
    "profile = lambda events, user, context: None",
    "class A:\n    def __call__(self, events, user, context): pass\nprofile = A()",
    "from functools import partial\ndef a(x, events, user, context): pass\nprofile = partial(a, 1)",
    "config = {'slug': 'x'}\ndef profile(events, user, context): pass",
]
BAD = {
    "": (1, "must define `profile(events, user, context)`"),
    "def f(): profile = 1": (1, "must define"),
    "\ndef profile(events, user): pass": (2, "`profile` must take three arguments"),
    "def profile(events, user, context, more): pass": (1, "three arguments"),
    "def profile(events, user, context, *, more): pass": (1, "three arguments"),
    "profile = {}": (1, "`profile` must be a function"),
    "def profile(events, user, context):\n    return {": (2, "was never closed"),
}


def load(source):
    return ProfileCode(source, UserContext("b", 0, {}, lambda *_: None, {}))


@pytest.mark.parametrize("source", GOOD)
def test_a_function_is_one_with_and_without_running_it(source):
    assert function_problems(source, "profile.py") == []
    given = an_input([{}])
    assert load(source).run(given.user, given.chunks, 0) is None


@pytest.mark.parametrize("damaged", [lambda data: b"\xff" + data, lambda data: data[:-10] + bytes(10)])
def test_a_damaged_history_is_told_from_an_error_of_the_function(damaged):
    """Whether all of a chunk cannot be read, or only the events in it, which are when they are asked for."""
    given = an_input([{}])
    code = load("def profile(events, user, context):\n    return {'traits': {'n': len(list(events))}}")
    chunks = [damaged(one) for one in given.chunks]
    failure = FunctionFailure("function_history", "a chunk of the history is damaged")
    assert code.run(given.user, chunks, 0) == failure


def test_samples_that_say_neither_time_nor_id_stay_in_their_order():
    given = sample_input([Sample(None, {"n": number}) for number in range(120)], {})
    assert [one["n"] for one in events_of(given.chunks, 0)] == list(range(120))


@pytest.mark.parametrize("source", BAD)
def test_what_is_none_is_told_with_its_line_and_without_running_it(source):
    line, message = BAD[source]
    [problem] = function_problems(source, "profile.py")
    assert problem.line == line
    assert message in problem.message
    with pytest.raises(UserCodeError) as raised:
        load(source)
    assert message in str(raised.value)


def test_imports_that_fail_in_the_cloud_are_told():
    source = "import kith, json\ndef profile(events, user, context):\n    import helper"
    [problem] = function_problems(source, "profile.py")
    assert (problem.line, problem.message.split(",")[0]) == (3, "imports `helper`")


def test_the_props_of_a_function_are_the_config_of_its_file_and_cannot_be_changed():
    source = """
config = {"threshold": 7}
def profile(events, user, context):
    try:
        context.props["threshold"] = 8
    except TypeError:
        return {"traits": dict(context.props)}
"""
    given = an_input([{}])
    assert load(source).run(given.user, given.chunks, 0) == b'{"traits":{"threshold":7}}'


def test_an_event_that_a_function_changes_is_whole_the_next_time():
    source = """
def profile(events, user, context):
    for event in events:
        event.clear()
    return {"traits": {"seen": [event["n"] for event in events]}}
"""
    given = an_input([{"n": 1}, {"n": 2}])
    assert load(source).run(given.user, given.chunks, 0) == b'{"traits":{"seen":[1,2]}}'
