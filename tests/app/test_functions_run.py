"""Runs: a message has a profile's function run, and its result written, whatever else happens meanwhile."""

from itertools import pairwise

import pytest

from shared.adapters.memory_store import MemoryStore
from shared.app.functions.dispatch import Due
from shared.app.functions.failing import Backoff
from shared.app.functions.results import input_of, since_of
from shared.app.functions.run import RACES_MAX, Became, Ran, Runs, UnavailableError
from shared.app.ports import Conflict, Failed
from shared.core import walk
from shared.core.compaction import SMALL_MAX
from shared.core.compile import Builder
from shared.core.functions import FunctionFailure, FunctionResult
from shared.core.history import HistoryGoneError, UnreadableChunkError
from shared.core.profile import Profile, present
from tests.app.test_engine import ingest
from tests.clocks import FakeClock
from tests.fakes.functions import FakeFunction, counting
from tests.people import T0, a_definition, an_event, contributions_of

BUILDER = Builder(a_definition(profile_function=(("window", "365 days"), ("debounce", "30 seconds"))))
MINUTE_US = 60_000_000
BACKOFF = Backoff(attempts=6, first_s=30)
FAILURE = FunctionFailure("function_error", "ValueError in line 3")


class World:
    """A builder's profiles, and the runs of its function."""

    def __init__(self, run_one=counting):
        self.store = MemoryStore()
        self.clock = FakeClock(T0 * 1000)
        self.function = FakeFunction(run_one)
        self.runs = Runs(BUILDER, 30, self.store, self.function, self.clock, BACKOFF)
        self.count = 0

    def event(self, **body):
        """Count an event of a person; return the message of the change."""
        self.count += 1
        event = {"messageId": f"m{self.count}", "userId": "ann", "type": "page", **body}
        ingest(BUILDER, self.store, contributions_of(BUILDER, [an_event(**event, arrival=T0 + self.count)]))
        profile = self.profile(event["userId"])
        profile.rev = self.clock.now_us()
        return self.due(profile)

    def due(self, profile):
        return Due(BUILDER.name, 1, profile.id, profile.rev)

    def profile(self, user="ann"):
        [found] = [
            one
            for one in self.store.stored.values()
            if isinstance(one, Profile) and any(each.value == user for each in one.identifiers)
        ]
        return found

    def traits(self, user="ann"):
        return present(BUILDER, self.profile(user))["traits"]

    def counts(self):
        """What the function counted of each type of event."""
        return {
            name.removeprefix("counts."): value
            for name, value in self.traits().items()
            if name.startswith("counts.")
        }


def test_a_change_has_the_function_run_over_the_history_and_its_result_laid_over_the_profile():
    world = World()
    world.event(type="identify", traits={"plan": "gold"}, anonymousId="c1")
    due = world.event()
    assert world.runs.run(due) == Ran(Became.WRITTEN)
    assert world.traits() == {
        "plan": "gold",
        "counts.identify": 1,
        "counts.page": 1,
        "anonymousId": "c1",
        "first": "m1",
    }
    assert present(BUILDER, world.profile())["published_id"] == "ann"
    assert not world.profile().is_due


def test_a_message_that_comes_twice_does_nothing_the_second_time():
    world = World()
    due = world.event()
    world.runs.run(due)
    rev = world.profile().rev
    assert world.runs.run(due) == Ran(Became.NOT_DUE)
    assert (world.profile().rev, world.function.runs) == (rev, 1)


def test_a_profile_that_changed_again_leaves_the_run_to_the_newer_message():
    world = World()
    first = world.event()
    world.runs.run(first)
    older, newer = world.event(), world.event()
    assert world.runs.run(older) == Ran(Became.SUPERSEDED)
    assert world.runs.run(newer) == Ran(Became.WRITTEN)
    assert world.counts() == {"page": 3}
    assert world.function.runs == 2


def test_a_profile_that_never_rests_runs_all_the_same_and_not_with_every_change():
    """One change a second, each message half a minute later, for a quarter of an hour."""
    world = World(lambda _: None)
    world.runs.run(world.event())
    waiting, ran_at = [], [0]
    for second in range(1, 900):
        world.clock.us = T0 * 1000 + second * 1_000_000
        waiting.append((second + 30, world.event()))
        while waiting and waiting[0][0] <= second:
            if world.runs.run(waiting.pop(0)[1]).became is Became.WRITTEN:
                ran_at.append(second)
    gaps = [later - earlier for earlier, later in pairwise(ran_at)]
    assert max(gaps) <= 10 * 30
    assert len(ran_at) <= 900 / 100


