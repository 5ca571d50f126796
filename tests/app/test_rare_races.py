"""What only a rare race, or a lost answer, brings about: found by the simulation, and told plainly here."""

from collections import Counter
from unittest.mock import patch

from msgspec.structs import replace

from shared.adapters.memory_store import MemoryStore
from shared.app.ingest import PARK_AFTER, Ingest
from shared.app.ports import Conflict, Failed
from shared.core.compile import Builder
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile
from tests.app.test_engine import assert_consistent, ingest
from tests.clocks import FakeClock
from tests.people import DAY, T0, a_definition, an_event, contributions_of

BUILDER = Builder(a_definition())


def take(store, *messages, **options):
    """Have a batch of events written, all of it."""
    ingest(BUILDER, store, contributions_of(BUILDER, [an_event(**one) for one in messages]), **options)


class UnansweringStore(MemoryStore):
    """Does not answer its first write of a profile, and shows what it held before the last merge."""

    def __init__(self):
        super().__init__()
        self.before = None
        self.refused = ""

    def pointers(self, identifiers, *, fresh):
        found = super().pointers(identifiers, fresh=fresh)
        return found if fresh or not self.before else found | self._seen(self.before[0], identifiers)

    def profiles(self, ids, *, fresh):
        found = super().profiles(ids, fresh=fresh)
        return found if fresh or not self.before else found | self._seen(self.before[1], ids)

    def commit(self, plans):
        return [self._answered(one) for one in plans]

    def _answered(self, plan):
        if self.refused in {put.profile.id for put in plan.puts}:
            self.refused = ""
            return Failed("timeout")
        return super().commit([plan])[0]

    def _seen(self, before, keys):
        return {key: before[key] for key in keys if key in before}


def test_parked_events_of_a_group_that_failed_stay_parked_whoever_else_writes_their_profile():
    def an(message, arrival, **identifiers):
        return contributions_of(BUILDER, [an_event(messageId=message, arrival=arrival, **identifiers)])

    store = UnansweringStore()
    ingest(BUILDER, store, an("u", T0, userId="u"))
    ingest(BUILDER, store, an("c", T0 + 1, anonymousId="c"))
    cookie = [one for one in store.pointed if one.type == "cookie_id"]
    before = {one: store.pointed[one] for one in cookie}
    before = before, {one.profile_id: store.stored[one.profile_id] for one in before.values()}
    ingest(BUILDER, store, an("link", T0 + 2, userId="u", anonymousId="c"))
    [profile] = store.stored.values()
    store.park(profile.id, f"{profile.id}/shard-0#1#0", an("parked", T0 + 3, userId="u"))
    store.before, store.refused = before, profile.id
    events = an("a", T0 + 4, userId="u") + an("b", T0 + 5, anonymousId="c")
    outcome = Ingest(BUILDER, store, FakeClock()).run(events)
    assert [error for _, error in outcome.failed] == ["timeout"]
    assert store.parked, "nobody has folded them"
    ingest(BUILDER, store, events)
    [profile] = store.stored.values()
    assert (profile.event_count, profile.parked) == (6, ())


def test_heirs_of_a_broken_profile_who_turn_out_to_be_one_person_are_no_alarm(monkeypatch):
    """They remember the same events, which neither of them has counted."""
    monkeypatch.setattr("shared.core.plan.IDENTIFIERS_MAX", 4)
    names = [{"anonymousId": f"c{at}", "userId": "u"} for at in range(4)]
    later = [{"anonymousId": "c0"}, {"anonymousId": "c1"}, {"anonymousId": "c0", "previousId": "c1"}]
    events = contributions_of(
        BUILDER,
        [
            an_event(messageId=f"m{at}", arrival=T0 + at * 1000, **each)
            for at, each in enumerate(names + later)
        ],
    )
    store = MemoryStore()
    tally = Counter()
    for event in events:
        tally += ingest(BUILDER, store, [event]).tally
    assert (tally["profiles_broken"], tally["profiles_merged"]) == (1, 1)
    assert not tally["invariant_violations"]


class ContendedStore(MemoryStore):
    """Somebody else is always faster."""

    is_contended = False

    def commit(self, plans):
        if not self.is_contended:
            return super().commit(plans)
        for one in self.stored.values():
            one.rev += 1
        return [
            Conflict({put.profile.id: self.stored.get(put.profile.id) for put in plan.puts}) for plan in plans
        ]


