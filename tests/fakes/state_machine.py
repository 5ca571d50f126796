"""Executions of a state machine in memory: as much of the States Language as Kith's own definition uses.

An execution that was stopped, or has failed, can be redriven, by the rules of Step Functions: it goes on in
the state that it did not leave, with that state's input, with as many retries as at first, and of a map with
the children that have not succeeded.
"""

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Final

RUNNING, SUCCEEDED, FAILED, ABORTED = "RUNNING", "SUCCEEDED", "FAILED", "ABORTED"
CHILD_FAILED: Final = "States.ExceedToleratedFailureThreshold"
STEPS_MAX: Final = 2000

Definition = Mapping[str, Any]
Resource = Callable[[str, dict[str, Any]], Any]


class StoppedError(BaseException):
    """The execution was stopped while a function was at work; nothing catches this."""


class StateError(Exception):
    """A state failed, with an error that the definition may retry or catch."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Execution:
    """One execution. `call` runs a function, `lines` reads a manifest, `wait` lets seconds pass."""

    def __init__(
        self,
        definition: Definition,
        given: Any,
        call: Resource,
        lines: Callable[[str], list[Any]],
        wait: Callable[[float], None],
    ) -> None:
        self.definition = definition
        self.status = RUNNING
        self.left: list[str] = []
        """The states that were left, in order."""
        self.cause = ""
        self._given = given
        self._at: str = definition["StartAt"]
        self._data: Any = deepcopy(given)
        self._ports = call, lines, wait
        self._children: dict[int, Execution] = {}

    @property
    def at(self) -> str:
        """The state that it is in, or ended in."""
        return self._at

    def run(self) -> "Execution":
        """Go on until it ends; again after it has failed or was stopped: that is a redrive."""
        assert self.status != SUCCEEDED, "what has succeeded cannot be redriven"
        self.status = RUNNING
        try:
            for _ in range(STEPS_MAX):
                if self.status != RUNNING:
                    return self
                self._step()
        except StoppedError:
            self.status = ABORTED
            return self
        except StateError:
            self.status = FAILED
            return self
        raise AssertionError("the execution does not end")

    def _step(self) -> None:
        state = self.definition["States"][self._at]
        data, following = getattr(self, f"_{state['Type'].lower()}")(state, deepcopy(self._data))
        if self.status == RUNNING:
            self.left.append(self._at)
            self._children = {}
            self._at, self._data = following, data

    # Kinds of states: each returns what the next one gets, and its name

    def _pass(self, state: Definition, data: Any) -> tuple[Any, str]:
        result = state.get("Result", read(state.get("InputPath", "$"), data))
        if "Parameters" in state:
            result = self._filled(state["Parameters"], result, 0)
        return put(state.get("ResultPath", "$"), data, result), state["Next"]

    def _choice(self, state: Definition, data: Any) -> tuple[Any, str]:
        chosen = next((one for one in state["Choices"] if holds(one, data)), {"Next": state["Default"]})
        return data, chosen["Next"]

    def _wait(self, state: Definition, data: Any) -> tuple[Any, str]:
        seconds = state["Seconds"] if "Seconds" in state else read(state["SecondsPath"], data)
        self._ports[2](seconds)
        return data, state["Next"]

    def _succeed(self, _state: Definition, data: Any) -> tuple[Any, str]:
        self.status = SUCCEEDED
        return data, ""

    def _fail(self, state: Definition, data: Any) -> tuple[Any, str]:
        self.status = FAILED
        self.cause = read(state["CausePath"], data) if "CausePath" in state else state["Cause"]
        return data, ""

    def _task(self, state: Definition, data: Any) -> tuple[Any, str]:
        def work(attempt: int) -> Any:
            payload = self._filled(state["Parameters"], data, attempt)
            return deepcopy(self._ports[0](state["Resource"], payload))

        return self._surely(state, data, work)

    def _map(self, state: Definition, data: Any) -> tuple[Any, str]:
        read(state["MaxConcurrencyPath"], data)

        def work(_attempt: int) -> Any:
            key = read(state["ItemReader"]["Parameters"]["Key.$"], data)
            for number, line in enumerate(self._ports[1](key)):
                child = self._children.get(number)
                if child is None:
                    given = self._filled(state["ItemSelector"], data, 0, line)
                    child = Execution(state["ItemProcessor"], given, *self._ports)
                    self._children[number] = child
                if child.status != SUCCEEDED and child.run().status == ABORTED:
                    raise StoppedError
            if any(child.status == FAILED for child in self._children.values()):
                raise StateError(CHILD_FAILED)

        return self._surely(state, data, work)

    def _surely(self, state: Definition, data: Any, work: Callable[[int], Any]) -> tuple[Any, str]:
        """Do a state's work as often as its retries allow; then go where its catch leads."""
        attempt = 0
        while True:
            try:
                result = work(attempt)
            except Exception as error:
                name = error.error if isinstance(error, StateError) else type(error).__name__
                if attempt < _retries(state, name):
                    attempt += 1
                    continue
                for catch in state.get("Catch", ()):
                    if _matches(catch, name):
                        return put(catch["ResultPath"], data, {"Error": name}), catch["Next"]
                raise StateError(name) from error
            return put(state["ResultPath"], data, result), state["Next"]

    def _filled(self, template: Any, data: Any, attempt: int, item: Any = None) -> Any:
        """Fill a template: `key.$` takes what its path leads to, in the data or in the context."""
        if not isinstance(template, dict):
            return template
        context = {
            "State": {"RetryCount": attempt},
            "Map": {"Item": {"Value": item}},
            "Execution": {"Input": self._given},
        }
        filled = {}
        for key, value in template.items():
            if not key.endswith(".$"):
                filled[key] = self._filled(value, data, attempt, item)
            elif merged := re.fullmatch(r"States\.JsonMerge\((.*), (.*), false\)", value):
                filled[key[:-2]] = {
                    name: one for path in merged.groups() for name, one in _read(path, data, context).items()
                }
            else:
                filled[key[:-2]] = _read(value, data, context)
        return filled


