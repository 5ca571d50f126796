"""The simulated stream: what comes of shards that split and merge, and in which order they are read."""

from tests.simulation.stream import Consumer, Stream


def test_what_a_shard_became_waits_for_it_though_nothing_was_put_in_between():
    stream = Stream(1)
    stream.put(b"first", "k", 1)
    [old] = stream.open()
    stream.split(0)
    stream.merge(0)
    stream.put(b"second", "k", 2)
    [new] = stream.open()
    consumer = Consumer("reader", stream, 1)
    assert consumer.readable() == [old]
    consumer.move(old, 1)
    assert consumer.readable() == [new]
    consumer.move(new, 1)
    assert consumer.readable() == []
