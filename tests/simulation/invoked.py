"""A function of Lambda that runs user code, as it is invoked, and as it fails.

What the code makes of its input is a function of the input, so that whoever checks can ask it. Whether the
function is reached at all, dies, takes too long, or gets as far as a part of its input, the seed decides.
"""

import io
from typing import ClassVar

import msgspec
from botocore.exceptions import ReadTimeoutError

from shared.core.sandbox import Response
from tests.simulation.dynamo import client_error

FAULTS = ("throttled", "lost", "slow")
FAULTS_OF_CODE = ("crashed", "unreached")
"""After these a part of the input comes later than the rest."""
SLOW_TICKS_MAX = 300


class InvokedFunction:
    """As much of a client of Lambda, for one process, as is asked for. Subclasses answer."""

    name: str
    """As faults tell of it."""
    times = 1
    """How much more often than other calls it fails."""
    unreached: ClassVar
    """The answer to what the code was not run on."""

    def __init__(self, world, process):
        self._world = world
        self._what = f"{self.name} of {process.name}"

    def invoke(self, *, FunctionName, Payload):  # noqa: N803 - as botocore has it
        del FunctionName
        scheduler, faults = self._world.scheduler, self._world.faults
        scheduler.switch()
        fault = faults.draw(self._what, self._faults(), times=self.times)
        if fault == "slow":
            scheduler.switch(1 + faults.below(SLOW_TICKS_MAX))
        if fault == "throttled":
            raise client_error("TooManyRequestsException", "Invoke")
        answers = self._answers(Payload)
        scheduler.switch()
        if fault == "lost":
            raise ReadTimeoutError(endpoint_url="")
        if fault == "crashed":
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b"{}")}
        if fault == "unreached":
            at = faults.below(len(answers) + 1)
            answers[at:] = [self.unreached] * (len(answers) - at)
        if answers and (failed := self._failed(fault)) is not None:
            answers[faults.below(len(answers))] = failed
        said = Response(msgspec.json.encode(answers).decode())
        return {"Payload": io.BytesIO(msgspec.json.encode(said))}

    def _faults(self):
        """Return what may go wrong."""
        raise NotImplementedError

    def _answers(self, payload):
        """Return what the code makes of each part of its input, where nothing fails."""
        raise NotImplementedError

    def _failed(self, fault):
        """Return the answer to a part of the input that some fault makes of it; None for any other fault."""
        raise NotImplementedError
