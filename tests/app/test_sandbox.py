"""User code that misbehaves in every way costs its own event, and nothing of its neighbours."""

import os
import signal

import msgspec
import pytest

from shared.adapters.sandbox import FAILURES_MAX, Limits, Sandbox
from shared.core.sandbox import Program
from tests.kinesis import json_of

SOURCE = """
import os, time

def transform(event, context):
    match event["do"]:
        case "exit":
            os._exit(3)
        case "crash":
            import ctypes
            ctypes.string_at(0)
        case "loop":
            while True:
                pass
        case "loop that nothing ends":
            while True:
                try:
                    time.sleep(100)
                except BaseException:
                    pass
        case "backtrack":
            import re
            re.match("(a+)+$", "a" * 60 + "b")
        case "memory":
            return {"held": len(bytearray(2**30))}
        case "recurse":
            transform(event, context)
        case "close":
            os.closerange(0, 100)
        case "fork":
            os.fork()
        case "print":
            print("printed")
            context.log.warn("logged", key=context.env["KEY"])
            context.metrics.count("seen", 2)
            print("secret", context.env["KEY"], "\\ud800")
        case "float count":
            context.metrics.count("seen", 1.5)
        case "long name":
            context.metrics.count("x" * 65)
        case "chatter":
            for number in range(1000):
                context.log.info(number)
        case "garbage":
            for number in range(3, 20):
                try:
                    os.write(number, b"\\x00\\x00\\x00\\x02xx")
                except OSError:
                    pass
        case "delay":
            from decimal import Decimal
            from kith import RetryError
            raise RetryError("busy", Decimal("1.5"))
        case "environment":
            return {"do": sorted(os.environ)}
    return {**event, "done": context.profile_builder.version}
"""
FAILING = {
    "exit": ("transform_crash", "exit status 3"),
    "crash": ("transform_crash", "SIGSEGV"),
    "loop": ("transform_timeout", "longer than 0.5 s"),
    "loop that nothing ends": ("transform_timeout", "longer than 0.5 s"),
    "backtrack": ("transform_timeout", "longer than 0.5 s"),
    "memory": ("transform_error", "MemoryError at transform.py:24"),
    "recurse": ("transform_error", "RecursionError at transform.py"),
    "float count": ("transform_error", "ValueError"),
    "long name": ("transform_error", "ValueError"),
    "close": ("transform_crash", "ended"),
    "garbage": ("transform_crash", "no answer"),
    "delay": ("transform_retry", "RetryError"),
}


def sandbox_of(source):
    return Sandbox(Program("customers", 7, source, {"KEY": "s3cret"}), Limits(load_s=10, event_s=0.5))


@pytest.fixture(scope="module")
def sandbox():
    made = sandbox_of(SOURCE)
    yield made
    made.close()


def run(sandbox, *dos, time_s=60):
    return sandbox.run([msgspec.Raw(json_of({"do": one})) for one in dos], time_s)


def became(answer):
    [made] = answer.made
    return msgspec.json.decode(made.text)


@pytest.mark.parametrize("do", FAILING)
def test_an_event_that_takes_the_process_with_it_fails_alone(sandbox, do):
    before, failed, after = run(sandbox, "before", do, "after")
    reason, detail = FAILING[do]
    assert failed.failure.reason == reason
    assert detail in failed.failure.detail
    assert became(before) == {"do": "before", "done": 7}
    assert became(after) == {"do": "after", "done": 7}


def test_a_fork_answers_for_nobody(sandbox):
    assert [became(one)["do"] for one in run(sandbox, "fork", "after")] == ["fork", "after"]


def test_what_is_printed_logged_and_counted_comes_back_with_its_event_and_secrets_do_not(sandbox):
    printed, after = run(sandbox, "print", "after")
    assert printed.lines == [("info", "printed"), ("warn", "logged key=***"), ("info", "secret *** ?")]
    assert printed.counts == {"seen": 2}
    assert (after.lines, after.counts) == ([], {})
    [chatter] = run(sandbox, "chatter")
    assert len(chatter.lines) == 20


