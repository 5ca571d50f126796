"""Batch calls may do a part of what they are asked for, and are asked for the rest again."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from shared.app.ports import Clock

T = TypeVar("T")


class ThrottledError(Exception):
    """A batch call left something undone, however often it was asked again."""


def until_done(
    call: Callable[[Sequence[T]], Sequence[T]], wanted: Sequence[T], clock: Clock, attempts_max: int
) -> None:
    """Call for what is wanted, and, a little later, for what the call says that is left of it.

    Raises `ThrottledError` when that is still something after so many calls.
    """
    left = wanted
    for attempt in range(1, attempts_max + 1):
        left = call(left)
        if not left:
            return
        clock.pause(attempt)
    raise ThrottledError(f"{len(left)} items are left after {attempts_max} calls")
