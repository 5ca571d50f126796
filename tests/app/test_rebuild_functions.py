"""Profile functions in a rebuild: what it makes is what the live path makes, once both are at rest."""

from collections import Counter
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.app.functions.results import compute, since_of
from shared.app.rebuild.build import REPLAY
from shared.app.rebuild.results import Result
from shared.core.compile import Builder
from shared.core.containers import decode_any
from shared.core.functions import FunctionFailure
from shared.core.history import events_of
from shared.core.plan import Planner, play_with_history
from shared.core.profile import Profile, expiry, present
from shared.core.snapshot import Snapshot
from tests import oracle
from tests.app.rebuilding import LATER, NEW, OLD, World, a_record, any_records, contributions_in
from tests.app.test_history import run_due
from tests.fakes.functions import FakeFunction, counting
from tests.people import DAY, HOUR, T0, a_definition, an_event, contributions_of

BUILDER = Builder(a_definition(profile_function=(("window", "30 days"),)))
some = settings(max_examples=80, deadline=None)
any_seed = st.integers(0, 2**32)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Bounds that a short stream reaches."""
    monkeypatch.setattr("shared.app.rebuild.plan.PART_BYTES", 1500)
    monkeypatch.setattr("shared.app.rebuild.link.PARTITION_BYTES", 2000)
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_TOGETHER", 2)
    monkeypatch.setattr("shared.app.rebuild.replay.PENDING_MAX", 5)
    monkeypatch.setattr("shared.app.functions.results.RUN_TOGETHER", 2)


def live(world, version):
    builder = world.builders[version]
    stored = world.stores[version].stored.values()
    return [one for one in stored if isinstance(one, Profile) and expiry(builder, one) >= world.t0]


def histories(world, version):
    builder, store = world.builders[version], world.stores[version]
    found = {}
    for one in live(world, version):
        since = since_of(builder, one)
        found[one.id] = list(events_of(store.chunks(one, since).values(), since).texts())
    return found


def decoded(texts):
    return list(map(decode_any, texts))


def counted(world):
    results = [
        msgspec.json.decode(world.objects.get(world.name.result(REPLAY, line["partition"]))[0], type=Result)
        for line in world.numbers(world.name.replay_manifest)
    ]
    return sum((Counter(one.tally) for one in results), Counter())


@some
@given(any_seed, st.sampled_from([HOUR, 2 * DAY, 40 * DAY]))
def test_live_and_rebuilt_profiles_have_the_same_histories_and_results(seed, gap_ms):
    random = Random(seed)
    records = any_records(random, gap_ms=gap_ms)
    world = World(random, records, BUILDER)
    world.function = FakeFunction(counting)
    arrivals = [one.arrival for one in records]
    world.live(OLD)
    world.plan(random.choice([*arrivals, arrivals[-1] + DAY]))
    world.rebuild()
    world.follow()
    people = oracle.people_of(BUILDER, contributions_in(BUILDER, records))
    expected = {one.id: oracle.history_of(one, BUILDER.window_ms) for one in people}
    found = histories(world, NEW)
    assert found == histories(world, OLD)
    assert {one: decoded(texts) for one, texts in found.items()} == {
        one: decoded(expected[one]) for one in found
    }
    for version in (OLD, NEW):
        run_due(BUILDER, world.stores[version], world.function)
    assert world.shown(NEW) == world.shown(OLD)


def rebuilt(function, records, **changes):
    world = World(
        Random(0), records, Builder(a_definition(profile_function=(("window", "30 days"),), **changes))
    )
    world.function = function
    world.mortals, world.patience = 0, 1
    world.live(OLD)
    world.plan(LATER)
    world.rebuild()
    return world


def test_finished_profiles_are_written_with_their_result():
    function = FakeFunction(counting)
    world = rebuilt(function, [a_record(1, userId="u", type="page"), a_record(2, userId="v", type="track")])
    profiles = live(world, NEW)
    assert not any(one.is_due for one in profiles)
    assert sorted(present(BUILDER, one)["published_id"] for one in profiles) == ["u", "v"]
    assert function.runs == counted(world)["functions_run"] == 2


def test_a_function_is_told_the_id_that_its_profile_takes_over():
    told = []

    def run(given):
        told.append(given.user.profile_id)
        return counting(given)

    records = [
        a_record(1, anonymousId="c", type="page"),
        a_record(2, arrival=T0 + 1, userId="u", anonymousId="c", type="page"),
    ]
    world = rebuilt(FakeFunction(run), records)
    [profile] = live(world, NEW)
    assert told == [profile.id]
    assert [one.profile_id for one in profile.heads] == [profile.id]


def test_a_function_that_fails_leaves_its_profile_due_and_the_rebuild_goes_on():
    failing = FakeFunction(lambda _: FunctionFailure("function_error", "KeyError"))
    world = rebuilt(failing, [a_record(1, userId="u"), a_record(2, userId="v")])
    profiles = live(world, NEW)
    assert len(profiles) == 2
    assert all(one.is_due and one.computed is None for one in profiles)
    assert counted(world)["functions_failed.function_error"] == 2


class Invocation:
    """A function that takes a while, and how much of an invocation's time is left; nobody waits."""

    def __init__(self, monkeypatch, took_s):
        self.now_s, self.until_s = 0, 0
        self.took_s = took_s
        self.function = FakeFunction(self.run)
        monkeypatch.setattr("shared.app.functions.results.monotonic", lambda: self.now_s)
        monkeypatch.setattr("shared.app.functions.results.RUN_TOGETHER", 50)

    def run(self, given):
        self.now_s += self.took_s(self.function.runs)
        return counting(given)

    def begin(self, time_s):
        self.until_s = self.now_s + time_s

    def left_s(self):
        return self.until_s - self.now_s


