"""The law of compaction: whenever a history is put together, it is read as the one that was written."""

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core import walk as walks
from shared.core.compaction import SMALL_MAX, compact
from shared.core.compile import Builder
from shared.core.history import Head, chain, events_of, open_chunk, pieces_of, plain_bytes
from shared.core.identity.identifiers import Identifier
from shared.core.profile import new_profile, united
from shared.core.walk import HistoryTooLargeError, reachable
from tests.people import a_definition

OWN, OTHER = "0" * 32, "1" * 32
WINDOW = 1000
BUILDER = Builder(a_definition())
LARGE = 1000
"""What counts as large here: the less there is to compress."""
LARGE_TEXT = b'{"text":"%s"}' % (b"x" * LARGE)


class Written:
    """A profile whose history is written as ingestion, merges and runs of its function write it."""

    def __init__(self, profile_id=OWN):
        self.profile = new_profile(BUILDER, profile_id, Identifier("user_id", "u"), 0)
        self.stored = {}
        self.events = []
        self.latest = 0

    def count(self, events):
        arrived = max(time for time, _, _ in events)
        profile = self.profile
        profile.rev += 1
        pieces = pieces_of(events, arrived)
        chunks = chain(profile.id, profile.rev, profile.heads, pieces, self.latest)
        self.stored |= {Head(profile.id, one.name): one.data for one in chunks}
        profile.heads = (Head(profile.id, chunks[-1].name),)
        self.latest = max(self.latest, arrived)
        self.events += events

    def merge(self, other):
        self.stored |= other.stored
        self.events += other.events
        self.latest = max(self.latest, other.latest)
        self.profile.heads = united(self.profile.heads, other.profile.heads)

    @property
    def since(self):
        return self.latest - WINDOW

    def found(self):
        return reachable(self.profile.heads, self.since, self.stored.get)

    def compact(self, small_max):
        with patch("shared.core.compaction.LARGE_BYTES", LARGE):
            compacted = compact(self.profile, self.found(), self.profile.rev + 1, small_max)
        if compacted is None:
            return False
        self.profile.rev += 1
        self.profile.heads = compacted.heads(OWN)
        self.stored |= {Head(OWN, one.name): one.data for one in compacted.chunks}
        assert self.found() == compacted.found
        return True

    def texts(self):
        return list(events_of(self.found().values(), self.since).texts())

    def expected(self):
        return [text for time, _, text in sorted(self.events) if time >= self.since]


@st.composite
def any_history(draw):
    """Writes of single events, batches and large chunks, merges, and compactions in between."""
    written, number, now = Written(), 0, 0
    for _ in range(draw(st.integers(1, 25))):
        what = draw(st.sampled_from(["count", "count", "count", "merge", "compact"]))
        now += draw(st.integers(0, 300))
        batch = []
        for _ in range(draw(st.integers(1, 4))):
            number += 1
            text = draw(st.sampled_from([b"{}", b"{}", b"{}", LARGE_TEXT]))
            batch.append((draw(st.integers(0, now)), f"m{number}", text))
        if what == "count":
            written.count(batch)
        elif what == "merge":
            other = Written(f"{number:032x}")
            other.count(batch)
            written.merge(other)
        elif written.profile.heads:
            written.compact(draw(st.integers(1, 4)))
    return written


@settings(deadline=None)
@given(any_history(), st.integers(1, 3))
def test_a_history_that_is_put_together_is_read_as_it_was_written(written, small_max):
    assert written.texts() == written.expected()
    if written.profile.heads and written.compact(small_max):
        assert written.texts() == written.expected()
        assert len(written.profile.heads) == 1
    written.count([(written.latest + 1, "next", b"{}")])
    assert written.texts() == written.expected()


def test_of_two_thousand_single_events_a_reader_gets_few_chunks_and_each_is_written_about_twice():
    written, small, again = Written(), 0, 0
    text = b"x" * (LARGE // 60)
    for number in range(2_000):
        written.count([(10**6, f"m{number:05}", text)])
        small += 1
        if small == SMALL_MAX:
            before = set(written.stored)
            assert written.compact(SMALL_MAX)
            again += sum(len(written.stored[head]) for head in written.stored.keys() - before)
            small = sum(plain_bytes(open_chunk(one)) < LARGE for one in written.found().values())
    found = written.found().values()
    assert len(found) < SMALL_MAX + 2_000 // 30
    assert len(list(events_of(found, 0)._merged())) == 2_000
    assert again < 2 * sum(map(len, found))


def test_what_is_large_stays_and_so_does_what_is_behind_it():
    written = Written()
    written.count([(1, "a", b"{}")])
    written.count([(2, "b", LARGE_TEXT)])
    behind = set(written.found())
    for number in range(3):
        written.count([(3 + number, f"m{number}", b"{}")])
    assert written.compact(3)
    assert behind < set(written.found())
    assert len(written.found()) == 3
    assert not written.compact(2)


def test_what_has_left_the_window_is_named_no_more_or_is_not_read():
    written = Written()
    for number in range(4):
        written.count([(number, f"m{number}", LARGE_TEXT)])
    for number in range(3):
        written.count([(WINDOW, f"n{number}", b"{}")])
    assert written.compact(3)
    assert len(written.found()) == 5
    written.count([(WINDOW + 10, "later", b"{}")])
    asked = []
    reachable(written.profile.heads, written.since, lambda head: asked.append(head) or written.stored[head])
    assert len(asked) == 2


def test_a_history_is_read_up_to_a_size(monkeypatch):
    written = Written()
    for number in range(3):
        written.count([(number, f"m{number}", LARGE_TEXT)])
    monkeypatch.setattr(walks, "HISTORY_BYTES_MAX", sum(map(len, written.found().values())))
    assert len(written.found()) == 3
    written.count([(4, "one", b"{}")])
    with pytest.raises(HistoryTooLargeError):
        written.found()
