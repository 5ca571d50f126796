"""Profile functions that misbehave in every way cost their own profile its result, and nobody else's."""

from decimal import Decimal

import pytest

from shared.adapters.sandbox import FAILURES_MAX, FunctionSandbox, Limits, Outside
from shared.app.user_store import MemoryUserValues
from shared.core.functions import FunctionFailure, FunctionResult
from shared.core.sandbox import Program
from tests.app.functions_input import an_input

SOURCE = """
import os, time

config = {"greeting": "hello"}

def profile(events, user, context):
    [do] = {event["do"] for event in events}
    match do:
        case "exit":
            os._exit(3)
        case "crash":
            import ctypes
            ctypes.string_at(0)
        case "loop":
            while True:
                try:
                    time.sleep(100)
                except BaseException:
                    pass
        case "memory":
            return {"traits": {"held": len(bytearray(2**30))}}
        case "recurse":
            return profile(events, user, context)
        case "close":
            os.closerange(0, 100)
        case "garbage":
            for number in range(3, 20):
                try:
                    os.write(number, b"\\x00\\x00\\x00\\x02xx")
                except OSError:
                    pass
        case "ask garbage":
            for number in range(3, 20):
                try:
                    os.write(number, b"\\x00\\x00\\x00\\x02?x")
                except OSError:
                    pass
        case "fork":
            os.fork()
        case "raise":
            raise ValueError(f"{user.user_id} is a person")
        case "system exit":
            raise SystemExit(0)
        case "interrupt":
            raise KeyboardInterrupt
        case "text":
            return "traits"
        case "unknown key":
            return {"trait": {}}
        case "object":
            return {"traits": {"a": object()}}
        case "itself":
            traits = {}
            traits["traits"] = traits
            return traits
        case "deep":
            deep = []
            for _ in range(100_000):
                deep = [deep]
            return {"traits": {"deep": deep}}
        case "large":
            return {"traits": {"text": "x" * 70_000}}
        case "very large":
            return {"traits": {"text": "x" * 10_000_000}}
        case "never awaited":
            async def never(): pass
            return {"traits": {"a": never()}}
        case "log":
            print("printed", context.env["KEY"])
            for number in range(1000):
                context.log.info(number)
        case "secret":
            raise type(context.env["KEY"], (Exception,), {})()
        case "nan":
            from decimal import Decimal
            traits = {"a": float("nan"), "b": 10**400, "c": Decimal("NaN"), "d": Decimal("-Infinity")}
            return {"traits": {**traits, "third": Decimal(1) / 3}}
        case "thread":
            from threading import Thread
            def late():
                while True:
                    try:
                        context.store.get("k")
                    except Exception:
                        pass
                    time.sleep(0.001)
            Thread(target=late, daemon=True).start()
    return {"traits": {"count": sum(1 for _ in events), "do": do, "greeting": context.props["greeting"]}}
"""
FAILING = {
    "exit": ("function_crash", "exit status 3"),
    "crash": ("function_crash", "SIGSEGV"),
    "loop": ("function_timeout", "longer than 1 s"),
    "memory": ("function_error", "MemoryError at profile.py"),
    "recurse": ("function_error", "Error at profile.py"),
    "close": ("function_crash", "ended"),
    "garbage": ("function_crash", "no answer"),
    "ask garbage": ("function_crash", "no answer"),
    "raise": ("function_error", "ValueError at profile.py:"),
    "system exit": ("function_error", "SystemExit at profile.py:"),
    "interrupt": ("function_crash", "ended"),
    "text": ("function_result", "a dict or None was expected"),
    "unknown key": ("function_result", "1 of its keys are unknown"),
    "object": ("function_result", "object"),
    "itself": ("function_result", "it holds itself"),
    "deep": ("function_result", "nested too deep"),
    "large": ("function_result", "at most 65536"),
    "very large": ("function_result", "at most 65536"),
    "never awaited": ("function_result", "coroutine"),
    "secret": ("function_error", "*** at profile.py:"),
}


def program(source, **more):
    return Program("customers", 7, source, {"KEY": "s3cret"}, "profile.py", **more)


@pytest.fixture(scope="module")
def sandbox():
    made = FunctionSandbox(program(SOURCE, run_s=1.0), Limits(), Outside(values=MemoryUserValues()))
    yield made
    made.close()


def run(sandbox, *dos, time_s=60, **more):
    return sandbox.run([an_input([{"do": do}] * 3) for do in dos], time_s, **more)


def made(do):
    return FunctionResult({"count": 3, "do": do, "greeting": "hello"})


