"""What is stored of runs of profile functions beside histories: results, and failures."""

import time

from shared.adapters.dynamo.access import Tables
from shared.adapters.dynamo.loader import DynamoLoader
from shared.app.functions.failing import Failing
from shared.app.functions.results import plan_of_result
from shared.app.ports import Committed
from shared.contract import PROFILES_DUE, STREAM_RETENTION_H, TTL_ATTRIBUTE
from shared.core.functions import FunctionResult
from shared.core.plan import plan
from shared.core.profile import expiry
from shared.core.snapshot import Snapshot
from tests.contracts.test_history import BUILDER
from tests.contracts.worlds import FakeClock, assert_children_outlive_their_profiles, live
from tests.people import HOUR, T0, an_event, contributions_of


def test_what_was_loaded_stays_as_long_as_it_was_to_when_a_result_is_written_and_its_children_longer(dynamo):
    dynamo.reset()
    [event] = contributions_of(BUILDER, [an_event(messageId="1", anonymousId="a", arrival=T0)])
    tables = Tables(dynamo.profiles_table, dynamo.identifiers_table)
    planned = plan(BUILDER, [event], Snapshot(), T0 * 1000, None)
    t0 = expiry(BUILDER, planned.puts[0].profile) - HOUR
    DynamoLoader(dynamo.client, BUILDER, dynamo.version, tables, t0, FakeClock()).insert([planned])
    [profile] = live(dynamo, BUILDER)
    assert profile.kept_until >= t0 + STREAM_RETENTION_H * HOUR > expiry(BUILDER, profile)
    written = plan_of_result(BUILDER, profile, FunctionResult({"plan": "pro"}), FakeClock().now_us())
    assert dynamo.store(BUILDER).commit([written]) == [Committed()]
    [after] = live(dynamo, BUILDER)
    assert (after.kept_until, after.is_due) == (profile.kept_until, False)
    assert_children_outlive_their_profiles(dynamo, BUILDER)


def test_failures_of_a_function_are_kept_beside_its_profile_and_go_with_their_version_or_by_their_ttl(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    assert store.failing("0" * 32) is None
    for failing in (Failing(1, 7, 8), Failing(2, 9, 0)):
        store.failed("0" * 32, failing)
        assert store.failing("0" * 32) == failing
    [item] = dynamo.items(dynamo.profiles_table)
    assert PROFILES_DUE not in item
    assert int(item[TTL_ATTRIBUTE]["N"]) > time.time() + 86_400
