"""Running user code in a process of its own, which may crash, hang or run out of memory.

Its parent knows how far it came: exactly the event that did it fails, and a new process takes the others.
"""

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from shared.adapters.process import Limits, LostError, Outside, Process
from shared.app.functions.ports import FunctionInput
from shared.core.chain import Failure
from shared.core.containers import Reason
from shared.core.functions import FunctionFailure, FunctionReason
from shared.core.sandbox import Answer, FunctionAnswer, Program, events_json, run_frame

FAILURES_MAX: Final = 3
"""Processes lost one after the other, with nothing answered in between, after which the rest waits."""
AGE_S_MAX: Final = 900.0
"""How old a process becomes that was given secrets: they may have been changed since."""

_UNREACHED: Final = "not reached: those before it took too long, or crashed"
_REASONS: Final[dict[str, Reason]] = {
    "crash": "transform_crash",
    "timeout": "transform_timeout",
    "load": "transform_load",
    "busy": "transform_retry",
}
_FUNCTION_REASONS: Final[dict[str, FunctionReason]] = {
    "crash": "function_crash",
    "timeout": "function_timeout",
    "load": "function_load",
    "busy": "function_load",
}


class _Kept:
    """The process of a program, started when it is needed, and kept."""

    def __init__(self, program: Program, limits: Limits, outside: Outside) -> None:
        self._program = program
        self._limits = limits
        self._outside = outside
        self._process: Process | None = None
        self._started_s = 0.0
        given = [*program.env.values(), *program.warehouses.values()]
        self._has_secrets = not all(isinstance(one, str) for one in given)

    def get(self) -> Process:
        """Return the process; LostError if there can be none."""
        process = self._process
        if process is not None and (not process.is_alive() or self._is_old()):
            self.close()  # between two runs: nobody is to blame
        if self._process is None:
            self._process = Process(self._program, self._limits, self._outside)
            self._started_s = time.monotonic()
        return self._process

    def given(self, frame: bytes) -> Process:
        """Return the process, with a frame; LostError if there can be none.

        One that was stopped between two runs is nobody's fault: a new one takes the frame.
        """
        process = self.get()
        try:
            process.write(frame)
        except LostError:
            self.close()
            process = self.get()
            process.write(frame)
        return process

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def _is_old(self) -> bool:
        return self._has_secrets and time.monotonic() - self._started_s > AGE_S_MAX


class Sandbox:
    """Runs a chain."""

    def __init__(self, program: Program, limits: Limits, outside: Outside | None = None) -> None:
        self._kept = _Kept(program, limits, outside or Outside())
        self._limits = limits

    def run(self, events: Sequence[msgspec.Raw], time_s: float) -> list[Answer]:
        """Transform JSON texts within a time; one answer for each, in their order.

        Events that there was no time for are to be tried again. Whatever this raises, its process is ended.
        """
        try:
            return self._answers(events, time_s)
        except BaseException:
            self.close()  # what it has still to say would answer other events
            raise

    def close(self) -> None:
        """End the process."""
        self._kept.close()

    def _answers(self, events: Sequence[msgspec.Raw], time_s: float) -> list[Answer]:
        end = time.monotonic() + time_s
        answers: list[Answer] = []
        lost = 0
        while len(answers) < len(events) and lost < FAILURES_MAX and time.monotonic() < end:
            before = len(answers)
            try:
                self._run(events, answers, end)
            except LostError as error:
                lost = lost + 1 if len(answers) == before else 1
                self.close()
                # Without a program no event can be transformed.
                failed = len(events) - len(answers) if error.kind in ("load", "busy") else 1
                answers += [Answer(failure=Failure(_REASONS[error.kind], error.detail))] * failed
        unreached = Answer(failure=Failure("transform_retry", _UNREACHED), unreached=True)
        return answers + [unreached] * (len(events) - len(answers))

    def _run(self, events: Sequence[msgspec.Raw], answers: list[Answer], end: float) -> None:
        """Have the events answered that are not yet; LostError if the process is lost over one of them."""
        process = self._kept.given(events_json(events[len(answers) :]))
        while len(answers) < len(events):
            if time.monotonic() >= end:
                self.close()  # it would go on with what nobody waits for
                return
            answer = process.answer(self._limits.event_s, Answer, more=len(answers) + 1 < len(events))
            answers.append(answer)
            if answer.worn:
                self.close()
                return


class FunctionSandbox:
    """Runs a profile function."""

    def __init__(self, program: Program, limits: Limits, outside: Outside | None = None) -> None:
        self._kept = _Kept(program, limits, outside or Outside())
        self._run_s = program.run_s

    def run(
        self, inputs: Sequence[FunctionInput], time_s: float, run_s: float | None = None
    ) -> list[FunctionAnswer]:
        """Run it for each input within a time, and at most `run_s` for each; one answer for each, in order.

        The first is always begun. Those that there was no time for are `unreached`. Whatever this raises, its
        process is ended.
        """
        try:
            return self._answers(inputs, time.monotonic() + time_s, run_s or self._run_s)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process."""
        self._kept.close()

    def _answers(self, inputs: Sequence[FunctionInput], end: float, run_s: float) -> list[FunctionAnswer]:
        answers: list[FunctionAnswer] = []
        lost = 0
        for one in inputs:
            if lost == FAILURES_MAX or (answers and time.monotonic() >= end):
                break
            try:
                process = self._kept.given(run_frame(one.user, one.since_ms, one.chunks))
                answer = process.answer(run_s, FunctionAnswer)
            except LostError as error:
                self.close()
                lost += 1
                failure = FunctionFailure(_FUNCTION_REASONS[error.kind], error.detail)
                if error.kind in ("load", "busy"):
                    return answers + [FunctionAnswer(failure=failure)] * (len(inputs) - len(answers))
                answer = FunctionAnswer(failure=failure)
            else:
                lost = 0
                if answer.worn:
                    self.close()
            answers.append(answer)
        unreached = FunctionAnswer(failure=FunctionFailure("function_timeout", _UNREACHED), unreached=True)
        return answers + [unreached] * (len(inputs) - len(answers))


__all__ = ["FAILURES_MAX", "FunctionSandbox", "Limits", "Outside", "Sandbox"]
