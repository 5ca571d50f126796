"""Planted faults of reading and of counting: what readers see in the midst of a run, what a batch reports."""

from unittest.mock import patch

from shared.app import batch, read


def shows_who_has_expired():
    """A reader takes whoever is still there for alive."""
    yield patch.object(read, "expiry", lambda *_: 2**60)


def shows_parts_of_lists():
    """A reader is content with what the item of a profile holds."""
    yield patch.object(read, "missing_segments", lambda *_: [])


def overlooks_what_is_parked():
    """A reader does not fold what waits beside a profile."""
    yield patch.object(read.Reader, "_with_parked", lambda _, profile: profile)


def counts_what_is_dropped_twice():
    """A batch reports each event that it drops as two."""
    run = batch.Batch.run

    def twice(self, envelopes, *arguments):
        outcome = run(self, envelopes, *arguments)
        for name in [one for one in outcome.tally if one.startswith("dropped.")]:
            outcome.tally[name] *= 2
        return outcome

    yield patch.object(batch.Batch, "run", twice)


def reads_what_is_stale():
    """A reader is content with what was stored until lately."""
    by_identifier = read.Reader.by_identifier

    def stale(self, identifier):
        with patch.object(self, "_store", _Stale(self._store)):
            return by_identifier(self, identifier)

    yield patch.object(read.Reader, "by_identifier", stale)


class _Stale:
    """A store whose reads are never consistent."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def pointers(self, identifiers, *, fresh):
        del fresh
        return self._store.pointers(identifiers, fresh=False)

    def profiles(self, ids, *, fresh):
        del fresh
        return self._store.profiles(ids, fresh=False)


MUTANTS_OF_READING = [
    shows_who_has_expired,
    shows_parts_of_lists,
    overlooks_what_is_parked,
    counts_what_is_dropped_twice,
    reads_what_is_stale,
]
