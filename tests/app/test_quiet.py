"""Who cannot be parked asks the others for quiet, and they leave its profiles to it: for a moment only."""

import pytest

from shared.adapters.memory_store import MemoryStore
from shared.app.ingest import Ingest
from shared.app.quiet import QUIET_AFTER, QUIET_MS, WAITS_MAX
from shared.core.compile import Builder
from shared.core.identity.identifiers import Identifier
from shared.core.profile import Profile
from tests.people import T0, a_definition, an_event, contributions_of

BUILDER = Builder(a_definition())
NOW_MS = 10_000
PLAIN = {"userId": "u"}
ATTACHING = {"userId": "u", "anonymousId": "new"}


class Clock:
    """Stands still, and counts how often somebody waited."""

    def __init__(self):
        self.pauses = 0

    def now_us(self):
        return NOW_MS * 1000

    def pause(self, _attempt):
        self.pauses += 1


class StoreUnderFire(MemoryStore):
    """Before anybody writes, somebody else comes with an event of the user."""

    is_on_fire = False
    came = 0

    def commit(self, plans):
        if self.is_on_fire:
            self.is_on_fire = False
            self.came += 1
            Ingest(BUILDER, self, Clock()).run(events(f"fire-{self.came}", PLAIN))
            self.is_on_fire = True
        return super().commit(plans)


def events(message, body):
    arrival = T0 if message == "first" else T0 + 1
    return contributions_of(BUILDER, [an_event(messageId=message, arrival=arrival, **body)])


def stored_people(store=None, **bodies):
    """A store that holds the user, and others who came later."""
    store = store or MemoryStore()
    for message, body in {"first": PLAIN, **bodies}.items():
        Ingest(BUILDER, store, Clock()).run(events(message, body))
    return store


def user_of(store):
    profile = store.stored[store.pointed[Identifier("user_id", "u")].profile_id]
    assert isinstance(profile, Profile)
    return profile


def left_to_somebody(*, is_closed, at=NOW_MS):
    """A store whose user is left to somebody who does not come."""
    store = stored_people()
    user = user_of(store).id
    assert store.ask_for_quiet([user], [user] if is_closed else [], at)
    return store


def test_events_are_parked_at_once_beside_a_profile_that_is_left_to_somebody_else():
    store, clock = left_to_somebody(is_closed=False), Clock()
    tally = Ingest(BUILDER, store, clock).run(events("next", PLAIN)).tally
    assert (tally["events_parked"], tally["conflicts"], clock.pauses) == (1, 0, 0)
    assert (user_of(store).is_quiet, len(user_of(store).parked)) == (True, 1)


@pytest.mark.parametrize(("is_closed", "body"), [(True, PLAIN), (False, ATTACHING)])
def test_events_wait_that_cannot_be_parked_and_are_written_although_nobody_comes(is_closed, body):
    store, clock = left_to_somebody(is_closed=is_closed), Clock()
    tally = Ingest(BUILDER, store, clock).run(events("next", body)).tally
    assert (tally["events_folded"], tally["events_parked"], tally["conflicts"]) == (1, 0, 0)
    assert clock.pauses == WAITS_MAX
    assert (user_of(store).event_count, user_of(store).is_quiet) == (2, False)


@pytest.mark.parametrize("is_closed", [True, False])
@pytest.mark.parametrize("at", [NOW_MS - QUIET_MS - 1, NOW_MS + QUIET_MS + 1])
def test_nobody_gives_way_to_a_request_of_another_time(is_closed, at):
    store, clock = left_to_somebody(is_closed=is_closed, at=at), Clock()
    tally = Ingest(BUILDER, store, clock).run(events("next", PLAIN)).tally
    assert (tally["events_folded"], tally["events_parked"], clock.pauses) == (1, 0, 0)
    assert not user_of(store).is_quiet


@pytest.mark.parametrize("body", [ATTACHING, {"userId": "u", "anonymousId": "known"}])
def test_events_that_cannot_be_parked_win_once_they_have_asked_for_quiet(body):
    store = stored_people(StoreUnderFire(), other={"anonymousId": "known"})
    store.is_on_fire = True
    outcome = Ingest(BUILDER, store, Clock()).run(events("link", body))
    assert outcome.failed == []
    assert outcome.tally["conflicts"] == QUIET_AFTER
    assert Identifier("cookie_id", body["anonymousId"]) in user_of(store).identifiers
    assert len(user_of(store).parked) == 1, "who came meanwhile is parked beside it"
    store.is_on_fire = False
    Ingest(BUILDER, store, Clock()).run(events("last", PLAIN))
    others = body["anonymousId"] == "known"
    assert (user_of(store).event_count, user_of(store).parked) == (store.came + 3 + others, ())


def test_events_lose_for_good_under_such_fire_without_asking_for_quiet(monkeypatch):
    monkeypatch.setattr("shared.app.quiet.QUIET_AFTER", 1000)
    store = stored_people(StoreUnderFire())
    store.is_on_fire = True
    outcome = Ingest(BUILDER, store, Clock()).run(events("link", ATTACHING))
    assert [error for _, error in outcome.failed] == ["contended"]
