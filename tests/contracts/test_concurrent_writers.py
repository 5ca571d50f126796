"""Eight writers that create, attach and merge the same people at once, through real conditional writes."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from shared.app.ingest import Ingest
from shared.app.ports import SegmentGoneError
from shared.core.compile import Builder
from tests import oracle
from tests.clocks import fold_parked
from tests.contracts.engines import new_client
from tests.contracts.worlds import FakeClock, assert_consistent, lines, live
from tests.people import HOUR, a_definition, any_stream, contributions_of

WRITERS = 8
REDELIVERIES_MAX = 50
BUILDER = Builder(a_definition())


def deliver(world, batches):
    """One worker: ingests its batches in order, each again until nothing of it is left."""
    client = new_client(world.endpoint)
    store = world.store(BUILDER, client)
    tally = Counter()
    for batch in batches:
        waiting = batch
        for _ in range(REDELIVERIES_MAX):
            outcome = Ingest(BUILDER, store, FakeClock()).run(waiting)
            tally.update(outcome.tally)
            failed = {position for position, _ in outcome.failed}
            waiting = [one for one in waiting if one.position in failed]
            if not waiting:
                break
        else:
            pytest.fail(f"never written: {Counter(reason for _, reason in outcome.failed)}")
    client.close()
    return tally


def shared_out(random, events):
    """Batches for each writer; every event goes to two of them, as a redelivery would."""
    twice = random.sample(events * 2, 2 * len(events))
    shares = [twice[start::WRITERS] for start in range(WRITERS)]
    return [[share[start : start + 6] for start in range(0, len(share), 6)] for share in shares]


def unnamed(canonical_lines):
    """Profiles without their ids, which depend on who founded them."""
    profiles = [json.loads(line) for line in canonical_lines]
    for profile in profiles:
        del profile["profile_id"]
    return sorted(profiles, key=json.dumps)


@pytest.mark.parametrize(
    "seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 40))]
)
def test_eight_writers_lose_nothing_and_count_nothing_twice(dynamo, seed):
    random = Random(seed)
    dynamo.reset()
    stream = any_stream(random, size_min=120, size_max=150, gap_ms=HOUR // 10, people=8)
    events = contributions_of(BUILDER, {event.id: event for event in stream}.values())
    with ThreadPoolExecutor(WRITERS) as writers:
        tallies = list(writers.map(lambda share: deliver(dynamo, share), shared_out(random, events)))
    settle(dynamo, events)
    profiles = live(dynamo, BUILDER)
    counted = Counter(hashed for profile in profiles for _, hashed in profile.memory.traces())
    violations = sum((tally["invariant_violations"] for tally in tallies), 0)
    assert violations == 0
    assert counted == Counter(one.hash for one in events)
    assert sum(profile.event_count for profile in profiles) == len(events)
    assert unnamed(lines(dynamo, BUILDER)) == unnamed(oracle.profiles_of(BUILDER, events))
    assert_consistent(dynamo, BUILDER)


def settle(world, events):
    """Let a next writer fold what was parked beside profiles."""
    fold_parked(BUILDER, world.store(BUILDER, cache=False), live(world, BUILDER), events, FakeClock())
    # A delta may stay that nobody lists, as its profile went meanwhile: its events were written instead.
    assert all(profile.parked == () for profile in live(world, BUILDER))


class CarelessClient:
    """A client that writes without any condition, as a store might that was never raced."""

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def put_item(self, **arguments):
        return self._client.put_item(**unconditional(arguments))

    def transact_write_items(self, **arguments):
        for action in arguments["TransactItems"]:
            if "Put" in action:
                action["Put"] = unconditional(action["Put"])
        return self._client.transact_write_items(**arguments)


def unconditional(arguments):
    conditions = ("ConditionExpression", "ExpressionAttributeValues", "ReturnValuesOnConditionCheckFailure")
    return {name: value for name, value in arguments.items() if name not in conditions}


def test_writers_that_check_no_conditions_are_found_out(dynamo, monkeypatch):
    """The negative control: runs like the above must go wrong, or they prove nothing.

    A single one may be lucky; ten in a row are not.
    """
    careful = new_client
    monkeypatch.setitem(globals(), "new_client", lambda endpoint: CarelessClient(careful(endpoint)))
    for seed in range(10):
        try:
            test_eight_writers_lose_nothing_and_count_nothing_twice(dynamo, seed)
        except (AssertionError, KeyError, TypeError, SegmentGoneError, pytest.fail.Exception):
            return
    pytest.fail("writers that check no conditions went unnoticed")