class StaleStore(MemoryStore):
    """Shows profiles as they were before anything was parked, unless it is asked for fresh ones."""

    def profiles(self, ids, *, fresh):
        found = super().profiles(ids, fresh=True)
        return (
            found if fresh else {one: stored and replace(stored, parked=()) for one, stored in found.items()}
        )


def test_events_that_lost_to_nothing_but_what_was_parked_fold_it():
    """A process that knows a profile from before would else park there for ever, and nobody fold."""
    events = contributions_of(
        BUILDER, [an_event(messageId=f"m{at}", arrival=T0 + at, userId="u") for at in range(3)]
    )
    store = StaleStore()
    ingest(BUILDER, store, events[:1])
    [profile] = store.stored.values()
    store.park(profile.id, f"{profile.id}/shard-0#1#0", events[1:2])
    tally = ingest(BUILDER, store, events[2:]).tally
    assert (tally["conflicts"], tally["deltas_parked"]) == (1, 0)
    [profile] = store.stored.values()
    assert (profile.event_count, profile.parked) == (3, ())


def test_events_that_lose_one_race_are_parked_where_others_are_and_else_race_again():
    one, other, third = (
        contributions_of(BUILDER, [an_event(messageId=f"m{at}", arrival=T0 + at, userId="u")])
        for at in range(3)
    )
    for parked, conflicts in ([], PARK_AFTER), (other, 1):
        store = ContendedStore()
        ingest(BUILDER, store, one)
        [profile] = store.stored.values()
        if parked:
            store.park(profile.id, f"{profile.id}/shard-0#1#0", parked)
        store.is_contended = True
        tally = Ingest(BUILDER, store, FakeClock()).run(third).tally
        assert (tally["conflicts"], tally["deltas_parked"], tally["events_parked"]) == (conflicts, 1, 1)
        assert third in store.parked.values()


def test_events_that_link_somebody_are_not_parked_although_a_plan_had_no_room_for_them_yet():
    store = ContendedStore()
    first, known, link = (
        contributions_of(BUILDER, [an_event(messageId=f"m{at}", arrival=T0 + at, userId="u", **more)])
        for at, more in enumerate([{}, {}, {"anonymousId": "new"}])
    )
    ingest(BUILDER, store, first)
    store.is_contended = True
    outcome = Ingest(BUILDER, store, FakeClock(), actions_max=2).run(known + link)
    assert [error for _, error in outcome.failed] == ["contended", "contended"]
    assert store.parked == {}


def test_an_identifier_whose_pointer_went_before_its_expired_profile_stays_with_whom_it_is_given_to():
    """TTL takes items in any order; one event takes the identifier, the next ends who lists it still."""
    store = MemoryStore()
    old = an_event(messageId="1", anonymousId="c", traits={"email": "a@example.com"}, arrival=T0)
    ingest(BUILDER, store, contributions_of(BUILDER, [old]))
    later = T0 + 45 * DAY
    ingest(BUILDER, store, contributions_of(BUILDER, [an_event(messageId="2", userId="u", arrival=later)]))
    cookie = Identifier("cookie_id", "c")
    del store.pointed[cookie]
    both = [
        an_event(messageId="3", userId="u", anonymousId="c", arrival=later + 1),
        an_event(messageId="4", userId="u", traits={"email": "a@example.com"}, arrival=later + 2),
    ]
    ingest(BUILDER, store, contributions_of(BUILDER, both))
    [profile] = [one for one in store.stored.values() if isinstance(one, Profile)]
    assert (profile.event_count, cookie in profile.identifiers) == (3, True)
    assert_consistent(store)


def test_an_identifier_that_was_given_on_before_its_expired_profile_went_is_found_where_it_is():
    """TTL has taken its pointer first; the expired profile lists it still, and was believed."""
    store, both = MemoryStore(), {"userId": "u", "anonymousId": "c"}
    take(store, {"messageId": "both", "arrival": T0, **both})
    del store.pointed[Identifier("cookie_id", "c")]
    later = T0 + 500 * DAY
    take(store, {"messageId": "cookie", "arrival": later, "anonymousId": "c"})
    take(store, {"messageId": "both again", "arrival": later + 1, **both})
    [profile] = [one for one in store.stored.values() if isinstance(one, Profile)]
    assert (profile.event_count, len(profile.identifiers)) == (2, 2)
    assert_consistent(store)