def test_user_code_sees_no_credentials(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    sandbox = sandbox_of(SOURCE)
    [answer] = run(sandbox, "environment")
    assert set(became(answer)["do"]) <= {
        "LANG",
        "LC_CTYPE",
        "LD_LIBRARY_PATH",
        "PATH",
        "PYTHONHASHSEED",
        "PYTHONPATH",
        "TZ",
    }
    sandbox.close()


@pytest.mark.parametrize("delay", ["Decimal('1.5')", "True", "'soon'", "float('nan')", "10 ** 400"])
def test_no_answer_is_taken_for_another_events_whatever_delay_is_asked_for(delay):
    made = sandbox_of(f"""
from decimal import Decimal
from kith import RetryError

class Odd(RetryError):
    def __init__(self):
        self.delay_s = {delay}

def transform(event, context):
    if event["do"] == "odd":
        raise Odd()
    return event
""")
    before, odd, after = run(made, "before", "odd", "after")
    assert odd.failure.reason == "transform_retry"
    assert [became(one)["do"] for one in (before, after, *run(made, "next"))] == ["before", "after", "next"]
    made.close()


def test_what_is_no_answer_costs_its_own_event():
    made = sandbox_of("""
import os

def transform(event, context):
    if event["do"] == "garble":
        for number in range(3, 20):
            try:
                os.write(number, b"\\0\\0\\0\\2{}")
            except OSError:
                pass
    return event
""")
    before, garbled, after = run(made, "before", "garble", "after")
    assert garbled.failure is None or garbled.failure.reason == "transform_crash"
    assert [became(one)["do"] for one in (before, after)] == ["before", "after"]
    made.close()


def test_a_few_that_crash_among_many_cost_no_neighbour_its_turn(sandbox):
    dos = ["exit" if number % 10 == 0 else "on" for number in range(60)]
    answers = run(sandbox, *dos)
    assert [one.failure.reason if one.failure else "on" for one in answers] == [
        "transform_crash" if do == "exit" else "on" for do in dos
    ]


def test_where_everything_fails_the_rest_waits(sandbox):
    answers = run(sandbox, *["exit"] * FAILURES_MAX, "a", "b")
    assert [one.failure.reason for one in answers] == ["transform_crash"] * FAILURES_MAX + [
        "transform_retry"
    ] * 2
    assert [one.unreached for one in answers[-3:]] == [False, True, True]


def test_only_losses_in_a_row_make_the_rest_wait(sandbox):
    answers = run(sandbox, *["exit", "fine"] * (FAILURES_MAX + 1))
    assert [one.failure and one.failure.reason for one in answers] == ["transform_crash", None] * (
        FAILURES_MAX + 1
    )
    assert not any(one.unreached for one in answers)


def test_whatever_a_run_raises_no_answer_of_it_is_taken_for_another_events(sandbox, monkeypatch):
    monkeypatch.setattr("shared.adapters.sandbox.Process.answer", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(sandbox, "a")
    monkeypatch.undo()
    assert became(run(sandbox, "b")[0])["do"] == "b"


def test_no_time_is_spent_on_gathering_what_an_event_alone_becomes(sandbox, monkeypatch):
    run(sandbox, "a")
    monkeypatch.setattr("shared.adapters.process._GATHER_S", -1.0)  # which no process sleeps for
    assert became(run(sandbox, "b")[0])["do"] == "b"
    with pytest.raises(ValueError, match="non-negative"):
        run(sandbox, "c", "d")
    monkeypatch.undo()
    assert [became(one)["do"] for one in run(sandbox, "e", "f", "g")] == ["e", "f", "g"]


def test_where_time_is_up_the_rest_waits(sandbox):
    answers = run(sandbox, "loop", "a", "b", time_s=0.3)
    assert [one.failure.reason for one in answers] == [
        "transform_timeout",
        "transform_retry",
        "transform_retry",
    ]
    assert became(run(sandbox, "after")[0])["do"] == "after"


@pytest.mark.parametrize(
    ("source", "detail"),
    [
        ("import os; os._exit(1)", "transform.py: the process ended (exit status 1)"),
        ("\nraise ValueError('x')", "transform.py: line 2: cannot be run: ValueError: x"),
        ("x = 1", "transform.py: line 1: must define"),
    ],
)
def test_a_program_that_cannot_be_loaded_fails_all_events(source, detail):
    answers = run(sandbox_of(source), "a", "b")
    assert [one.failure.reason for one in answers] == ["transform_load"] * 2
    assert detail in answers[0].failure.detail


def test_why_a_program_cannot_be_loaded_is_told_without_secrets():
    source = """
import sys
frame = sys._getframe()
while "start" not in frame.f_locals:
    frame = frame.f_back
raise ValueError(frame.f_locals["start"].env["KEY"])
"""
    [answer] = run(sandbox_of(source), "a")
    assert answer.failure.detail == "transform.py: line 6: cannot be run: ValueError: ***"


def test_a_class_named_after_a_secret_does_not_tell_it():
    source = """
def transform(event, context):
    raise type(context.env["KEY"], (Exception,), {})()
"""
    sandbox = sandbox_of(source)
    [answer] = run(sandbox, "a")
    assert answer.failure.detail == "*** at transform.py:3"
    sandbox.close()


def test_a_program_that_only_starts_too_slowly_is_tried_again():
    sandbox = Sandbox(Program("b", 1, "import time; time.sleep(9)", {}), Limits(load_s=0.3))
    answers = run(sandbox, "a", "b")
    assert [one.failure.reason for one in answers] == ["transform_retry"] * 2


def test_a_process_that_was_stopped_between_two_runs_is_ended_and_another_takes_what_it_did_not():
    sandbox = Sandbox(Program("customers", 7, SOURCE, {"KEY": "s3cret"}), Limits(event_s=0.5, idle_s=0.2))
    run(sandbox, "a")
    stopped = sandbox._kept._process._child
    os.kill(stopped.pid, signal.SIGSTOP)
    large = "b" * 2**20
    assert became(run(sandbox, large)[0])["do"] == large
    assert stopped.poll() == -signal.SIGKILL
    sandbox.close()


def test_a_process_that_died_between_two_runs_is_nobodys_fault():
    sandbox = sandbox_of(SOURCE)
    run(sandbox, "a")
    os.kill(sandbox._kept._process._child.pid, 9)
    sandbox._kept._process._child.wait()
    assert became(run(sandbox, "b")[0])["do"] == "b"
    sandbox.close()
    sandbox.close()
