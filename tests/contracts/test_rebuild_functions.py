"""A rebuild into DynamoDB of a builder with a profile function, and what follows it."""

from random import Random

import pytest

from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.loader import DynamoLoader
from shared.app.functions.results import input_of, plan_of_result, since_of
from shared.app.ports import Committed
from shared.core.profile import canonical, expiry
from tests.app.rebuilding import NEW, OLD, World, any_records
from tests.app.test_history import run_due
from tests.contracts.test_history import BUILDER
from tests.contracts.worlds import FakeClock, live
from tests.fakes.functions import FakeFunction, counting
from tests.people import DAY


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gap_ms", [2 * DAY, 40 * DAY])
def test_a_rebuild_into_dynamodb_gives_the_histories_and_results_that_live_gave(
    dynamo, seed, gap_ms, monkeypatch
):
    monkeypatch.setattr("shared.app.rebuild.plan.PART_BYTES", 1500)
    monkeypatch.setattr("shared.app.rebuild.link.PARTITION_BYTES", 4000)
    monkeypatch.setattr("shared.app.rebuild.replay.INSERTED_TOGETHER", 3)
    dynamo.reset()
    records = any_records(Random(seed), gap_ms=gap_ms)
    t0 = records[len(records) * 2 // 3].arrival
    world = RebuiltInDynamo(dynamo, Random(seed), records)
    tables = Tables(dynamo.profiles_table, dynamo.identifiers_table)
    world.loader = DynamoLoader(dynamo.client, BUILDER, dynamo.version, tables, t0, FakeClock())
    world.function = FakeFunction(counting)
    world.live(OLD)
    world.plan(t0)
    world.rebuild()
    world.follow()
    run_due(BUILDER, world.stores[OLD], world.function)
    store = dynamo.store(BUILDER, cache=False)
    for profile in live(dynamo, BUILDER):
        if profile.is_due and expiry(BUILDER, profile) >= t0:
            since = since_of(BUILDER, profile)
            chunks = list(store.chunks(profile, since).values())
            [result] = world.function.run([input_of(BUILDER, profile, chunks)])
            plan_ = plan_of_result(BUILDER, profile, result, FakeClock().now_us())
            assert store.commit([plan_]) == [Committed()]
    still = [canonical(BUILDER, one) for one in live(dynamo, BUILDER) if expiry(BUILDER, one) >= t0]
    assert sorted(still) == sorted(world.shown(OLD))


class RebuiltInDynamo(World):
    """The new version is in DynamoDB, the old one in memory."""

    def __init__(self, dynamo, random, records):
        super().__init__(random, records, BUILDER)
        self.dynamo = dynamo

    def store(self, version):
        return self.dynamo.store(BUILDER) if version == NEW else super().store(version)
