"""Every aggregation over every type it takes: the laws, the limits and the worked examples."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.aggregations.base import Entry, NotLoadedError, Segment, SegmentedAggregation
from shared.core.aggregations.registry import AGGREGATIONS, aggregation_of
from shared.core.aggregations.unique_list import UniqueList
from shared.core.definition import Attribute
from tests.generators import any_keyed_values, any_number, many_keyed_values
from tests.laws.kit import check_laws, check_segments, fold, oracle, shown, stored
from tests.soaking import examples

NEWEST = aggregation_of(Attribute("seen", "unique_list", "string", keep="newest"))
ALL = [*((one, "earliest") for one in AGGREGATIONS.values()), (NEWEST, "newest")]
LISTS = [one for one in ALL if isinstance(one[0], SegmentedAggregation)]
by_name = pytest.mark.parametrize(
    ("aggregation", "keep"), ALL, ids=lambda one: one if isinstance(one, str) else one.name
)
lists = pytest.mark.parametrize(
    ("aggregation", "keep"), LISTS, ids=lambda one: one if isinstance(one, str) else one.name
)


def presented(name, keyed_values):
    aggregation = AGGREGATIONS[name]
    return dict(aggregation.present(fold(aggregation, keyed_values)))


def at(time, value, event_id="e", index=0):
    return (time, event_id, index), value


@pytest.mark.parametrize(
    ("aggregation", "keep", "value_type"),
    [
        pytest.param(one, keep, value_type, id=f"{one.name}-{keep}-{value_type}")
        for one, keep in ALL
        for value_type in sorted(one.types)
    ],
)
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_the_laws_hold_for(aggregation, keep, value_type, data):
    keyed_values = data.draw(any_keyed_values(value_type))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(keyed_values)), min_size=2, max_size=2)))
    parts = keyed_values[: cuts[0]], keyed_values[cuts[0] : cuts[1]], keyed_values[cuts[1] :]
    check_laws(aggregation, parts, data.draw(st.permutations(keyed_values)), keep)


@lists
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(), distinct=st.sampled_from([900, 1500, 10**6]))
def test_lists_over_their_limit_keep_the_laws(aggregation, keep, seed, distinct):
    many = many_keyed_values(seed, 4500, distinct)
    parts = many[:1400], many[1400:1500], many[1500:]
    whole = oracle(aggregation, many, keep)
    assert shown(aggregation, fold(aggregation, many)) == whole
    states = [fold(aggregation, part) for part in parts]
    merged = aggregation.merge(aggregation.merge(states[2], states[0]), states[1])
    assert shown(aggregation, stored(aggregation, merged)) == whole
    check_segments(aggregation, parts, keep, left_in_item=100)


@lists
@settings(max_examples=4, deadline=None)
@given(seed=st.integers())
def test_reducing_parts_first_gives_what_reducing_all_gives(aggregation, keep, seed):
    del keep
    entries = [Entry(*keyed) for keyed in many_keyed_values(seed, 3600, 2000)]
    parts = aggregation.reduce(entries[:1200]), aggregation.reduce(entries[1200:])
    assert aggregation.reduce([*parts[0], *parts[1]]) == aggregation.reduce(entries)


@lists
def test_a_full_list_presents_1000_values_and_holds_fewer_than_2000(aggregation, keep):
    del keep
    state = None
    for number in range(10_000):
        state = aggregation.add(state, [(number, "e", 0)], [number])
        held = state.keys if isinstance(aggregation, UniqueList) else state.entries
        assert len(held) < 2000
    [(_, values)] = aggregation.present(state)
    assert len(values) == 1000


@lists
def test_a_list_whose_segments_are_missing_is_neither_presented_nor_merged_away(aggregation, keep):
    del keep
    state = fold(aggregation, [at(1, "a"), at(2, "b")])
    state, spilt = aggregation.spill(state, 1)
    state.segments += (Segment("s1", len(spilt), 0),)
    with pytest.raises(NotLoadedError) as caught:
        list(aggregation.present(state))
    assert caught.value.names == ["s1"]
    for other in (None, fold(aggregation, [at(3, "c")])):
        with pytest.raises(NotLoadedError):
            aggregation.merge(other, state)


@lists
def test_live_values_merge_into_a_list_whose_segments_are_missing(aggregation, keep):
    state, spilt = aggregation.spill(fold(aggregation, [at(1, "a"), at(2, "b")]), 1)
    state.segments += (Segment("s1", len(spilt), 0),)
    state = aggregation.merge(state, fold(aggregation, [at(3, "a"), at(0, "b")]))
    state = aggregation.extend(state, spilt, {"s1"})
    assert shown(aggregation, state) == oracle(
        aggregation, [at(1, "a"), at(2, "b"), at(3, "a"), at(0, "b")], keep
    )


@lists
def test_spilling_leaves_the_newest_and_takes_the_others(aggregation, keep):
    del keep
    state = fold(aggregation, [at(time, f"v{time}") for time in (3, 1, 4, 2)])
    state, spilt = aggregation.spill(state, 0)
    assert [entry.key[0] for entry in spilt] == [1, 2, 3, 4]
    state, spilt = aggregation.spill(aggregation.extend(state, spilt, ()), 3)
    assert spilt == [Entry((1, "e", 0), "v1")]
    state, spilt = aggregation.spill(state, 3)
    assert spilt == []
    [(_, values)] = aggregation.present(state)
    assert len(values) == 3


@pytest.mark.parametrize("name", ["first", "last", "first_last", "list"])
def test_ties_of_event_time_are_broken_by_event_id_and_then_by_index(name):
    tied = [at(5, "3rd", "b", 0), at(5, "2nd", "a", 1), at(5, "1st", "a", 0)]
    for rotation in range(3):
        values = presented(name, tied[rotation:] + tied[:rotation])
        assert (
            values
            == {
                "first": {"": "1st"},
                "last": {"": "3rd"},
                "first_last": {"_first": "1st", "_last": "3rd"},
                "list": {"": [Entry(*keyed) for keyed in reversed(tied)]},
            }[name]
        )


def test_a_late_event_never_replaces_a_newer_value():
    assert presented("last", [at(2, "new"), at(1, "late")]) == {"": "new"}


def test_unique_lists_order_by_first_occurrence_or_by_last():
    visits = [at(1, "a"), at(2, "b"), at(3, "a"), at(4, "c")]
    assert presented("unique_list", visits) == {"": ["a", "b", "c"]}
    assert dict(NEWEST.present(fold(NEWEST, visits))) == {"": ["b", "a", "c"]}


@pytest.mark.parametrize("name", ["first", "last", "first_last", "list", "unique_list"])
def test_booleans_stay_booleans(name):
    aggregation = AGGREGATIONS[name]
    state = stored(aggregation, fold(aggregation, [at(1, True), at(2, False)]))  # noqa: FBT003 - a value
    for _, value in aggregation.present(state):
        for one in value if isinstance(value, list) else [value]:
            assert type(one.value if isinstance(one, Entry) else one) is bool


def test_sums_are_canonical():
    total = presented("sum", [at(1, Decimal("2.5")), at(2, Decimal("2.5"))])[""]
    assert (type(total), total) == (int, 5)
    total = presented("sum", [at(1, Decimal("0.1")), at(2, Decimal("-0.1"))])[""]
    assert repr(total) == "0"


@settings(max_examples=50, deadline=None)
@given(st.lists(any_number(), min_size=1, max_size=30))
def test_sums_are_exact_whatever_the_number_of_digits(numbers):
    keyed_values = [at(time, number) for time, number in enumerate(numbers)]
    total = presented("sum", keyed_values)
    assert {"": (type(total[""]), total[""])} == oracle(AGGREGATIONS["sum"], keyed_values, "")


def test_a_sum_over_38_digits_is_stored_as_its_text_and_goes_on_exactly():
    added = AGGREGATIONS["sum"]
    state = fold(added, [at(1, 10**38 - 1), at(2, Decimal("0.01"))])
    readable, rest = added.split(state)
    assert (readable, rest) == ({"": "9" * 38 + ".01"}, None)
    state = added.add(stored(added, state), [(3, "e", 0)], [Decimal("-0.01")])
    assert dict(added.present(state)) == {"": 10**38 - 1}
    assert added.split(state)[0] == {"": 10**38 - 1}


def test_ten_thousand_cents_are_a_hundred_exactly():
    assert presented("sum", [at(time, Decimal("0.01")) for time in range(10_000)]) == {"": 100}


@by_name
def test_an_aggregation_says_which_suffixes_it_presents(aggregation, keep):
    del keep
    state = fold(aggregation, [at(1, 7)])
    assert tuple(suffix for suffix, _ in aggregation.present(state)) == aggregation.suffixes


def test_the_matrix_of_types_is_the_reference():
    everything = {"string", "number", "boolean", "datetime", "ip"}
    assert {name: set(one.types) for name, one in AGGREGATIONS.items()} == {
        **dict.fromkeys(["first", "last", "first_last", "list", "unique_list", "count"], everything),
        "min": {"number", "datetime"},
        "max": {"number", "datetime"},
        "sum": {"number"},
    }
    assert {name for name, one in AGGREGATIONS.items() if one.takes_arrays} == {"list", "unique_list"}


def test_the_worked_example_of_an_order():
    before, event = 1, 2
    assert presented("first_last", [at(before, "email"), at(event, "social")]) == {
        "_first": "email",
        "_last": "social",
    }
    pages = presented("list", [at(before, "/home"), at(event, "/products")])[""]
    assert [entry.value for entry in pages] == ["/home", "/products"]
    assert presented("sum", [at(before, 25), at(event, 50)]) == {"": 75}


def test_the_worked_example_of_a_cumulative_total():
    total = presented("sum", [at(1, Decimal("125.5")), at(2, Decimal("75.25"))])[""]
    assert total == Decimal("200.75")


def test_shuffling_a_long_history_changes_nothing():
    history = many_keyed_values(7, 3000, 1200)
    for aggregation, keep in ALL:
        if "string" in aggregation.types:
            whole = oracle(aggregation, history, keep)
            assert shown(aggregation, fold(aggregation, history)) == whole
            assert shown(aggregation, fold(aggregation, history[::-1])) == whole
