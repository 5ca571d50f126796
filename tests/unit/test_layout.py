"""The layout: what moves into segments comes back, nothing moves for nothing, and it stays small."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.dynamo.items import Items
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.dynamo.layout import (
    LARGE,
    MERGED_AT,
    SEGMENT_BYTES_MAX,
    SMALL,
    Layout,
    Listed,
    listed,
)
from shared.adapters.dynamo.parts import body_of, part_name
from shared.adapters.dynamo.piles import LIST_TAIL, MEMORY_TAIL
from shared.adapters.dynamo.units import size_of, write_units
from shared.core.aggregations.base import LIST_LENGTH_MAX
from shared.core.compile import Builder
from shared.core.definition import Attribute, Definition, IdentifierType
from shared.core.identity.identifiers import Identifier
from shared.core.memory import MINUTE_MS, REMEMBERED_MAX
from shared.core.profile import Profile, copy, new_profile
from tests.laws.kit import added

BUILDER = Builder(
    Definition(
        "grown",
        (IdentifierType("user_id", (("userId",),)),),
        (
            Attribute("pages", "list", "string", (("p",),)),
            Attribute("tags", "unique_list", "string", (("t",),)),
            Attribute("recent", "unique_list", "string", (("t",),), keep="newest"),
        ),
    )
)
ITEMS = Items(BUILDER, Keyspace("grown", 1))
some = settings(max_examples=25, deadline=None)


class Shelf:
    """One stored profile with its segments, written again and again as the store does."""

    def __init__(self):
        self.profile = new_profile(BUILDER, "0" * 32, Identifier("user_id", "u"), 0)
        self.profile.identifiers = {self.profile.founder: 0}
        self.before = Listed()
        self.bodies = {}
        self.parts = {}
        self.written = 0
        self.read = 0

    def write(self, profile: Profile):
        """Lay a changed copy out, and put it on the shelf."""
        layout = Layout(ITEMS, BUILDER, self.before, str(profile.rev), self._contents, self._known)
        profile.rev += 1
        item, size = layout.lay_out(profile)
        assert size == size_of(item)
        self.written += sum(len(pieces) for one in layout.new.values() for pieces in one.parts.values())
        for name, one in layout.new.items():
            assert name not in self.bodies, "segments never change"
            self.bodies[name] = one.item
            decoded = {part_name(name, pile): pieces for pile, pieces in ITEMS.parts(one.item).items()}
            assert decoded == one.parts
            self.parts |= decoded
        self.profile = ITEMS.stored(item)
        self.before = listed(BUILDER, profile, (), size)
        assert references(self.before) == references(listed(BUILDER, self.profile, (), size))
        assert self.before.names <= self.bodies.keys()
        self.bodies = {name: self.bodies[name] for name in self.before.names}
        self.parts = {name: pieces for name, pieces in self.parts.items() if body_of(name) in self.bodies}

    def loaded(self) -> Profile:
        """A copy of the profile with everything loaded."""
        profile = copy(BUILDER, self.profile)
        for column, aggregation in enumerate(BUILDER.aggregations):
            state = profile.attributes[column]
            if state is not None:
                names = [one.name for one in state.segments]
                entries = [entry for name in names for entry in self.parts[name]]
                profile.attributes[column] = aggregation.extend(state, entries, names)
        names = {one.name for one in profile.memory.segments}
        profile.memory.load([trace for name in names for trace in self.parts[name]], names)
        return profile

    def shown(self):
        return present(self.loaded())

    def _known(self, name):
        return self.parts.get(name)

    def _contents(self, names):
        found = {name: self.parts[name] for name in names}
        self.read += sum(map(len, found.values()))
        return found


def references(lists: Listed):
    """What is referred to, in any order."""
    return {column: set(segments) for column, segments in lists.lists.items()}, set(lists.memory)


def present(profile):
    return [
        None if state is None else list(aggregation.present(state))
        for aggregation, state in zip(BUILDER.aggregations, profile.attributes, strict=True)
    ], profile.memory.traces()


def add(profile, number, random, distinct):
    """Fold an event whose values and time are drawn from few or many."""
    key = (random.randrange(distinct * 2), f"id-{number}", 0)
    value = f"/page/{random.randrange(distinct)}"
    for column, aggregation in enumerate(BUILDER.aggregations):
        profile.attributes[column] = aggregation.add(profile.attributes[column], [key], [value])
    profile.memory.add(number * 7919, number // 3)


def test_an_entry_that_came_twice_stays_twice_when_its_segment_is_put_back():
    """An event that comes again after the window counts again, with the same key and the same values."""
    shelf, pages = Shelf(), BUILDER.aggregations[0]
    entries = [((number, f"id-{number}", 0), "/page") for number in range(LIST_TAIL.pieces_max + 1)]
    profile = copy(BUILDER, shelf.profile)
    profile.attributes[0] = added(pages, None, entries)
    shelf.write(profile)
    assert shelf.before.lists[0]
    profile = shelf.loaded()
    profile.attributes[0] = added(pages, profile.attributes[0], [entries[0]])
    shelf.write(profile)
    assert len(shelf.shown()[0][0][0][1]) == len(entries) + 1


@some
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(1, 400), min_size=1, max_size=12),
    st.sampled_from([30, 900, 5000]),
)
def test_a_profile_laid_out_after_every_batch_shows_what_one_never_laid_out_shows(seed, batches, distinct):
    shelf, random, whole = (
        Shelf(),
        Random(seed),
        new_profile(BUILDER, "1" * 32, Identifier("user_id", "u"), 0),
    )
    number = 0
    for size in batches:
        profile = shelf.loaded() if random.random() < 0.3 else copy(BUILDER, shelf.profile)
        for _ in range(size):
            number += 1
            state = random.getstate()
            add(profile, number, random, distinct)
            random.setstate(state)
            add(whole, number, random, distinct)
        shelf.write(profile)
    assert shelf.shown() == present(whole)


def grow(shelf, count, step=1):
    random = Random(0)
    for start in range(shelf.profile.rev, shelf.profile.rev + count):
        profile = copy(BUILDER, shelf.profile)
        for number in range(start * step, (start + 1) * step):
            add(profile, number, random, 10**6)
        shelf.write(profile)


def test_what_is_rewritten_per_event_does_not_grow_with_the_list():
    shelf, costs = Shelf(), []
    for _ in range(4):
        before = shelf.written + shelf.read
        grow(shelf, 600, step=3)
        costs.append((shelf.written + shelf.read - before) / 1800)
    assert max(costs) < 30, "entries and traces read or written per event, over three lists and a memory"


@pytest.mark.parametrize(("batches", "size"), [(600, 7), (70, 60)])
def test_segments_stay_few_and_tails_short(batches, size):
    shelf = Shelf()
    grow(shelf, batches, step=size)
    assert shelf.loaded().memory.traces()[0][0] > 0, "some are forgotten by now"
    for segments in (*shelf.before.lists.values(), shelf.before.memory):
        assert sum(one.level == SMALL for one in segments) < MERGED_AT
        assert sum(one.level == LARGE for one in segments) <= MERGED_AT
    for state in shelf.profile.attributes:
        assert sum(one.entries for one in state.segments) <= 2 * LIST_LENGTH_MAX
    assert len(shelf.profile.attributes[0].entries) <= LIST_TAIL.pieces_max
    assert len(shelf.profile.memory.traces()) <= MEMORY_TAIL.pieces_max


def test_segments_of_large_batches_are_merged_as_those_of_small_ones():
    shelf = Shelf()
    most = 0
    for _ in range(2 * LIST_LENGTH_MAX // 60):
        grow(shelf, 1, step=60)
        most = max(most, len(shelf.bodies))
    assert most <= MERGED_AT


def test_all_that_a_write_spills_is_one_segment_and_the_item_then_takes_no_more_units_than_before():
    shelf = Shelf()
    spills = 0
    for number in range(300):
        profile = copy(BUILDER, shelf.profile)
        add(profile, number, Random(number), 10**6)
        unspilled = write_units(size_of(ITEMS.profile(copy(BUILDER, profile))))
        bodies = set(shelf.bodies)
        shelf.write(profile)
        new = set(shelf.bodies) - bodies
        assert len(new) <= 1, "also where small ones were merged: what was spilled is in there"
        if new:
            spills += 1
            assert write_units(shelf.before.size) < unspilled
    assert 10 < spills < 60


def test_what_cannot_matter_any_more_goes_without_being_rewritten():
    shelf = Shelf()
    written = []
    for number in range(3 * LIST_LENGTH_MAX):
        profile, before = copy(BUILDER, shelf.profile), shelf.written
        key = (number * MINUTE_MS, f"id-{number}", 0)
        profile.attributes[0] = BUILDER.aggregations[0].add(profile.attributes[0], [key], ["/page"])
        profile.memory.add(number * 7919, number)
        shelf.write(profile)
        written.append(shelf.written - before)
    assert sum(written) < 2 * 2 * len(written), "entries and traces, once small and once large"
    assert max(written) < LIST_LENGTH_MAX / 2
    [entries] = [sum(one.entries for one in segments) for segments in shelf.before.lists.values()]
    assert LIST_LENGTH_MAX - LIST_TAIL.pieces_max <= entries < 1.3 * LIST_LENGTH_MAX
    assert sum(one.traces for one in shelf.before.memory) < 1.5 * REMEMBERED_MAX
    ([(_, shown)], *_), traces = shelf.shown()
    assert [one.key[0] // MINUTE_MS for one in shown] == list(range(2 * LIST_LENGTH_MAX, 3 * LIST_LENGTH_MAX))
    assert [minute for minute, _ in traces] == list(range(3 * LIST_LENGTH_MAX))[-REMEMBERED_MAX:]


def test_segments_that_were_only_loaded_are_put_back_as_they_are():
    shelf = Shelf()
    grow(shelf, 100)
    before, written = shelf.before, shelf.written
    shelf.write(shelf.loaded())
    assert shelf.before.names == before.names
    assert shelf.written == written


def test_loaded_segments_that_nobody_remembers_are_written_anew():
    shelf = Shelf()
    grow(shelf, 300)
    shown = shelf.shown()
    profile = shelf.loaded()
    shelf._known = lambda _: None
    shelf.write(profile)
    assert shelf.shown() == shown


@pytest.mark.parametrize("size", [SEGMENT_BYTES_MAX + 1, 20_000])
def test_large_values_fill_segments_to_their_limit_and_no_further(size):
    shelf = Shelf()
    profile = copy(BUILDER, shelf.profile)
    for number in range(40):
        keyed = [((number, f"id-{number}", 0), f"{number:02}" + "x" * size)]
        profile.attributes[0] = added(BUILDER.aggregations[0], profile.attributes[0], keyed)
    shelf.write(profile)
    assert all(size_of(item) <= SEGMENT_BYTES_MAX for item in shelf.bodies.values())
    assert len(present(shelf.loaded())[0][0][0][1]) == 40


def test_an_attempt_makes_the_same_segments_each_time_and_another_attempt_makes_others():
    def names(attempt):
        layout = Layout(ITEMS, BUILDER, Listed(), attempt, lambda _: {}, lambda _: None)
        profile = copy(BUILDER, Shelf().profile)
        for number in range(100):
            add(profile, number, Random(number), 10**6)
        layout.lay_out(profile)
        return set(layout.new)

    assert names("1") == names("1")
    assert not names("1") & names("2")
