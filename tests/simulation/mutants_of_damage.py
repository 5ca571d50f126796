"""Planted faults of going on beside what is damaged: what worlds with damaged items must find."""

from unittest.mock import patch

from shared.app import batch, loading
from shared.app.damage import DamagedError


def takes_all_that_is_read_together_for_damaged():
    """Where something cannot be read, all that was asked for with it counts as damaged."""

    def readable(read, wanted):
        try:
            return read(wanted), set()
        except DamagedError:
            return {}, set(wanted)

    yield patch.object(loading, "readable", readable)


def sets_aside_nothing_that_is_damaged():
    """Events of a damaged profile are done with."""
    yield patch.object(batch, "_unfolded", lambda _: {})


MUTANTS_OF_DAMAGE = [takes_all_that_is_read_together_for_damaged, sets_aside_nothing_that_is_damaged]
