"""What grows: lists and memories into segments, large profiles into chunks; nothing of it may show."""

from collections import Counter
from random import Random
from unittest.mock import patch

import pytest

from shared.adapters.dynamo.parts import body_of
from shared.adapters.dynamo.piles import LIST_TAIL
from shared.adapters.memory_store import MemoryStore
from shared.app.ingest import Ingest
from shared.core.aggregations.base import LIST_LENGTH_MAX
from shared.core.compile import Builder
from shared.core.memory import REMEMBERED_MAX
from shared.core.profile import Profile, missing_segments
from tests.contracts.test_faults import FaultyClient
from tests.contracts.worlds import FakeClock, assert_consistent, lines, live
from tests.people import T0, a_definition, an_event, contributions_of

BUILDER = Builder(a_definition())
SECOND = 1000


def ingest(store, batch):
    outcome = Ingest(BUILDER, store, FakeClock()).run(batch)
    assert outcome.failed == []
    return outcome


def visits(count, start=0, gap_ms=SECOND, user="u", pages=1, **changes):
    """A person's page views, each under an id and with tags of its own."""
    return contributions_of(
        BUILDER,
        [
            an_event(
                messageId=f"00000000-0000-4000-8000-{number:012x}",
                arrival=T0 + number * gap_ms,
                timestamp=(T0 + number * gap_ms) / 1000,
                userId=user,
                type="track",
                properties={
                    "pages": [f"/page/{number}/{one}" for one in range(pages)],
                    "tags": [f"tag-{number}"],
                },
                **changes,
            )
            for number in range(start, start + count)
        ],
    )


def in_memory(batches):
    """The same batches in the store that needs no segments."""
    store = MemoryStore()
    for batch in batches:
        ingest(store, batch)
    return store


def batches_of(events, size):
    return [events[start : start + size] for start in range(0, len(events), size)]


def expected_lines(batches):
    return lines(_World(in_memory(batches)), BUILDER)


class _World:
    def __init__(self, store):
        self._store = store

    def stored(self, _builder):
        return self._store.stored


@pytest.mark.parametrize("cache", [True, False])
def test_a_list_beyond_its_maximum_keeps_the_newest_in_segments(dynamo, cache):
    dynamo.reset()
    events = visits(LIST_LENGTH_MAX + 300)
    store = dynamo.store(BUILDER, cache=cache)
    batches = batches_of(events, 17)
    for batch in batches:
        ingest(store, batch)
    assert lines(dynamo, BUILDER) == expected_lines(batches)
    assert_consistent(dynamo, BUILDER)
    assert_tidy(dynamo)
    item = profile_item(dynamo)
    assert len(item["attributes"]["M"]["pages"]["L"]) <= LIST_TAIL.pieces_max