def test_who_was_merged_and_lives_again_loses_nothing_to_the_end_of_whom_it_was_merged_into():
    """Its first life and its next have the same id: once TTL has taken all that told of the first."""
    store = MemoryStore()
    user, cookie = Identifier("user_id", "u"), Identifier("cookie_id", "c")
    take(store, {"messageId": "1", "userId": "old", "arrival": T0})
    take(store, {"messageId": "2", "userId": "u", "arrival": T0 + 1})
    link = {"traits": {"email": "a@example.com"}}
    take(store, {"messageId": "3", "userId": "old", "arrival": T0 + 2, **link}, actions_max=1)
    take(store, {"messageId": "4", "userId": "u", "arrival": T0 + 3, **link}, actions_max=1)
    [old] = [one for one in store.stored.values() if isinstance(one, Profile)]
    [merged] = old.aliases
    del store.pointed[user]
    del store.stored[merged]
    later = T0 + 500 * DAY
    take(store, {"messageId": "5", "userId": "u", "anonymousId": "c", "arrival": later})
    assert store.pointed[user].profile_id == merged, "it lives again under its first id"
    take(store, {"messageId": "6", "userId": "old", "arrival": later + 1})
    assert store.pointed[user].profile_id == store.pointed[cookie].profile_id == merged
    assert_consistent(store)


def test_who_ends_an_expired_profile_believes_pointers_read_with_it_and_not_what_it_lists():
    """An event without the identifier that was given on before ends it; the next one of the batch has it."""
    store = MemoryStore()
    user, later = Identifier("user_id", "u"), T0 + 500 * DAY
    take(store, {"messageId": "1", "userId": "u", "anonymousId": "c", "arrival": T0})
    del store.pointed[user]
    take(store, {"messageId": "2", "userId": "u", "arrival": later})
    take(
        store,
        {"messageId": "3", "anonymousId": "c", "arrival": later + 1},
        {"messageId": "4", "userId": "u", "anonymousId": "c", "arrival": later + 2},
    )
    [profile] = [one for one in store.stored.values() if isinstance(one, Profile)]
    assert (profile.event_count, len(profile.identifiers)) == (3, 2)
    assert_consistent(store)


def test_what_the_last_life_of_an_identifier_remembers_outlasts_the_end_of_one_before_it():
    """TTL took its pointer before the first life; the second broke, and left the pointer to its memory."""
    store = MemoryStore()
    user, later = Identifier("user_id", "u"), T0 + 500 * DAY
    take(store, {"messageId": "1", "userId": "u", "anonymousId": "c", "arrival": T0})
    del store.pointed[user]
    with patch("shared.core.plan.IDENTIFIERS_MAX", 0):
        take(store, {"messageId": "2", "userId": "u", "arrival": later})
    take(
        store,
        {"messageId": "3", "anonymousId": "c", "arrival": later + 1},
        {"messageId": "2", "userId": "u", "anonymousId": "c", "arrival": later + 2},
        {"messageId": "4", "userId": "u", "anonymousId": "c", "arrival": later + 3},
    )
    [profile] = [one for one in store.stored.values() if isinstance(one, Profile)]
    assert (profile.event_count, len(profile.identifiers)) == (2, 2)
    assert_consistent(store)


def test_what_an_identifier_attached_in_a_batch_that_also_breaks_there_remembers_outlasts_an_older_end():
    """Its pointer is gone; at once a new life with it breaks, and the expired one that lists it ends."""
    store = MemoryStore()
    user, later = Identifier("user_id", "u"), T0 + 500 * DAY
    take(store, {"messageId": "1", "userId": "u", "anonymousId": "c", "arrival": T0})
    del store.pointed[user]
    with patch("shared.core.plan.IDENTIFIERS_MAX", 1):
        take(
            store,
            {"messageId": "2", "userId": "u", "traits": {"email": "a@example.com"}, "arrival": later},
            {"messageId": "3", "anonymousId": "c", "arrival": later + 1},
            {"messageId": "2", "userId": "u", "anonymousId": "c", "arrival": later + 2},
        )
    [profile] = [one for one in store.stored.values() if isinstance(one, Profile)]
    assert (profile.event_count, len(profile.identifiers)) == (1, 1)
    assert_consistent(store)
