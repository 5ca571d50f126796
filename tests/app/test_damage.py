"""What is stored and cannot be read costs its own people's events a wait in quarantine, and nobody else."""

import json

import pytest

from shared.adapters.memory_store import MemoryStore
from shared.adapters.quarantine import S3Quarantine
from shared.app import loading
from shared.app.batch import Batch
from shared.app.damage import DamagedError, readable, told
from shared.app.ingest import Ingest
from shared.app.markers import Markers
from shared.app.ports import Damaged
from shared.app.quarantine import replay
from shared.app.retries import Retries
from shared.core import plan as planning
from shared.core.chain import Failure, events_made, failed
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile, present
from tests.app.test_batch import BUILDER, event
from tests.clocks import FakeClock
from tests.fakes.objects import FakeObjects
from tests.kinesis import ARRIVAL, array_of, envelope, json_of

ANN, BOB = Identifier("user_id", "ann"), Identifier("user_id", "bob")


class DamagedStore(MemoryStore):
    """A store where some places cannot be read."""

    def __init__(self):
        super().__init__()
        self.damaged = set()

    def pointers(self, identifiers, *, fresh):
        return self._unless_damaged(identifiers, super().pointers(identifiers, fresh=fresh))

    def profiles(self, ids, *, fresh):
        return self._unless_damaged(ids, super().profiles(ids, fresh=fresh))

    def deltas(self, names):
        return self._unless_damaged(names, super().deltas(names))

    def _unless_damaged(self, places, found):
        if hit := self.damaged.intersection(places):
            raise DamagedError(hit)
        return found


class World:
    """Ingestion on such a store, with a quarantine that can be replayed."""

    def __init__(self, transformer=None):
        self.store = DamagedStore()
        self.quarantine = S3Quarantine(FakeObjects())
        retries, markers = Retries(FakeObjects(), lambda: ARRIVAL), Markers(FakeObjects())
        ingest = Ingest(BUILDER, self.store, FakeClock())
        self.batch = Batch(BUILDER, 1, 0, ingest, self.quarantine, retries, markers, transformer)

    def run(self, *records):
        envelopes = [envelope(data, sequence=f"{number:056}") for number, data in enumerate(records, 1)]
        return self.batch.run(envelopes)

    def ingest(self, _builder, _version, records):
        return len(records) if self.batch.run(json.loads(json.dumps(records))).failed is None else 0

    def replay(self):
        return replay(self.quarantine, self, list(self.quarantine.list()))

    def counts(self):
        live = [one for one in self.store.stored.values() if isinstance(one, Profile)]
        shown = [present(BUILDER, one) for one in live]
        return {one["identifiers"]["user_id"][0]: one["event_count"] for one in shown}

    def damage(self, what):
        """Damage what is stored of Ann."""
        pointer = self.store.pointed[ANN]
        if what == "delta":
            name = f"{pointer.profile_id}/shard#1"
            self.store.park(pointer.profile_id, name, [])
            self.store.damaged = {name}
        else:
            self.store.damaged = {ANN if what == "pointer" else pointer.profile_id}


def of(user, number, **more):
    return event(userId=user, messageId=f"{user}-{number}", **more)


@pytest.mark.parametrize("what", ["pointer", "profile", "delta"])
def test_the_events_of_a_damaged_profile_wait_and_its_neighbours_are_written(what):
    world = World()
    world.run(of("ann", 1), of("bob", 1))
    world.damage(what)
    outcome = world.run(of("ann", 2), of("bob", 2), of("ann", 3))
    assert (outcome.failed, outcome.errors) == (None, [])
    assert world.counts() == {"ann": 1, "bob": 2}
    assert outcome.tally["events_quarantined"] == outcome.tally["quarantined.profile_damaged"] == 2
    assert {one.entry.reason for one in world.quarantine.list()} == {"profile_damaged"}
    [note] = [one for one in outcome.notes if one.what == "damaged"]
    assert note.fields == {"places": told(world.store.damaged), "events": 2}
    assert "ann" not in str(note)


def test_they_are_counted_once_when_the_profile_is_mended_and_not_before():
    world = World()
    world.run(of("ann", 1))
    world.damage("profile")
    world.run(array_of([of("ann", 2), of("bob", 1), of("ann", 3)]))
    assert len(world.replay().still_bad) == 1
    world.store.damaged = set()
    assert len(world.replay().accepted) == 1
    assert list(world.quarantine.list()) == []
    assert world.counts() == {"ann": 3, "bob": 1}


def test_whoever_an_event_links_to_a_damaged_profile_waits_only_with_that_event():
    world = World()
    world.run(of("ann", 1), event(userId="bob", anonymousId="c", messageId="b"))
    world.damage("profile")
    world.run(event(userId="ann", anonymousId="c", messageId="link"))
    world.run(of("bob", 2))
    assert world.counts() == {"ann": 1, "bob": 2}