def _read(path: str, data: Any, context: Any) -> Any:
    return read(path[1:], context) if path.startswith("$$") else read(path, data)


def read(path: str, data: Any) -> Any:
    """Return what a path leads to; StateError if it leads nowhere, as in Step Functions."""
    for name in path.split(".")[1:]:
        if not isinstance(data, dict) or name not in data:
            raise StateError("States.Runtime")
        data = data[name]
    return deepcopy(data)


def put(path: str | None, data: Any, result: Any) -> Any:
    """Return data with a result put where a path of one name says."""
    if path is None:
        return data
    if path == "$":
        return result
    assert path.count(".") == 1, path
    return {**data, path[2:]: result}


def holds(choice: Definition, data: Any) -> bool:
    """Tell whether a rule of a choice is met."""
    if "And" in choice:
        return all(holds(one, data) for one in choice["And"])
    if "Not" in choice:
        return not holds(choice["Not"], data)
    if "IsPresent" in choice:
        try:
            read(choice["Variable"], data)
        except StateError:
            return not choice["IsPresent"]
        return bool(choice["IsPresent"])
    [operator] = choice.keys() - {"Variable", "Next"}
    assert operator in {"StringEquals", "BooleanEquals", "NumericEquals"}
    return bool(read(choice["Variable"], data) == choice[operator])


def _retries(state: Definition, error: str) -> int:
    """Return how often a state is tried again after an error: the first rule that names it decides."""
    return next((rule["MaxAttempts"] for rule in state.get("Retry", ()) if _matches(rule, error)), 0)


def _matches(rule: Definition, error: str) -> bool:
    return bool({"States.ALL", error} & {*rule["ErrorEquals"]})
