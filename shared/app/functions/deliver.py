"""Deliveries: what becomes of a message, whatever its run comes to.

Done with, it goes. Failed, it comes again, later and later, and after the last attempt its profile is listed
among the errors. If the function cannot be run at all now, it comes again for as long as that takes.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

import msgspec

from shared.app.functions.dispatch import DELAY_S_MAX, Delayed, Due, Queue
from shared.app.functions.errors import Errors, FunctionError
from shared.app.functions.failing import Backoff
from shared.app.functions.run import Became, Ran, Runs
from shared.core.functions import FunctionFailure


class Message(NamedTuple):
    """A message as the queue delivers it, for the n-th time; `receipt` is this delivery's."""

    id: str
    receipt: str
    body: str
    received: int


POSTPONED_S_MIN: Final = 30
"""The shortest for which a message of a version that is being built waits; a quarter of an hour at most."""


class BuildingError(Exception):
    """A version is still being built: its functions do not run yet, beside those that its rebuild runs."""


class Holding(Queue, Protocol):
    """The queue that a message came from."""

    def hold(self, receipt: str, delay_s: int) -> None:
        """Have a message come again after so many seconds."""
        ...


class Delivery(NamedTuple):
    """What became of a message. `again`: it is to come again, and must not be taken for done.

    `due` is None for a body that is no message; `error` is what kept the function from running.
    `left_out` counts traits of its result that could not be kept; `attempt`, its failures in a row.
    """

    message: Message
    due: Due | None = None
    became: Became | None = None
    failure: FunctionFailure | None = None
    error: Exception | None = None
    again: bool = False
    age_ms: int = 0
    left_out: int = 0
    attempt: int = 0


class Deliver:
    """Takes messages one by one; safe for several threads.

    `runs_of` gives the runs of a version, or None when that has ended, and raises `BuildingError` while it
    is being built; `now` gives microseconds UTC.
    """

    def __init__(
        self,
        runs_of: Callable[[str, int], Runs | None],
        queue: Holding,
        errors: Errors,
        backoff: Backoff,
        now: Callable[[], int],
    ) -> None:
        self._runs_of = runs_of
        self._queue = queue
        self._errors = errors
        self._backoff = backoff
        self._now = now

    def take(self, message: Message) -> Delivery:
        """Deal with one message."""
        try:
            due = msgspec.json.decode(message.body, type=Due)
        except (msgspec.MsgspecError, UnicodeEncodeError):
            return Delivery(message)
        try:
            return self._run(message, due)
        except Exception as error:  # noqa: BLE001 - one message must never take its neighbours with it
            self._hold_if_possible(message)
            return Delivery(message, due, error=error, again=True)

    def _hold_if_possible(self, message: Message) -> None:
        """Have a message come again later; if the queue refuses that too, when its visibility ends.

        What kept the function from running is what the delivery tells: this says no more.
        """
        with suppress(Exception):
            self._queue.hold(message.receipt, self._backoff.unavailable_s(message.received))

    def _run(self, message: Message, due: Due) -> Delivery:
        try:
            runs = self._runs_of(due.builder, due.version)
        except BuildingError:
            self._queue.send([Delayed(due, self._postponed_s(due))])
            return Delivery(message, due, Became.POSTPONED)
        if runs is None:
            return Delivery(message, due, Became.GONE)
        ran = runs.run(due)
        if ran.again_s is not None:
            self._queue.hold(message.receipt, ran.again_s)
            return Delivery(message, due, ran.became, ran.failure, again=True, attempt=ran.attempt)
        if ran.failure is not None:
            self._errors.put(self._error(due, ran, ran.failure))
            return Delivery(message, due, ran.became, ran.failure, attempt=ran.attempt)
        age_ms = max(0, (self._now() - due.rev) // 1000)
        return Delivery(message, due, ran.became, age_ms=age_ms, left_out=ran.left_out)

    def _postponed_s(self, due: Due) -> int:
        """Return when a message of a version that is being built comes again: later, the longer that takes.

        It goes as another one: so no delivery counts as an attempt, and it is not among those in flight,
        of which a queue has so many at once for all builders.
        """
        age_s = (self._now() - due.rev) // 1_000_000
        return max(POSTPONED_S_MIN, min(age_s // 2, DELAY_S_MAX))

    def _error(self, due: Due, ran: Ran, failure: FunctionFailure) -> FunctionError:
        return FunctionError(due, failure.reason, failure.detail, ran.attempt, self._now() // 1000)
