"""Planted faults of going on beside what is damaged: what worlds with damaged items must find."""

from contextlib import suppress
from unittest.mock import patch

from shared.app import batch, loading
from shared.app.damage import DamagedError
from shared.app.rebuild import link, replay, scan, shuffle
from shared.app.rebuild.build import BuildFailedError
from shared.app.rebuild.formats import fetch
from shared.core.archive import DamagedArchiveError, read_object


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


def passes_over_what_is_damaged_in_the_archive():
    """A build goes on without the records of an object that cannot be read."""

    def readable(objects, key):
        with suppress(DamagedArchiveError):
            yield from read_object(fetch(objects, key))

    yield patch.object(scan, "_records", readable)


def names_nothing_that_is_damaged_in_the_archive():
    """A build that comes to a damaged object fails, and does not say which it was."""

    def unnamed(objects, key):
        try:
            yield from read_object(fetch(objects, key))
        except DamagedArchiveError as error:
            raise BuildFailedError("an object is damaged") from error

    yield patch.object(scan, "_records", unnamed)


def names_nothing_that_is_damaged_in_a_build():
    """A state that comes to what another has left, and is damaged, does not say which object that is."""
    for state, name in (
        (link, "links_of"),
        (shuffle, "read_spool"),
        (shuffle, "read_assignments"),
        (replay, "records_of_block"),
    ):
        read = getattr(state, name)
        yield patch.object(state, name, lambda data, _key, read=read: read(data, "an object"))


MUTANTS_OF_DAMAGE = [
    takes_all_that_is_read_together_for_damaged,
    sets_aside_nothing_that_is_damaged,
    passes_over_what_is_damaged_in_the_archive,
    names_nothing_that_is_damaged_in_the_archive,
    names_nothing_that_is_damaged_in_a_build,
]
