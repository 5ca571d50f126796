"""Services that are fakes elsewhere, behind the network: each call takes time, may fail, and may get lost."""

from botocore.exceptions import ReadTimeoutError

from tests.simulation.dynamo import client_error

FAULTS = ("throttled", "lost", "slow")
SLOW_TICKS_MAX = 300


class Remote:
    """A port as one process reaches it."""

    def __init__(self, world, process, name, port):
        self._world = world
        self._process = process
        self._name = name
        self._port = port

    def __getattr__(self, method):
        def call(*arguments, **named):
            scheduler, faults = self._world.scheduler, self._world.faults
            scheduler.switch()
            what = f"{self._name} {method} of {self._process.name}"
            fault = faults.draw(what, FAULTS)
            if fault == "slow":
                scheduler.switch(1 + faults.below(SLOW_TICKS_MAX))
            if fault == "throttled":
                raise client_error("ThrottlingException", method)
            answer = getattr(self._port, method)(*arguments, **named)
            scheduler.switch()
            if fault == "lost":
                raise ReadTimeoutError(endpoint_url="")
            return answer

        return call
