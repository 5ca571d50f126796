"""One shard: lanes per partition key, checkpoints, children after parents."""

from hypothesis import given
from hypothesis import strategies as st

from local.event_sources.lane import Answer, Invoke
from local.event_sources.records import StreamRecord
from local.event_sources.settings import Position
from local.event_sources.shard import Checkpoint, Shard, ShardInfo, lane_of, startable
from tests.local.streams import START_MS, record, settings

HORIZON = Position("TRIM_HORIZON")
LATER_MS = 10**15


def any_keyed_records(count: int = 30) -> st.SearchStrategy[list[StreamRecord]]:
    keys = st.lists(st.sampled_from("abcdef"), max_size=count)
    return keys.map(lambda drawn: [record(number, key) for number, key in enumerate(drawn)])


def invoke_one(shard: Shard, index: int) -> list[StreamRecord]:
    """Carry the next batch of a lane to its end."""
    action = shard.lanes[index].next(LATER_MS)
    if action is None:
        return []
    assert isinstance(action, Invoke)
    shard.lanes[index].settle(Answer(), START_MS)
    return list(action.batch.records)


def test_records_of_one_key_share_a_lane():
    assert {lane_of("ann", 10) for _ in range(5)} == {lane_of("ann", 10)}


@given(any_keyed_records(), st.integers(1, 10), st.randoms(use_true_random=False))
def test_order_holds_per_key_whatever_the_parallelization(held, factor, random):
    shard = Shard(settings(parallelization=factor, batch_size=3), Checkpoint(HORIZON, factor))
    shard.offer(held, START_MS)
    seen: list[StreamRecord] = []
    while any(lane.queued for lane in shard.lanes):
        seen += invoke_one(shard, random.randrange(factor))
    for key in "abcdef":
        assert [item for item in seen if item.partition_key == key] == [
            item for item in held if item.partition_key == key
        ]


@given(any_keyed_records(), st.integers(1, 4), st.integers(1, 4), st.integers(0, 20), st.data())
def test_a_restart_loses_nothing_and_repeats_only_with_another_parallelization(
    held, factor, factor_after, batches, data
):
    before = Shard(settings(parallelization=factor, batch_size=2), Checkpoint(HORIZON, factor))
    before.offer(held, START_MS)
    seen: list[StreamRecord] = []
    for _ in range(batches):
        seen += invoke_one(before, data.draw(st.integers(0, factor - 1)))
    checkpoint = before.checkpoint()

    after = Shard(settings(parallelization=factor_after, batch_size=2), checkpoint)
    after.offer([item for item in held if _is_read_again(item, checkpoint.position)], START_MS)
    for index in range(factor_after):
        while after.lanes[index].queued:
            seen += invoke_one(after, index)
    assert set(seen) == set(held)
    if factor == factor_after:
        assert len(seen) == len(held)


def _is_read_again(item: StreamRecord, position: Position) -> bool:
    if position.kind == "TRIM_HORIZON":
        return True
    slack = 0 if position.kind == "AFTER_SEQUENCE_NUMBER" else 1
    return item.ordinal > int(position.value) - slack


def test_the_checkpoint_of_an_idle_shard_is_where_it_has_read_to():
    shard = Shard(settings(), Checkpoint(HORIZON))
    assert shard.checkpoint().position == HORIZON
    shard.offer([record(0)], START_MS)
    assert shard.checkpoint().position == Position("AT_SEQUENCE_NUMBER", "1000")
    invoke_one(shard, 0)
    assert shard.checkpoint().position == Position("AFTER_SEQUENCE_NUMBER", "1000")


def test_a_stuck_lane_does_not_fill_the_memory():
    shard = Shard(settings(batch_size=2), Checkpoint(HORIZON))
    assert shard.has_room
    shard.offer([record(number) for number in range(6)], START_MS)
    assert not shard.has_room


def test_a_closed_shard_is_drained_when_its_last_record_is_dealt_with():
    shard = Shard(settings(), Checkpoint(HORIZON))
    shard.offer([record(0)], START_MS)
    shard.close()
    assert not shard.drained
    assert not shard.checkpoint().finished
    invoke_one(shard, 0)
    assert shard.drained
    assert shard.checkpoint().finished


def test_children_start_only_after_their_parents_are_finished():
    left, right = ShardInfo("a"), ShardInfo("b")
    child, grandchild = ShardInfo("c", ("a", "b")), ShardInfo("d", ("c",))
    listed = [left, right, child, grandchild]
    assert startable(listed, set()) == [left, right]
    assert startable(listed, {"a"}) == [right]
    assert startable(listed, {"a", "b"}) == [child]
    assert startable(listed, {"a", "b", "c"}) == [grandchild]


def test_a_parent_that_the_stream_no_longer_lists_holds_nobody_up():
    child = ShardInfo("c", ("gone",))
    assert startable([child], set()) == [child]