def test_a_run_that_fails_leaves_the_last_good_result_and_the_profile_due():
    world = World()
    world.runs.run(world.event())
    world.function._run_one = lambda _: FAILURE
    due = world.event()
    assert world.runs.run(due) == Ran(Became.FAILED, FAILURE, attempt=1, again_s=30)
    assert world.counts() == {"page": 1}
    assert world.profile().is_due
    world.function._run_one = counting
    world.clock.us += MINUTE_US
    assert world.runs.run(due) == Ran(Became.WRITTEN)
    assert world.counts() == {"page": 2}


def test_a_function_that_returns_nothing_any_more_takes_its_traits_with_it():
    world = World()
    world.runs.run(world.event())
    world.function._run_one = lambda _: None
    assert world.runs.run(world.event()) == Ran(Became.WRITTEN)
    assert world.traits() == {}


def test_what_is_counted_while_the_function_runs_leaves_its_result_written_and_the_profile_due():
    world = World()

    def meanwhile(given):
        if world.count == 1:
            world.event()
        return counting(given)

    world.function._run_one = meanwhile
    assert world.runs.run(world.event()) == Ran(Became.WRITTEN)
    profile = world.profile()
    assert (world.counts(), profile.event_count, profile.is_due) == ({"page": 1}, 2, True)
    assert world.runs.run(world.due(profile)) == Ran(Became.WRITTEN)
    assert world.counts() == {"page": 2}


def test_a_result_that_somebody_else_wrote_meanwhile_stays():
    world = World()
    due = world.event()

    def meanwhile(given):
        if world.function.runs == 1:
            world.event()
            world.runs.run(world.due(world.profile()))
        return counting(given)

    world.function._run_one = meanwhile
    assert world.runs.run(due) == Ran(Became.SUPERSEDED)
    assert world.counts() == {"page": 2}
    assert not world.profile().is_due


def test_a_merge_has_the_function_run_over_the_events_of_both():
    world = World()
    one, other = world.event(anonymousId="c1"), world.event(userId="ben", anonymousId="c2")
    for due in (one, other):
        world.runs.run(due)
    merged = world.event(type="alias", previousId="c2", anonymousId="c1", userId="ann")
    assert len([each for each in world.store.stored.values() if isinstance(each, Profile)]) == 1
    assert world.runs.run(other) == Ran(Became.GONE)
    assert world.runs.run(merged) == Ran(Became.WRITTEN)
    assert world.counts() == {"page": 2, "alias": 1}


def test_the_message_of_a_profile_that_has_expired_or_is_gone_does_nothing():
    world = World()
    due = world.event()
    assert world.runs.run(Due(BUILDER.name, 1, "nobody", 1)) == Ran(Became.GONE)
    world.clock.us += 500 * 24 * 60 * MINUTE_US
    assert world.runs.run(due) == Ran(Became.GONE)
    assert world.function.runs == 0


def test_a_history_that_is_gone_has_the_profile_read_again():
    world = World()
    due = world.event()
    chunks = world.store.chunks
    gone = [True, False]

    def read(profile, since_ms):
        if gone.pop(0):
            raise HistoryGoneError
        return chunks(profile, since_ms)

    world.store.chunks = read
    assert world.runs.run(due) == Ran(Became.WRITTEN)
    gone += [True] * RACES_MAX
    with pytest.raises(UnavailableError):
        world.runs.run(world.event())


def test_events_that_were_parked_beside_a_profile_are_folded_and_have_a_message_of_their_own():
    world = World()
    world.runs.run(world.event())
    event = an_event(messageId="parked", userId="ann", type="track", arrival=T0 + 100)
    profile = world.profile()
    world.store.park(profile.id, f"{profile.id}/d", contributions_of(BUILDER, [event]))
    due = world.due(world.profile())
    assert not world.profile().is_due
    assert world.runs.run(due) == Ran(Became.SUPERSEDED)
    assert (world.profile().event_count, world.profile().parked) == (2, ())
    assert world.runs.run(world.due(world.profile())) == Ran(Became.WRITTEN)
    assert world.counts() == {"page": 1, "track": 1}


@pytest.mark.parametrize("has_run", [True, False])
def test_parked_events_that_cannot_be_folded_now_have_the_message_come_again(has_run):
    world = World()
    due = world.event()
    if has_run:
        world.runs.run(due)
    runs = world.function.runs
    event = an_event(messageId="parked", userId="ann", type="track", arrival=T0 + 100)
    world.store.park(due.profile_id, f"{due.profile_id}/d", contributions_of(BUILDER, [event]))
    due = world.due(world.profile())
    commit = world.store.commit
    world.store.commit = lambda plans: [Failed("ProvisionedThroughputExceededException")] * len(plans)
    with pytest.raises(UnavailableError):
        world.runs.run(due)
    assert world.function.runs == runs
    world.store.commit = commit
    world.runs.run(due)
    assert (world.profile().event_count, world.profile().parked) == (2, ())
    assert world.runs.run(world.due(world.profile())) == Ran(Became.WRITTEN)
    assert world.counts() == {"page": 1, "track": 1}