@pytest.mark.parametrize("do", FAILING)
def test_a_profile_whose_function_takes_the_process_with_it_fails_alone(sandbox, do):
    before, failed, after = run(sandbox, "before", do, "after")
    reason, detail = FAILING[do]
    assert isinstance(failed.outcome, FunctionFailure)
    assert failed.outcome.reason == reason
    assert detail in failed.outcome.detail
    assert "person" not in failed.outcome.detail
    assert before.outcome == made("before")
    assert after.outcome == made("after")


def test_a_fork_answers_for_nobody(sandbox):
    assert [one.outcome for one in run(sandbox, "fork", "after")] == [made("fork"), made("after")]


def test_what_is_logged_comes_back_with_its_profile_and_secrets_do_not(sandbox):
    logged, after = run(sandbox, "log", "after")
    assert logged.lines[0] == ("info", "printed ***")
    assert len(logged.lines) == 20
    assert after.lines == []


def test_numbers_that_are_none_are_left_out(sandbox):
    [answer] = run(sandbox, "nan")
    third = {"third": Decimal("0.33333333333333333333")}
    assert answer.outcome.traits == {"a": None, "c": None, "d": None, **third}
    assert answer.outcome.left_out == {"number": 1}


def test_a_thread_that_asks_the_store_without_end_answers_for_nobody(sandbox):
    dos = ["thread", *["after"] * 50]
    assert [one.outcome for one in run(sandbox, *dos)] == [made(do) for do in dos]
    sandbox.close()  # the thread ends with it


def test_the_first_is_always_begun_and_those_that_there_was_no_time_for_are_told(sandbox):
    first, *others = run(sandbox, "a", "b", "c", time_s=0)
    assert first.outcome == made("a")
    assert [one.unreached for one in others] == [True, True]


def test_where_everything_fails_the_rest_is_not_reached(sandbox):
    answers = run(sandbox, *["exit"] * FAILURES_MAX, "a")
    assert [one.unreached for one in answers] == [False] * FAILURES_MAX + [True]


def test_a_run_may_be_given_less_time(sandbox):
    [answer] = run(sandbox, "loop", run_s=0.2)
    assert answer.outcome == FunctionFailure("function_timeout", "it took longer than 0.2 s")


ASYNC = """
import asyncio
from decimal import Decimal

async def profile(events, user, context):
    await asyncio.sleep(0)
    total = sum((event["total"] for event in events), Decimal(0))
    again = sum(1 for event in events if not event.pop("seen", None))
    return {"profileId": 7, "tableName": "people", "traits": {"total": total, "n": again, **user.traits}}
"""


def test_an_async_function_is_awaited_and_numbers_stay_exact():
    sandbox = FunctionSandbox(program(ASYNC), Limits())
    [answer] = sandbox.run([an_input([{"total": Decimal("0.1")}] * 3, traits={"x": Decimal("1.10")})], 60)
    assert answer.outcome == FunctionResult(
        {"total": Decimal("0.3"), "n": 3, "x": Decimal("1.1")}, published_id="7", table_name="people"
    )
    sandbox.close()


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("import os; os._exit(1)", "profile.py: the process ended (exit status 1)"),
        ("\nraise ValueError('x')", "profile.py: line 2: cannot be run: ValueError: x"),
        ("x = 1", "profile.py: line 1: must define `profile(events, user, context)`"),
        ("profile = 1", "profile.py: line 1: `profile` must be a function, not a value of type int"),
        ("\ndef profile(events): pass", "profile.py: line 2: `profile` must take three arguments"),
    ],
)
def test_a_program_that_cannot_be_loaded_fails_all_profiles(source, detail):
    answers = run(FunctionSandbox(program(source), Limits()), "a", "b")
    assert [one.outcome.reason for one in answers] == ["function_load"] * 2
    assert detail in answers[0].outcome.detail


def test_chunks_that_are_none_fail_their_profile_alone(sandbox):
    broken = an_input([{"do": "a"}])
    broken.chunks[0] = b"no chunk"
    failed, after = sandbox.run([broken, an_input([{"do": "b"}] * 3)], 60)
    assert failed.outcome.reason == "function_history"
    assert after.outcome == made("b")


def test_events_come_in_order_since_the_window_began_and_as_often_as_wanted():
    source = """
def profile(events, user, context):
    first = [event["n"] for event in events]
    return {"traits": {"first": first, "again": [event["n"] for event in events] == first}}
"""
    sandbox = FunctionSandbox(program(source), Limits())
    given = an_input([{"n": number} for number in range(10)], since_ms=1_700_000_004_000, batch=3)
    [answer] = sandbox.run([given], 60)
    assert answer.outcome.traits == {"first": [4, 5, 6, 7, 8, 9], "again": True}
    sandbox.close()
