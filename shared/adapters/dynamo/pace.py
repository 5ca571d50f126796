"""A cap on what a worker writes: units are spread evenly over time."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Final


class Pace:
    """Spreads write units evenly over time, of all threads."""

    def __init__(self, units_per_s: float, wait: Callable[[float], None]) -> None:
        self._units_per_s = units_per_s
        self._wait = wait
        self._free_at = time.monotonic()
        self._lock = Lock()

    def take(self, units: int) -> None:
        """Wait until so many units may be taken."""
        if not self._units_per_s:
            return
        with self._lock:
            now = time.monotonic()
            starts_at = max(now, self._free_at)
            self._free_at = starts_at + units / self._units_per_s
        if starts_at > now:
            self._wait(starts_at - now)


UNBOUNDED: Final = Pace(0, time.sleep)
"""As many units as there are."""
