"""Spools keep contributions exactly, whatever they hold."""

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.compile import Builder, Contribution
from shared.core.event import Position
from shared.core.identity.identifiers import Identifier
from shared.core.spool import FrameWriter, Rows, UnreadableFrameError, identifiers_of, pack, unpack
from tests.generators import any_event_id, any_number, any_text, any_time
from tests.people import a_definition, any_stream, contributions_of

BUILDER = Builder(a_definition())


def any_identifiers():
    one = st.builds(Identifier, st.sampled_from(["user_id", "email"]), any_text())
    return st.lists(one, min_size=1, max_size=3, unique=True).map(tuple)


def any_sequence():
    return st.sampled_from(["", "0", "00", "007", "49" * 28, "line-1", "²"]) | st.integers(0, 2**200).map(str)


def any_reading():
    scalars = st.none() | st.booleans() | any_number() | any_text() | any_time()
    return scalars | st.lists(any_number() | any_text(), max_size=3)


def any_contribution():
    return st.builds(
        Contribution,
        key=st.tuples(any_time(), any_event_id() | st.uuids().map(lambda one: str(one).upper()), st.just(0)),
        hash=st.integers(0, 2**64 - 1),
        arrival=any_time(),
        identifiers=any_identifiers(),
        values=st.lists(any_reading(), max_size=4),
        traits=st.none() | st.dictionaries(any_text(), any_reading(), max_size=3),
        weight=st.integers(0, 2**40),
        position=st.builds(
            Position, st.sampled_from(["shardId-000000000000", "b"]), any_sequence(), st.integers(0, 9999)
        ),
        text=st.none() | st.binary(),
    )


@settings(deadline=None)
@given(st.lists(any_contribution(), max_size=6))
def test_whatever_is_packed_is_unpacked_again_in_its_order_and_of_the_same_types(contributions):
    found = unpack(pack(contributions))
    assert found == contributions
    assert list(map(repr, found)) == list(map(repr, contributions))


@pytest.mark.parametrize("seed", range(5))
def test_frames_of_many_parts_come_in_order_of_arrival_and_share_identifiers(seed):
    random = Random(seed)
    contributions = contributions_of(BUILDER, any_stream(random))
    writers = [FrameWriter() for _ in range(3)]
    parts = [{} for _ in writers]
    for one in contributions:
        number = random.randrange(len(parts))
        parts[number].setdefault(one.identifiers, []).append(writers[number].row(one))
    frames = [writer.frame(part.items()) for writer, part in zip(writers, parts, strict=True)]
    rows = Rows(frames)
    assert len(rows) == len(contributions)
    together = list(rows.by_arrival())
    assert [some[0].arrival for some in together] == sorted({one.arrival for one in contributions})
    found = [one for some in together for one in some]
    assert sorted(map(repr, found)) == sorted(map(repr, contributions))
    assert len({id(one.identifiers) for one in found}) == len({one.identifiers for one in found})
    assert {one for frame in frames for one in identifiers_of(frame)} == {one.identifiers for one in found}


@pytest.mark.parametrize("frame", [b"", b"\xc0", msgspec.msgpack.encode([1, 2, 3])])
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(UnreadableFrameError):
        unpack(frame)