def test_what_is_found_damaged_only_by_a_write_waits_as_well():
    world = World()
    world.run(of("ann", 1), of("bob", 1))
    commit = world.store.commit

    def find_damage(plans):
        results = []
        for plan in plans:
            of_ann = ANN in plan.puts[0].profile.identifiers
            results += [Damaged([plan.puts[0].profile.id])] if of_ann else commit([plan])
        return results

    world.store.commit = find_damage
    outcome = world.run(of("ann", 2), of("bob", 2))
    assert outcome.failed is None
    assert world.counts() == {"ann": 1, "bob": 2}
    assert outcome.tally["quarantined.profile_damaged"] == 1


class Doubling:
    """A transformation that makes two events of each, or rejects it."""

    def run(self, events):
        return [self.became(one) for one in events]

    @staticmethod
    def became(event):
        if event.body.get("bad"):
            return failed(event, Failure("transform_error", "ValueError"))
        text = json_of(event.body)
        return events_made(event, [("", text), ("#1", text)])


def test_an_event_that_was_fanned_out_waits_as_it_was_sent_and_once():
    world = World(Doubling())
    world.run(of("ann", 1))
    world.damage("profile")
    sent = of("ann", 2)
    tally = world.run(sent).tally
    assert tally["events_quarantined"] == tally["events_in"] + tally["events_fanned_out"] == 1
    [stored] = world.quarantine.list()
    world.store.damaged = set()
    world.replay()
    assert world.counts() == {"ann": 4}
    assert stored.entry.reasons == {"profile_damaged": 1}


def test_what_waits_in_two_entries_is_counted_as_often_as_it_is_replayed():
    world = World(Doubling())
    world.run(of("ann", 1))
    world.damage("profile")
    twice = envelope(array_of([of("ann", 2), of("bob", 1), of("ann", 3)]))
    tally = world.batch.run([twice, twice]).tally
    assert (tally["events_in"], tally["events_fanned_out"]) == (6, 2)
    assert (tally["events_quarantined"], tally["events_folded"], tally["events_duplicate"]) == (4, 2, 2)


def test_what_is_left_of_a_replayed_entry_keeps_all_of_its_reasons():
    world = World(Doubling())
    world.run(of("ann", 1))
    world.damage("profile")
    world.run(array_of([of("ann", 2), of("bob", 1, bad=True), of("bob", 2)]))
    reasons = {}
    for one in world.quarantine.list():
        reasons.update(one.entry.reasons)
    assert reasons == {"profile_damaged": 1, "transform_error": 1}
    assert len(world.replay().still_bad) == 2
    world.store.damaged = set()
    assert len(world.replay().still_bad) == 1
    assert world.counts() == {"ann": 4, "bob": 2}


def test_the_rest_is_read_without_what_is_damaged():
    store = DamagedStore()
    store.damaged = {"a", "b"}
    found, damaged = readable(lambda ids: store.profiles(ids, fresh=True), {"a", "b", "c"})
    assert (found, damaged) == ({"c": None}, {"a", "b"})


def test_an_error_names_places_without_personal_values():
    assert str(DamagedError([ANN, "0" * 32])).endswith(f" {'0' * 32}, user_id")
    assert told([ANN, BOB]) == ["user_id"]


@pytest.fixture
def unplannable(monkeypatch):
    """Planning for Ann fails, again and again, in a way that nobody thought of."""

    def plan(builder, group, *more):
        if any(ANN in one.identifiers for one in group):
            raise TypeError("ann@example.com")
        return planning.plan(builder, group, *more)

    monkeypatch.setattr(loading, "plan", plan)


@pytest.mark.usefixtures("unplannable")
def test_events_that_cannot_be_planned_wait_and_their_neighbours_are_written():
    world = World()
    outcome = world.run(of("ann", 1), of("bob", 1), of("ann", 2))
    assert (outcome.failed, outcome.errors) == (None, [])
    assert world.counts() == {"bob": 1}
    assert [(one.entry.reason, one.entry.detail) for one in world.quarantine.list()] == [
        ("not_processed", "TypeError")
    ] * 2
    [note] = outcome.notes
    assert (note.what, note.fields["error"], note.fields["events"]) == ("unplanned", "TypeError", 2)
    assert any(" plan" in one for one in note.fields["raised_at"])
    assert "ann@" not in str(note)


def test_what_was_planned_on_stale_reads_is_planned_again_on_fresh_ones(monkeypatch):
    world, failed = World(), []

    def plan(builder, group, *more):
        if not failed:
            failed.append(1)
            raise KeyError
        return planning.plan(builder, group, *more)

    monkeypatch.setattr(loading, "plan", plan)
    world.run(of("ann", 1))
    assert world.counts() == {"ann": 1}
    assert list(world.quarantine.list()) == []
