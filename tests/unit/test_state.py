"""The binary state: what is put is taken again, and nothing stands in it twice."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.dynamo.packing import Packer, Unpacker
from shared.adapters.dynamo.state import StateReader, StateWriter
from shared.core.memory import event_hash
from tests.generators import any_event_id, any_time

any_unicode = st.text(st.characters(exclude_categories=["Cs"]))
any_key = st.tuples(any_time(), any_event_id(), st.integers(0, 2**40))


def a_uuid(number):
    return str(UUID(int=number * 2**64 + number, version=4))


@given(st.lists(st.integers(0) | st.integers(-300, 300) | any_unicode | st.binary(), max_size=8))
def test_values_come_out_as_they_were_put(values):
    packer = Packer()
    for value in values:
        if isinstance(value, bytes):
            packer.number(len(value))
            packer.raw(value)
        elif isinstance(value, str):
            packer.text(value)
        else:
            packer.signed(value)
    unpacker = Unpacker(packer.packed())
    for value in values:
        if isinstance(value, bytes):
            assert unpacker.raw(unpacker.number()) == value
        else:
            assert (unpacker.text() if isinstance(value, str) else unpacker.signed()) == value


@pytest.mark.parametrize(
    ("number", "size"), [(0, 1), (127, 1), (128, 2), (2**14 - 1, 2), (2**14, 3), (2**70, 11)]
)
def test_a_number_takes_a_byte_for_seven_bits(number, size):
    packer = Packer()
    packer.number(number)
    assert len(packer.packed()) == size
    assert Unpacker(packer.packed()).number() == number


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x05abc"])
def test_what_is_cut_short_is_refused(data):
    with pytest.raises(IndexError):
        Unpacker(data).text()


@given(any_time(), st.lists(any_key, max_size=6), st.lists(any_key, max_size=6))
def test_keys_and_ids_come_out_as_they_were_put_however_often(origin, some, others):
    keys = [*some, *others, *some]
    writer = StateWriter(origin)
    for key in keys:
        writer.key(key)
        writer.event(*key[1:])
    reader = StateReader(writer.packed(), origin)
    assert [(reader.key(), reader.event()) for _ in keys] == [(key, key[1:]) for key in keys]


@given(st.lists(any_event_id(), max_size=6), st.lists(st.tuples(st.integers(0, 2**26), st.integers(0, 11))))
def test_traces_come_out_as_they_were_put_whether_their_ids_are_there_or_not(ids, drawn):
    hashes = [*map(event_hash, ids), *range(12)]
    traces = sorted({(minute, hashes[number]) for minute, number in drawn})
    writer = StateWriter()
    for event_id in ids:
        writer.event(event_id, 0)
    writer.traces(traces)
    reader = StateReader(writer.packed())
    assert [reader.event()[0] for _ in ids] == ids
    assert reader.traces() == traces


def test_an_id_stands_once_and_its_trace_takes_two_bytes():
    ids = [a_uuid(number) for number in range(20)]
    writer = StateWriter()
    for event_id in ids:
        writer.key((0, event_id, 0))
    alone = len(writer.packed())
    assert alone <= 20 * (16 + 3) + 1
    for event_id in ids:
        writer.key((0, event_id, 0))
    writer.traces([(0, one) for one in sorted(map(event_hash, ids))])
    assert len(writer.packed()) == alone + 20 + 1 + 20 * 2


def test_a_number_without_an_end_is_refused_before_it_takes_long():
    with pytest.raises(ValueError, match="without an end"):
        Unpacker(b"\xff" * 400_000).number()


def test_a_number_has_a_bit_for_each_of_very_many_attributes():
    packer = Packer()
    packer.number(2**10_000 + 1)
    assert Unpacker(packer.packed()).number() == 2**10_000 + 1