def people(count):
    events = [an_event(messageId=f"m{number}", userId=f"u{number}", type="page") for number in range(count)]
    return play_with_history(BUILDER, contributions_of(BUILDER, events))[0]


def test_profiles_for_which_no_time_is_left_keep_due(monkeypatch):
    puts, tally = people(9), Counter()
    slow = Invocation(monkeypatch, lambda _: 9)
    slow.begin(47)
    compute(BUILDER, puts, slow.function, tally, slow.left_s)
    # One may take ten seconds, and as many go by until its process is there again.
    assert (slow.now_s, tally["functions_run"], tally["functions_postponed"]) == (36, 4, 5)
    assert sum(put.profile.is_due for put in puts) == 5


def test_as_many_are_handed_over_at_once_as_take_about_twenty_seconds(monkeypatch):
    sizes = []

    class Recording(FakeFunction):
        def run(self, inputs, time_s=None):
            sizes.append(len(inputs))
            return super().run(inputs, time_s)

    taking = Invocation(monkeypatch, lambda _: 2)
    taking.function = Recording(taking.run)
    taking.begin(10_000)
    compute(BUILDER, people(40), taking.function, Counter(), taking.left_s)
    assert sizes == [1, 2, 4, 8, 10, 10, 5]


def later_slow(runs):
    """Fast for long, and then as slow as it may be."""
    return 0.1 if runs < 100 else 60


@pytest.mark.parametrize("took_s", [*(lambda _, s=s: s for s in (2, 3, 5, 9, 20, 50)), later_slow])
def test_a_worker_always_stops_in_time_and_gets_on_however_slow_the_function_is(monkeypatch, took_s):
    builder = Builder(a_definition(profile_function=(("window", "30 days"), ("timeout", "60 seconds"))))
    monkeypatch.setattr("shared.app.rebuild.link.PARTITION_BYTES", 10**6)
    world = World(Random(0), [a_record(number, userId=f"u{number}") for number in range(150)], builder)
    world.mortals, world.patience = 0, 1
    world.live(OLD)
    world.plan(LATER)
    world.rebuild()
    world.stores[NEW].stored.clear()
    world.objects.delete_all([world.name.result("replay", 0), world.name.checkpoint(0)])
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_TOGETHER", 60)
    slow = Invocation(monkeypatch, took_s)
    world.function, world.left_s = slow.function, slow.left_s
    written = [0]
    is_done = False
    while not is_done:
        slow.begin(840)
        replayed = world.replay(0, may_go_on=lambda: slow.left_s() > 0)
        assert slow.left_s() >= 0
        is_done = replayed.done
        written.append(replayed.profiles)
    assert written == sorted(set(written))
    assert written[-1] == len(live(world, NEW)) == 150
    assert slow.function.runs >= 10 * (len(written) - 1)


def test_a_version_without_an_active_one_before_it_runs_its_function_as_well():
    world = World(Random(0), [a_record(1, userId="u", type="page")], BUILDER)
    world.active, world.function, world.mortals, world.patience = None, FakeFunction(counting), 0, 1
    world.plan(LATER)
    world.rebuild()
    [profile] = live(world, NEW)
    assert present(BUILDER, profile)["traits"]["counts.page"] == 1


def test_large_histories_are_written_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_BYTES", 1)
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_TOGETHER", 100)
    monkeypatch.setattr("shared.app.rebuild.link.PARTITION_BYTES", 2**20)
    world = World(Random(0), [a_record(number, userId=f"u{number}") for number in range(5)], BUILDER)
    world.mortals, world.patience = 0, 1
    together = []
    insert = world.loader.insert
    world.loader.insert = lambda plans: together.append(len(plans)) or insert(plans)
    world.live(OLD)
    world.plan(LATER)
    world.rebuild()
    assert together == [1] * 5


def test_what_has_left_the_window_is_let_go_while_a_long_life_is_replayed():
    events = contributions_of(
        BUILDER,
        [
            an_event(messageId=f"m{day:03}", userId="u", arrival=T0 + day * DAY, timestamp=T0 + day * DAY)
            for day in range(100)
        ],
    )
    planner = Planner(BUILDER, Snapshot(), 1, None)
    for one in events:
        planner.take(one)
        planner.settle()
    [life] = planner.lives.values()
    assert len(life.pieces) == 31
    [put] = planner.finish(len(events), ()).puts
    assert len(list(events_of([one.data for one in put.chunks], since_of(BUILDER, put.profile)))) == 31
