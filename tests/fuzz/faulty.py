"""What must be found: the negative controls of whatever fuzzes."""

import re
import time

from tests.fuzz.target import Target

MEGABYTES, MEGABYTE_S = 600, 0.004
"""What one of them holds in the end, and how long it takes to hold one more."""


def _raises(data):
    if _is_found(data):
        raise KeyError("found")


def _goes_on(data):
    while _is_found(data):
        try:
            re.match(r"(a+)+$", "a" * 60 + "b")
        except Exception:  # noqa: BLE001, S112 - what stops it must not be taken for this
            continue


def _fills_memory(data):
    held = []
    while _is_found(data) and len(held) < MEGABYTES:
        held.append(bytearray(2**20))
        time.sleep(MEGABYTE_S)  # whoever watches looks but once a second


def _is_found(data):
    return data.startswith(b"kith") and len(data) > 6 and data[5] == 0x7F


FAULTY = {
    "raises": Target(_raises, lambda: [b"kith  "]),
    "goes_on": Target(_goes_on, lambda: [b"kith  "]),
    "fills_memory": Target(_fills_memory, lambda: [b"kith  "]),
}
