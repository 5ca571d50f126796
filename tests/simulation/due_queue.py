"""The queue of due profiles, as SQS has it: nothing gets lost, but it comes late, twice, and in any order."""

from typing import NamedTuple

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from shared.adapters.sqs import MESSAGES_MAX
from shared.app.functions.deliver import Message
from shared.app.functions.dispatch import DELAY_S_MAX
from tests.simulation.dynamo import client_error
from tests.simulation.scheduler import SimulationError

CALLS = ("throttled", "unreached", "lost", "late", "twice", "slow")
SENDS = (*CALLS, *["refused"] * 4)
OFTEN = 4
"""There are few of these calls beside those of DynamoDB."""
SLOW_TICKS_MAX = 300
VISIBILITY_S = 30 * 60
HIDDEN_S_MAX = 12 * 3600
RECEIVES_MAX = 100
"""As `infra/functions.py` has them, and SQS."""


class _Held(NamedTuple):
    body: str
    received: int
    visible_us: int

    @property
    def is_dead(self):
        return self.received >= RECEIVES_MAX


class DueQueue:
    """The messages. `now_us` tells the time, `arrived` is called when there is one more to receive."""

    def __init__(self, random, now_us, arrived):
        self.held = {}
        self._random = random
        self._now_us = now_us
        self._arrived = arrived
        self._count = 0

    def put(self, body, delay_s):
        self._count += 1
        self.held[f"m{self._count}"] = _Held(body, 0, self._later_us(delay_s))
        self._arrived()

    def has_some(self):
        """Whether there is anything to receive now."""
        return bool(self._visible())

    def next_us(self):
        """Return when there is something to receive."""
        return min(one.visible_us for one in self.held.values())

    def receive(self, count, *, twice):
        """Return some messages, of whatever age; `twice`: somebody else receives them as well."""
        visible = self._visible()
        messages = []
        for name in self._random.sample(visible, min(count, len(visible))):
            received = self.held[name].received + 1
            until_us = self._now_us() if twice else self._later_us(VISIBILITY_S)
            self.held[name] = self.held[name]._replace(received=received, visible_us=until_us)
            messages.append(Message(name, f"{name}/{received}", self.held[name].body, received))
        return messages

    def delete(self, message):
        """Forget a message that is done with."""
        self.held.pop(message.id, None)

    def hide(self, receipt, seconds):
        """Have a message come again after so long."""
        name, _, received = receipt.partition("/")
        if name not in self.held or self.held[name].received != int(received):
            raise client_error("MessageNotInflight", "ChangeMessageVisibility")
        self.held[name] = self.held[name]._replace(visible_us=self._later_us(seconds))

    def dead(self):
        """Return what was received too often, and would be among the dead letters."""
        return [one.body for one in self.held.values() if one.is_dead]

    def _visible(self):
        now_us = self._now_us()
        return [name for name, one in self.held.items() if one.visible_us <= now_us and not one.is_dead]

    def _later_us(self, seconds):
        return self._now_us() + seconds * 1_000_000


class SqsClient:
    """As much of a botocore client of SQS, for one process, as is asked for."""

    def __init__(self, world, process):
        self._world = world
        self._process = process

    def send_message_batch(self, *, QueueUrl, Entries):  # noqa: N803 - as botocore has it
        del QueueUrl
        if not 1 <= len(Entries) <= MESSAGES_MAX:
            raise SimulationError(f"SQS refuses {len(Entries)} messages")
        if not all(0 <= one["DelaySeconds"] <= DELAY_S_MAX for one in Entries):
            raise SimulationError("SQS refuses a delay")
        fault = self._sent("send_message_batch", SENDS)
        refused = self._world.faults.below(len(Entries)) if fault == "refused" else None
        taken = [one for at, one in enumerate(Entries) if at != refused]

        def put():
            for one in taken:
                self._world.queue.put(one["MessageBody"], one["DelaySeconds"])

        self._do(put, fault)
        return {} if refused is None else {"Failed": [{"Id": Entries[refused]["Id"]}]}

    def change_message_visibility(self, *, QueueUrl, ReceiptHandle, VisibilityTimeout):  # noqa: N803 - likewise
        del QueueUrl
        if not 0 <= VisibilityTimeout <= HIDDEN_S_MAX:
            raise SimulationError(f"SQS refuses to hide a message for {VisibilityTimeout} s")
        fault = self._sent("change_message_visibility", CALLS)
        self._do(lambda: self._world.queue.hide(ReceiptHandle, VisibilityTimeout), fault)

    def _sent(self, name, kinds):
        """Let the request travel; return what goes wrong with it, unless it is over at that."""
        scheduler, faults = self._world.scheduler, self._world.faults
        scheduler.switch()
        fault = faults.draw(f"{name} of {self._process.name}", kinds, times=OFTEN)
        if fault == "slow":
            scheduler.switch(1 + faults.below(SLOW_TICKS_MAX))
        if fault == "throttled":
            raise client_error("RequestThrottled", name)
        if fault == "unreached":
            raise ConnectTimeoutError(endpoint_url="")
        return fault

    def _do(self, work, fault):
        if fault == "late":
            self._world.later(work)
            raise ReadTimeoutError(endpoint_url="")
        work()
        if fault == "twice":
            work()
        self._world.scheduler.switch()
        if fault == "lost":
            raise ReadTimeoutError(endpoint_url="")
