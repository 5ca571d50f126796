"""Planted faults of what comes again: the drain, quarantine, and what was set aside before."""

from unittest.mock import patch

from shared.adapters import quarantine
from shared.app import aside, batch, drain


def deletes_before_it_delivers():
    """The drain forgets a batch first, and may die before anybody has it."""
    take = drain.Drain._drain

    def hasty(self, listed, now, stop_at_ms):
        found = self.batches.get(listed.key)
        self.batches.delete(listed.key)
        with patch.object(self.batches, "get", lambda _: found):
            return take(self, listed, now, stop_at_ms)

    yield patch.object(drain.Drain, "_drain", hasty)


def drops_what_loses_races():
    """What lost too many races waits nowhere."""

    def forget(self, envelopes, outcome, tally):
        del self, envelopes, tally
        outcome.failed = [one for one in outcome.failed if one[1] != batch.CONTENDED]

    yield patch.object(batch.Batch, "_let_wait", forget)


def deletes_what_was_set_aside_again():
    """A replay takes its entry out of quarantine, although what is still bad has just been written there."""

    def delete(self, stored):
        self._objects.delete(quarantine._key(stored.entry.id))
        return True

    yield patch.object(quarantine.S3Quarantine, "delete", delete)


def sets_aside_but_once():
    """What fails once more when it is delivered again is not set aside again."""
    yield patch.object(aside.Aside, "write_again", lambda *_: None)


def takes_half_for_all():
    """Of a batch that was not accepted the drain delivers the first half, and forgets the other."""
    deliver = drain.deliver

    def hasty(ingest, items, may_go_on):
        forgotten = []

        def ingest_half(part):
            if part[0] in forgotten:
                return len(part)
            accepted = ingest(part)
            if not accepted:
                forgotten.extend(part[len(part) // 2 :][: len(part) - 1])
            return accepted

        return deliver(ingest_half, items, may_go_on)

    yield patch.object(drain, "deliver", hasty)


MUTANTS_OF_DELIVERY = [
    deletes_before_it_delivers,
    drops_what_loses_races,
    deletes_what_was_set_aside_again,
    sets_aside_but_once,
    takes_half_for_all,
]
