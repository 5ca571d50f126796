"""How long what can go on for any time goes on in `make soak SOAK_S=...`."""

import os
import time

SHARE_OF = {"simulation": 0.4, "engines": 0.2, "fuzzing": 0.4}
"""Of the time asked for; engines are two, and have half of theirs each."""


def share_s(name):
    """Return the seconds that one kind of test has."""
    return float(os.environ.get("SOAK_S", "600")) * SHARE_OF[name]


def for_as_long_as_asked(name, parts=1):
    """Yield 0, 1, 2, ... until a share of the time has passed, at least once."""
    until, number = time.monotonic() + share_s(name) / parts, 0
    while not number or time.monotonic() < until:
        yield number
        number += 1