def test_the_cost_of_a_write_is_flat_in_the_length_of_a_list(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    costs = []
    for batch in batches_of(visits(2400), 24):
        before = store.units.writes + store.units.reads
        ingest(store, batch)
        costs.append(store.units.writes + store.units.reads - before)
    early, late = costs[8:25], costs[-50:]
    assert sum(late) / len(late) < 1.15 * sum(early) / len(early)


def test_events_out_of_order_and_in_large_batches_give_the_same_lists(dynamo):
    dynamo.reset()
    random = Random(1)
    events = visits(700)
    random.shuffle(events)
    batches = batches_of(events[:500], 125) + batches_of(events[500:], 7)
    for batch in batches:
        ingest(dynamo.store(BUILDER, cache=random.random() < 0.5), batch)
    assert lines(dynamo, BUILDER) == expected_lines(batches)
    assert_tidy(dynamo)


def test_a_memory_beyond_its_maximum_still_tells_duplicates_and_forgets_the_oldest(dynamo):
    dynamo.reset()
    events = visits(REMEMBERED_MAX + 400, pages=0)
    store = dynamo.store(BUILDER)
    for batch in batches_of(events, 50):
        ingest(store, batch)
    again = ingest(dynamo.store(BUILDER, cache=False), events[-REMEMBERED_MAX:])
    assert again.tally["events_duplicate"] == REMEMBERED_MAX
    [profile] = live(dynamo, BUILDER)
    assert profile.event_count == len(events)
    assert sorted(profile.memory.traces()) == sorted(
        (one.arrival // 60_000, one.hash) for one in sorted(events, key=_trace)[-REMEMBERED_MAX:]
    )
    forgotten = sorted(events, key=_trace)[:10]
    assert ingest(store, forgotten).tally["events_folded"] == 10
    assert_tidy(dynamo)


def test_a_batch_that_touches_many_profiles_loads_and_writes_the_segments_of_each_once(dynamo):
    dynamo.reset()
    people = [f"u{number}" for number in range(4)]
    calls, loaded = [], []

    def count(name, arguments, call):
        calls.append(name)
        return call(**arguments)

    batches = [
        [one for user in people for one in visits(60, start, user=user, anonymousId=f"c-{user}")]
        for start in (0, 60)
    ]
    for batch in batches:
        calls.clear()
        store = dynamo.store(BUILDER, FaultyClient(dynamo.client, count))
        with patch.object(store, "load", wraps=store.load) as load:
            ingest(store, batch)
        loaded += [call.args[1].id for call in load.call_args_list]
        assert calls.count("batch_execute_statement") == 1
    assert sorted(loaded) == sorted(one.id for one in live(dynamo, BUILDER))
    assert lines(dynamo, BUILDER) == expected_lines(batches)
    assert_tidy(dynamo)


def _trace(contribution):
    return contribution.arrival // 60_000, contribution.hash


def test_two_long_histories_merge_into_one(dynamo):
    dynamo.reset()
    first, second = visits(150, user="a"), visits(150, start=150, user="b")
    link = contributions_of(
        BUILDER,
        [
            an_event(messageId=f"link-{user}", arrival=T0 + 400 * SECOND, userId=user, anonymousId="shared")
            for user in "ab"
        ],
    )
    batches = [*batches_of(first, 10), *batches_of(second, 10), link]
    store = dynamo.store(BUILDER)
    for batch in batches:
        ingest(store, batch)
    assert len(live(dynamo, BUILDER)) == 1
    assert lines(dynamo, BUILDER) == expected_lines(batches)
    assert_consistent(dynamo, BUILDER)
    assert_tidy(dynamo)


def test_a_profile_too_large_for_an_item_overflows_into_chunks(dynamo):
    dynamo.reset()
    random = Random(2)
    noise = [random.randbytes(45_000).hex() for _ in range(6)]
    wide = contributions_of(
        BUILDER,
        [
            an_event(
                messageId=f"wide-{number}",
                arrival=T0 + number,
                userId="u",
                type="identify",
                traits={f"trait-{number % 5}": noise[number]},
            )
            for number in range(6)
        ],
    )
    batches = batches_of(wide, 1)
    for batch in batches:
        ingest(dynamo.store(BUILDER, cache=False), batch)
    assert "chunks" in profile_item(dynamo)
    assert lines(dynamo, BUILDER) == expected_lines(batches)
    assert_tidy(dynamo, is_known=False)


def test_one_enormous_value_in_a_list_stays_readable(dynamo):
    dynamo.reset()
    noise = Random(3).randbytes(100_000).hex()
    events = visits(40)
    events[20:21] = contributions_of(
        BUILDER,
        [
            an_event(
                messageId="huge", arrival=T0 + 20_500, userId="u", type="track", properties={"page": noise}
            )
        ],
    )
    batches = batches_of(events, 5)
    for batch in batches:
        ingest(dynamo.store(BUILDER), batch)
    assert lines(dynamo, BUILDER) == expected_lines(batches)


def test_a_profile_that_outgrows_its_maximum_is_broken_with_all_that_belongs_to_it(dynamo):
    dynamo.reset()
    store = dynamo.store(BUILDER)
    large = visits(120, pages=0, context={"filler": "x"})
    noise = [Random(number).randbytes(3000).hex() for number in range(100)]
    wide = contributions_of(
        BUILDER,
        [
            an_event(
                messageId=f"wide-{number}",
                arrival=T0 + 200_000 + number,
                userId="u",
                type="track",
                properties={"page": text},
            )
            for number, text in enumerate(noise)
        ],
    )
    batches = batches_of([*large, *wide], 10)
    tally = Counter()
    for batch in batches:
        tally.update(ingest(store, batch).tally)
    assert tally["profiles_broken"] == 1
    assert lines(dynamo, BUILDER) == expected_lines(batches)
    assert_consistent(dynamo, BUILDER)
    assert_tidy(dynamo)


def profile_item(world):
    [item] = [one for one in world.items(world.profiles_table) if one["sk"]["S"] == "profile"]
    return item


def assert_tidy(world, *, is_known=True):
    """All listed segments are there; and where processes knew what they replaced, no others are."""
    listed = set()
    store = world.store(BUILDER, cache=False)
    items = world.items(world.profiles_table)
    ids = [item["pk"]["S"].rpartition("#")[2] for item in items if item["sk"]["S"] == "profile"]
    for profile in store.profiles(ids, fresh=True).values():
        if isinstance(profile, Profile):
            listed.update(map(body_of, missing_segments(BUILDER, profile)))
    for item in items:
        listed.update(wire["S"] for wire in item.get("chunks", {"L": []})["L"])
    there = {item["sk"]["S"].removeprefix("body#") for item in items if item["sk"]["S"].startswith("body#")}
    assert listed <= there
    if is_known:
        assert there == listed
