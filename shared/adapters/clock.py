"""The clock of a running process."""

import random
import time
from typing import Final

PAUSE_S_BASE: Final = 0.02
PAUSE_S_MAX: Final = 1.0


class SystemClock:
    """The `Clock` port on the machine's own clock."""

    def now_us(self) -> int:
        """Return microseconds since 1970, UTC."""
        return time.time_ns() // 1000

    def pause(self, attempt: int) -> None:
        """Sleep up to an exponentially growing bound: full jitter keeps those who collided apart."""
        time.sleep(random.uniform(0, min(PAUSE_S_MAX, PAUSE_S_BASE * 2**attempt)))  # noqa: S311 - no secret
