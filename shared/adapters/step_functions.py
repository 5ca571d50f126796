"""The state machine that builds versions, on Step Functions.

An execution's name says what it is for, so that no build is ever started twice: the name of one that has
ended is taken for 90 days, and version numbers never come again.
"""

import itertools
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

import msgspec

from shared import contract
from shared.app.executions import RUNNING, STATES, Execution

STATES_LOOKED_AT_MAX: Final = 100
"""Newest events of a history that are searched for the state that it is in."""


class StepFunctions:
    """The `Executions` port; `machine` is the ARN of the state machine."""

    def __init__(self, client: Any, machine: str) -> None:
        self._client = client
        self._machine = machine

    def start(self, builder: str, version: int, grace_s: int | None) -> bool:
        """Start the build of a version, unless it was ever started; say whether this call has started it."""
        options = {} if grace_s is None else {"grace_s": grace_s}
        return self._start(contract.version_alias(builder, version), builder, version, options)

    def stop(self, builder: str, version: int, cause: str) -> None:
        """End the build of a version, if it runs."""
        arn = self._arn(contract.version_alias(builder, version))
        execution = self._describe(arn)
        if execution is not None and execution["status"] == RUNNING:
            self._client.stop_execution(executionArn=arn, error="Cancelled", cause=cause)

    def clean_up(self, builder: str, version: int) -> None:
        """Start to delete what a version that failed has left, unless that is going on.

        Where an execution that was to do so has ended, another one goes on from where it came to.
        """
        name = contract.version_alias(builder, version) + "-clean-up"
        names = itertools.chain((name,), (f"{name}-{number}" for number in itertools.count(2)))
        for one in names:
            execution = self._describe(self._arn(one))
            if execution is None:
                self._start(one, builder, version, {"clean_up": True})
                return
            if execution["status"] == RUNNING:
                return

    def of(self, builder: str, version: int) -> Execution | None:
        """Return how far the build of a version is; None if it was never started."""
        arn = self._arn(contract.version_alias(builder, version))
        execution = self._describe(arn)
        if execution is None:
            return None
        state, entered_at = self._state(arn)
        return Execution(
            status=execution["status"],
            state=state,
            started_at=_ms(execution["startDate"]),
            entered_at=entered_at,
        )

    def _start(self, name: str, builder: str, version: int, options: dict[str, Any]) -> bool:
        # Of equal inputs under one name, each is told that it has started the execution.
        payload = {"builder": builder, "version": version, **options, "request": uuid4().hex}
        try:
            self._client.start_execution(
                stateMachineArn=self._machine, name=name, input=msgspec.json.encode(payload).decode()
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            return False
        return True

    def _describe(self, arn: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._client.describe_execution(executionArn=arn)
        except self._client.exceptions.ExecutionDoesNotExist:
            return None
        return found

    def _state(self, arn: str) -> tuple[str, int]:
        """Return the state of the build that was entered last, and when."""
        history = self._client.get_execution_history(
            executionArn=arn, reverseOrder=True, maxResults=STATES_LOOKED_AT_MAX, includeExecutionData=False
        )
        for event in history["events"]:
            name = event.get("stateEnteredEventDetails", {}).get("name", "")
            if name in STATES:
                return name, _ms(event["timestamp"])
        return "", 0

    def _arn(self, name: str) -> str:
        """Name an execution: its ARN is that of its machine with another kind and one more part."""
        return f"{self._machine.replace(':stateMachine:', ':execution:')}:{name}"


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
