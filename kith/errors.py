"""Errors that say what is to become of an event, and those that the context raises."""

import math


class RetryError(Exception):
    """Raise it for an event that cannot be transformed now: it waits, and is tried again as it was sent.

    It is tried again after 10, 100 and 1000 minutes, or after `delay_s` seconds, and then goes to quarantine.
    The event waits either way: `drop` is accepted for code written for Jitsu.
    """

    # Here as well, for classes made of this one that never call its `__init__`.
    delay_s: float | None = None
    drop: bool = False

    def __init__(self, message: str = "", delay_s: float | None = None, *, drop: bool = False) -> None:
        super().__init__(message)
        if delay_s is not None and not (math.isfinite(delay_s) and delay_s >= 0):
            raise ValueError("delay_s must be a number of seconds, 0 or more")
        self.delay_s = delay_s
        self.drop = drop


class NoRetryError(Exception):
    """Raise it for an event that can never be transformed: it goes to quarantine, as for any other error."""


class StoreError(RetryError):
    """The store cannot be reached now: unless it is caught, the event waits, and is tried again."""


class FetchError(Exception):
    """Nothing was fetched: the address is refused, nobody answers in time, or the answer is too large."""


class WarehouseError(Exception):
    """A query has no result: there is no such warehouse, it refuses the query, or time or rows ran out."""
