"""Planted faults that take back what seeds have found, one by one: the same must be found again.

`docs/found.md` tells of each find; of some, the fault that it was is planted elsewhere.
"""

from unittest.mock import patch

from msgspec.structs import replace

from shared.adapters.dynamo import writes
from shared.adapters.dynamo.client import Client
from shared.adapters.function_errors import S3FunctionErrors
from shared.app import batch, ingest, read
from shared.app.ports import SegmentGoneError
from shared.app.rebuild import cut_over
from shared.core import decided
from shared.core.identity import resolve
from shared.core.writes import Plan


def names_segments_alike():
    """Two attempts at one write give what they write beside it the same names."""
    layout, overflow = writes.Layout, writes.overflow

    def alike(items, builder, before, attempt, *rest):
        return layout(items, builder, before, _revision(attempt), *rest)

    yield patch.object(writes, "Layout", alike)
    yield patch.object(writes, "overflow", lambda item, attempt: overflow(item, _revision(attempt)))


def _revision(attempt):
    return attempt.split()[0]


def writes_segments_over():
    """What is written beside a profile is written over, if it is there."""

    def put(self, table, items):
        self.write(table, list(items), [])

    yield patch.object(Client, "insert", put)


def moves_the_pointers_of_the_broken_later():
    """Identifiers that a profile breaks with lead to its tombstone only once that is written."""
    yield patch.object(Plan, "astray", property(lambda _: []))


def extends_no_pointers_of_the_merged():
    """What a merge leaves where it is keeps the TTL of the merged profile."""
    yield patch.object(decided.Decided, "_extend_merged", lambda *_: None)


def takes_along_what_is_somebody_elses():
    """A removed profile releases all that it lists, whoever owns it by now."""
    bury = resolve.Ownership.bury

    def all_of_it(self, profile, remembered):
        self._owner.update(dict.fromkeys(profile.identifiers, profile.id))
        bury(self, profile, remembered)

    yield patch.object(resolve.Ownership, "bury", all_of_it)


def parks_what_links_people():
    """A group is parked although its plan had no room for all of it."""
    park = ingest.Ingest._park

    def hasty(self, own, planned, outcome):
        return park(self, own, replace(planned, rest=()), outcome)

    yield patch.object(ingest.Ingest, "_park", hasty)


def releases_whatever_was_merged():
    """A removed profile releases what leads to any that was ever merged into it."""
    bury = resolve.Ownership.bury

    def all_of_it(self, profile, remembered):
        self.merged.update(profile.aliases)
        bury(self, profile, remembered)

    yield patch.object(resolve.Ownership, "bury", all_of_it)


def takes_the_merged_for_gone():
    """A reader takes a profile for none that was merged once what waits beside it was read."""
    with_parked = read.Reader._with_parked

    def gone(self, profile):
        try:
            return with_parked(self, profile)
        except SegmentGoneError:
            return None

    yield patch.object(read.Reader, "_with_parked", gone)


def takes_what_became_active_for_ended():
    """Who comes to cut over when another has just done so takes the build for failed."""
    yield patch.object(cut_over, "BuildEndedError", _NeverError)


class _NeverError(Exception):
    """What nobody raises."""


def forgets_an_error_that_is_new():
    """Who has a function run again forgets its error, also if that is of a run since."""
    yield patch.object(S3FunctionErrors, "delete", lambda self, error: self._objects.delete(error.key))


def counts_all_that_one_event_became():
    """What a transformation made of one event is counted, though it waits as that one."""
    fold = batch.Batch._fold

    def counting(self, portion, apart, tally):
        before = tally["events_fanned_out"]
        outcome = fold(self, portion, apart, tally)
        tally["events_fanned_out"] = before
        return outcome

    yield patch.object(batch.Batch, "_fold", counting)


def counts_once_what_waits_twice():
    """An event that two entries hold, and that are replayed at once, is counted as one that waits."""
    fold = batch.Batch._fold

    def counting(self, portion, apart, tally):
        before = tally["events_fanned_out"]
        outcome = fold(self, portion, apart, tally)
        made = len(outcome.damaged) + len(outcome.unplanned)
        tally["events_fanned_out"] = before - made + sum(map(len, batch._unfolded(outcome).values()))
        return outcome

    yield patch.object(batch.Batch, "_fold", counting)


FINDS = {
    "dynamo": [
        names_segments_alike,
        writes_segments_over,
        moves_the_pointers_of_the_broken_later,
        extends_no_pointers_of_the_merged,
        takes_along_what_is_somebody_elses,
        parks_what_links_people,
        releases_whatever_was_merged,
    ],
    "versions": [takes_what_became_active_for_ended],
    "functions": [takes_the_merged_for_gone, forgets_an_error_that_is_new],
    "damaged": [counts_all_that_one_event_became, counts_once_what_waits_twice],
}
"""By the kind of worlds that each is found in."""
MUTANTS_OF_FINDS = [one for some in FINDS.values() for one in some]
