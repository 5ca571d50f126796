"""Planted faults of archiving, rebuilding and publishing: what worlds of several versions must find."""

from unittest.mock import patch

from msgspec.structs import replace

from shared.adapters.dynamo import loader, sweep
from shared.app import archive, batch, publish
from shared.app.rebuild import clean_up, follow, link, plan, replay, scan
from shared.core.control import READER_ARCHIVE, control_of, is_control
from shared.core.event import Event
from shared.core.memory import Memory
from shared.core.records import kinesis_record, read_record
from shared.core.spool import Rows


def lists_an_archive_that_is_not_complete():
    """Plan waits for nobody: what the archiver has not written yet is missing."""
    yield patch.object(plan, "read_up_to", lambda *_, **__: 0)


def cuts_over_before_it_has_caught_up():
    """Follow does not wait for the consumer."""
    yield patch.object(follow, "_has_caught_up", lambda *_: True)


def rebuilds_without_memory():
    """Rebuilt profiles do not know what they have counted."""
    play = replay.plan_component

    def forgetful(*arguments):
        planned = play(*arguments)
        for put in planned.puts:
            put.profile.memory = Memory()
        return planned

    yield patch.object(replay, "plan_component", forgetful)


def leaves_pointers():
    """CleanUp deletes profiles, and no pointers."""
    begin = sweep.DynamoVersionItems.__init__

    def without(self, *arguments):
        begin(self, *arguments)
        self._tables = self._tables[1:]

    yield patch.object(sweep.DynamoVersionItems, "__init__", without)


def leaves_a_checkpoint_too_early():
    """A worker notes as written what still waits to be."""
    leave = replay._Replaying.leave_checkpoint

    def early(self):
        insert, self._insert = self._insert, lambda: None
        leave(self)
        self._insert = insert

    yield patch.object(replay._Replaying, "leave_checkpoint", early)


def acknowledges_before_it_archives():
    """The archiver acknowledges markers first, and may die before what stood before them is written."""
    run = archive.Archiver.run

    def hasty(self, envelopes):
        for record in map(kinesis_record, envelopes):
            marker = control_of(record.data)
            if marker is not None and marker.reader == READER_ARCHIVE:
                self._markers.acknowledge(marker.token, record.shard)
        return run(self, envelopes)

    yield patch.object(archive.Archiver, "run", hasty)


def cuts_by_event_time():
    """What a version leaves to its rebuild is decided by when events happened, not by when they arrived."""

    def own(self, envelope, records, tally):
        del envelope, tally
        return [one for one in records if not is_control(one.data) and _newest(one) >= self._t0]

    yield patch.object(batch.Batch, "_own", own)


def _newest(record):
    return max((one.time for one in read_record(*record) if isinstance(one, Event)), default=record.arrival)


def links_nobody():
    """What belongs to one person in several parts of the archive is replayed in several places."""
    yield patch.object(link, "joined", lambda labels, *_: labels)


def loads_over_what_is_there():
    """A worker of Replay that was given up, and goes on late, writes over what has come since."""

    class Putter(loader.Inserter):
        def insert(self, inserts):
            for one in inserts:
                self._client.put_item(TableName=one.table, Item=one.item)

    yield patch.object(loader, "Inserter", Putter)


def leaves_to_nobody_what_arrives_at_t0():
    """A version's own records begin a millisecond after those of its rebuild have ended."""

    def own(self, envelope, records, tally):
        del envelope, tally
        return [one for one in records if not is_control(one.data) and one.arrival > self._t0]

    yield patch.object(batch.Batch, "_own", own)


def scans_up_to_a_moment_before_t0():
    """What arrives in the last millisecond before T0 is in no part of the archive."""
    own = scan._Scanning._own

    def short(self, records):
        return own(self, (one for one in records if one.arrival != self._build.t0 - 1))

    yield patch.object(scan._Scanning, "_own", short)


def leaves_out_the_hour_of_t0():
    """Plan takes an hour of the archive to be over for one that a build does not need."""
    begins = plan.may_hold_before
    yield patch.object(plan, "may_hold_before", lambda key, t0: begins(key, t0 - 3_600_000))


def lists_all_but_the_last_object():
    """A listing of the archive ends one object too early."""
    archived = plan._archived
    yield patch.object(plan, "_archived", lambda *arguments: list(archived(*arguments))[:-1])


def loads_no_graves():
    """A rebuild leaves nothing behind of lives that have ended."""
    begin = loader.DynamoLoader._inserts

    def inserts(self, planned):
        planned.buries, planned.released = [], []
        return begin(self, planned)

    yield patch.object(loader.DynamoLoader, "_inserts", inserts)


def takes_over_no_ids():
    """What a rebuild writes has the ids that its own order gives."""
    yield patch.object(replay, "choose_names", lambda *_: {})


def rolls_back_to_the_one_before():
    """A rollback publishes what the version before the one that was asked for says."""
    rollback = publish.Publisher.rollback

    def wrong(self, builder, version, asked):
        return rollback(self, builder, max(1, version - 1), asked)

    yield patch.object(publish.Publisher, "rollback", wrong)


def cleans_up_no_quarantine():
    """What a version has set aside stays when it has gone."""
    yield patch.object(clean_up, "PREFIX_QUARANTINE", "nothing/")


def replays_in_no_order():
    """A rebuild takes events as they stand in its parts, not as they arrived."""
    yield patch.object(Rows, "by_arrival", lambda self: ([one] for one in self.all()))


def cancels_what_is_active():
    """Who cancels a version that becomes active meanwhile ends it all the same."""

    def again(self, building):
        return self.registry.version(building.builder, building.version) or building

    yield patch.object(publish.Publisher, "_again", again)


def loads_segments_for_too_short():
    """What a rebuild moves out of a profile goes when the consumer must have caught up, and not later."""
    load = loader.DynamoLoader._profile

    def short(self, profile):
        return load(self, replace(profile, children_until=0))

    yield patch.object(loader.DynamoLoader, "_profile", short)


MUTANTS_OF_VERSIONS = [
    lists_an_archive_that_is_not_complete,
    cuts_over_before_it_has_caught_up,
    rebuilds_without_memory,
    leaves_pointers,
    leaves_a_checkpoint_too_early,
    acknowledges_before_it_archives,
    cuts_by_event_time,
    links_nobody,
    loads_over_what_is_there,
    leaves_to_nobody_what_arrives_at_t0,
    scans_up_to_a_moment_before_t0,
    leaves_out_the_hour_of_t0,
    lists_all_but_the_last_object,
    loads_no_graves,
    takes_over_no_ids,
    rolls_back_to_the_one_before,
    cleans_up_no_quarantine,
    replays_in_no_order,
    cancels_what_is_active,
    loads_segments_for_too_short,
]
