"""How long what can go on for any time goes on in `make soak SOAK_S=...`."""

import os
import time

SHARE_OF = {"simulation": 0.4, "engines": 0.2, "fuzzing": 0.4}
"""Of the time asked for; engines are two, and have half of theirs each."""
EXAMPLES, TIMES = "KITH_EXAMPLES_TIMES", 10
"""What tells a run of tests that laws are to be tried on more examples, and on how many times as many."""


def share_s(name):
    """Return the seconds that one kind of test has."""
    return soak_s() * SHARE_OF[name]


def soak_s():
    """Return the seconds that were asked for. Raises ValueError that says what is wrong with them."""
    asked = os.environ.get("SOAK_S", "600")
    if not asked.isdecimal() or int(asked) < 1:
        raise ValueError(f"SOAK_S is a number of seconds, not {asked!r}")
    return int(asked)


def examples(count):
    """Return how many examples a law is tried on: so many in `make test`, `TIMES` as many in `make soak`."""
    return count * int(os.environ.get(EXAMPLES, "1"))


def for_as_long_as_asked(name, parts=1):
    """Yield 0, 1, 2, ... until a share of the time has passed, at least once."""
    until, number = time.monotonic() + share_s(name) / parts, 0
    while not number or time.monotonic() < until:
        yield number
        number += 1
