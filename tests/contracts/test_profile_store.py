"""The contract of every profile store: generated streams through the real use case, whole and racing."""

from random import Random

import pytest

from shared.app.ingest import Ingest
from shared.core.compile import Builder
from tests import oracle
from tests.contracts.worlds import FakeClock, assert_consistent, lines
from tests.people import DAY, a_definition, any_stream, contributions_of, in_batches

BUILDERS = {
    "plain": Builder(a_definition()),
    "limited": Builder(a_definition(limit=1)),
}


def ingest(builder, store, batch, **options):
    outcome = Ingest(builder, store, FakeClock(), **options).run(batch)
    assert outcome.failed == []
    return outcome


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("seed", range(12))
def test_batches_in_order_of_arrival_give_what_the_oracle_says(world, kind, seed):
    builder, random = BUILDERS[kind], Random(seed)
    world.reset()
    events = contributions_of(builder, any_stream(random, gap_ms=35 * DAY))
    events.sort(key=lambda one: one.order)
    store = world.store(builder)
    for batch in in_batches(random, events):
        ingest(builder, store, batch)
        if random.random() < 0.3:
            store = world.store(builder, cache=random.random() < 0.5)  # another process takes over
    assert lines(world, builder) == oracle.profiles_of(builder, events)
    assert_consistent(world, builder)