def test_a_profile_whose_parked_events_are_gone_runs_without_them():
    world = World()
    due = world.event()
    world.store.park(due.profile_id, f"{due.profile_id}/d", ())
    world.store.parked.clear()
    assert world.runs.run(world.due(world.profile())) == Ran(Became.WRITTEN)
    assert world.profile().parked == ()


def test_events_that_are_parked_while_the_function_runs_stay_listed_beside_the_result():
    world = World()
    due = world.event()
    event = an_event(messageId="parked", userId="ann", type="track", arrival=T0 + 100)
    name = f"{due.profile_id}/d"

    def meanwhile(given):
        world.store.park(due.profile_id, name, contributions_of(BUILDER, [event]))
        return counting(given)

    world.function._run_one = meanwhile
    assert world.runs.run(due) == Ran(Became.WRITTEN)
    assert world.profile().parked == (name,)


def test_a_profile_that_cannot_be_written_now_has_its_message_come_again():
    world = World()
    due = world.event()
    commit = world.store.commit
    world.store.commit = lambda _: [Failed("ProvisionedThroughputExceededException")]
    with pytest.raises(UnavailableError, match="ProvisionedThroughputExceededException"):
        world.runs.run(due)
    world.store.commit = commit
    assert world.runs.run(due) == Ran(Became.WRITTEN)


def test_a_function_that_cannot_be_called_now_leaves_everything_as_it_is():
    world = World()

    def refuse(_):
        raise OSError

    world.function._run_one = refuse
    due = world.event()
    with pytest.raises(OSError):  # noqa: PT011 - the fake's own
        world.runs.run(due)
    assert world.profile().computed is None


def test_a_result_is_of_the_window_that_ends_with_the_last_event():
    world = World()
    world.event()
    profile = world.profile()
    chunks = list(world.store.chunks(profile, since_of(BUILDER, profile)).values())
    assert input_of(BUILDER, profile, chunks).since_ms == profile.updated_at - 365 * 24 * 3_600_000


def test_a_history_of_many_small_chunks_is_put_together_before_the_function_runs():
    world = World()
    for _ in range(SMALL_MAX):
        due = world.event()
    assert world.runs.run(due) == Ran(Became.WRITTEN)
    profile = world.profile()
    assert not profile.is_due
    assert len(world.store.chunks(profile, 0)) == 1
    assert world.counts() == {"page": SMALL_MAX}
    assert world.runs.run(world.due(profile)) == Ran(Became.NOT_DUE)
    assert world.runs.run(world.event()) == Ran(Became.WRITTEN)
    assert world.counts() == {"page": SMALL_MAX + 1}


@pytest.mark.parametrize("result", [Conflict(), Failed("Throttled")])
def test_a_history_that_cannot_be_put_together_now_is_read_as_it_is(result):
    world = World()
    for _ in range(SMALL_MAX):
        due = world.event()
    commit, results = world.store.commit, [[result]]
    world.store.commit = lambda plans: results.pop() if results else commit(plans)
    assert world.runs.run(due) == Ran(Became.WRITTEN)
    assert world.counts() == {"page": SMALL_MAX}
    assert len(world.store.chunks(world.profile(), 0)) == SMALL_MAX


def test_a_history_that_cannot_be_read_is_not_put_together_and_fails_as_any_does():
    world = World()
    for _ in range(SMALL_MAX):
        due = world.event()
    heads = world.profile().heads
    for head, data in world.store.chunked.items():
        world.store.chunked[head] = data[:-10] + bytes(10)
    with pytest.raises(UnreadableChunkError):  # of the fake, which reads it in this process
        world.runs.run(due)
    assert (world.profile().heads, world.function.runs) == (heads, 1)


def test_a_history_that_cannot_be_read_at_all_is_a_failure_of_its_profile():
    """Trying again would not help: somebody is to be told, and to mend it."""
    world = World()
    due = world.event()
    for head in world.store.chunked:
        world.store.chunked[head] = b"\xff damaged"
    failure = FunctionFailure("function_history", "a chunk of the history is damaged")
    assert world.runs.run(due) == Ran(Became.FAILED, failure, attempt=1, again_s=30)
    assert world.function.runs == 0


def test_a_history_that_is_too_large_is_a_failure_of_its_profile(monkeypatch):
    world = World()
    due = world.event()
    monkeypatch.setattr(walk, "HISTORY_BYTES_MAX", 10)
    failure = FunctionFailure("function_history", walk.too_large())
    assert world.runs.run(due) == Ran(Became.FAILED, failure, attempt=1, again_s=30)
    assert world.function.runs == 0


def test_a_result_of_no_traits_is_a_result():
    world = World(lambda _: FunctionResult({}))
    assert world.runs.run(world.event()) == Ran(Became.WRITTEN)
    assert not world.profile().is_due
