"""The laws of a history: what is read out of chunks is what went in, in order, however it was cut."""

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import history
from shared.core.containers import decode_any
from shared.core.history import (
    PIECE_BYTES_MAX,
    Head,
    UnreadableChunkError,
    chain,
    events_of,
    open_chunk,
    pieces_of,
)
from tests.generators import any_event_id, any_time

OWN, OTHER = "0" * 32, "1" * 32


def any_kept():
    """Any event as it is kept: equal times and ids are frequent."""
    text = st.sampled_from([b'{"a":1}', b'{"a":2}', b'{"a":1.50,"b":[null]}'])
    return st.tuples(any_time(), any_event_id(), text)


def any_batches():
    return st.lists(st.lists(any_kept(), min_size=1, max_size=6), max_size=6)


def written(batches):
    """Write batches one by one; return all chunks."""
    chunks, heads, updated_at = [], (), 0
    for rev, batch in enumerate(batches, 1):
        arrived = max(time for time, _, _ in batch)
        new = chain(OWN, rev, heads, pieces_of(batch, arrived), updated_at)
        updated_at = new[-1].updated_at
        heads = (Head(OWN, new[-1].name),)
        chunks += new
    return chunks


def oracle(events, since):
    """Sort all events, and keep the first of each time and id."""
    found = {}
    for time, event_id, text in sorted(events):
        if time >= since:
            found.setdefault((time, event_id), text)
    return list(found.values())


@given(any_batches(), st.randoms(use_true_random=False), any_time() | st.just(0))
def test_all_events_come_out_once_and_in_order_however_they_were_written(batches, random, since):
    chunks = [one.data for one in written(batches)]
    random.shuffle(chunks)
    events = events_of(chunks, since)
    expected = oracle([one for batch in batches for one in batch], since)
    assert list(events.texts()) == expected
    assert list(events.texts()) == expected  # as often as wanted
    assert list(events) == list(map(decode_any, expected))


@given(any_batches())
def test_each_chunk_names_the_one_before_and_is_not_earlier(batches):
    chunks = written(batches)
    before = ()
    for chunk in chunks:
        opened = open_chunk(chunk.data, OWN)
        assert opened.before == before
        assert opened.first <= opened.last <= opened.updated_at == chunk.updated_at
        before = (Head(OWN, chunk.name),)
    assert [one.name for one in chunks] == sorted({one.name for one in chunks})
    assert [one.updated_at for one in chunks] == sorted(one.updated_at for one in chunks)


def test_the_chunk_after_a_merge_names_the_heads_of_both():
    heads = (Head(OWN, "aa" * 16), Head(OTHER, "bb" * 16))
    (chunk,) = chain(OWN, 7, heads, pieces_of([(1, "a", b"{}")], 5), 9)
    assert set(open_chunk(chunk.data, OWN).before) == set(heads)
    assert chunk.updated_at == 9


def test_writes_of_one_revision_that_say_different_things_have_different_names():
    one, other = (chain(OWN, 7, (), pieces_of([(1, name, b"{}")], 5), 0) for name in "ab")
    assert one[0].name != other[0].name
    assert one == chain(OWN, 7, (), pieces_of([(1, "a", b"{}")], 5), 0)


def test_a_batch_of_any_size_is_cut_into_chunks_of_bounded_size():
    text = b'{"text":"' + b"x" * 1000 + b'"}'
    events = [(number, f"id-{number}", text) for number in range(1000)]
    pieces = pieces_of(events, 2000)
    assert len(pieces) > 5
    assert all(one.last < other.first for one, other in pairwise(pieces))
    chunks = chain(OWN, 1, (), pieces, 0)
    assert len(list(events_of([one.data for one in chunks], 0))) == 1000


def test_an_event_larger_than_a_chunk_has_one_of_its_own():
    large = json.dumps({"text": "x" * PIECE_BYTES_MAX}).encode()
    pieces = pieces_of([(1, "a", b"{}"), (2, "b", large), (3, "c", b"{}")], 3)
    assert [one.first for one in pieces] == [1, 2, 3]


def test_a_chunk_is_opened_only_when_its_first_event_is_due(monkeypatch):
    chunks = [one.data for one in written([[(day, f"id-{day}", b"{}")] for day in range(1, 101)])]
    opened = []
    rows = history._rows
    monkeypatch.setattr(history, "_rows", lambda piece: opened.append(1) or rows(piece))
    events = iter(events_of(chunks, 51))
    for _ in range(10):
        next(events)
    assert len(opened) <= 12


def test_events_before_the_window_are_left_out_though_their_chunk_has_later_ones():
    (chunk,) = written([[(1, "a", b'{"n":1}'), (5, "b", b'{"n":2}')]])
    assert list(events_of([chunk.data], 5)) == [{"n": 2}]


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"no chunk at all", msgspec.msgpack.encode([9, 1, 1, 1, [], b""])]
)
def test_bytes_that_are_no_chunk_are_told_from_one(data):
    with pytest.raises(UnreadableChunkError):
        events_of([data], 0)


def test_a_chunk_whose_piece_is_damaged_is_told_when_it_is_read():
    (chunk,) = written([[(1, "a", b"{}")]])
    damaged = chunk.data[:-4] + b"\x00" * 4
    with pytest.raises(UnreadableChunkError):
        list(events_of([damaged], 0))
