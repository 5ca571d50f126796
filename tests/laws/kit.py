"""The laws of `shared/core/aggregations/base.py`, checked for one aggregation on given values."""

from collections.abc import Sequence
from typing import Any

import msgspec

from shared.core.aggregations.base import Aggregation, Entry, Keyed, Segment, SegmentedAggregation
from tests.laws.oracle import expected

IDEMPOTENT = {"first", "last", "first_last", "unique_list", "min", "max"}
"""Merging a state with itself changes nothing: equal keys or equal values count once."""


def fold(aggregation: Aggregation, keyed_values: Sequence[Keyed], state: Any = None) -> Any:
    for key, value in keyed_values:
        state = aggregation.add(state, [key], [value])
    return state


def added(aggregation: Aggregation, state: Any, keyed_values: Sequence[Keyed]) -> Any:
    """Return the state with some values, at least one, added at once."""
    keys, values = zip(*sorted(keyed_values), strict=True)
    return aggregation.add(state, keys, values)


def shown(aggregation: Aggregation, state: Any) -> Any:
    """Return what is presented, so that 1, True and Decimal("1.0") differ."""
    return (
        None if state is None else {suffix: _exactly(value) for suffix, value in aggregation.present(state)}
    )


def oracle(aggregation: Aggregation, keyed_values: Sequence[Keyed], keep: str) -> Any:
    if not keyed_values:
        return None
    presented = expected(aggregation.name, keyed_values, keep=keep)
    return {suffix: _exactly(value) for suffix, value in presented.items()}


def stored(aggregation: Aggregation, state: Any) -> Any:
    """Take a state through what a store does to it: it keeps of a list's readable part value and time."""
    readable, rest = aggregation.split(state)
    assert tuple(readable) == aggregation.suffixes
    read = {suffix: _as_read(value) for suffix, value in readable.items()}
    return aggregation.join(read, msgspec.msgpack.decode(msgspec.msgpack.encode(rest)))


def check_laws(
    aggregation: Aggregation,
    parts: tuple[Sequence[Keyed], Sequence[Keyed], Sequence[Keyed]],
    shuffled: Sequence[Keyed],
    keep: str = "earliest",
) -> None:
    """Check all laws on three parts of a set of values; `shuffled` is the whole set in any order."""
    _check_merging(aggregation, *parts)
    _check_oracle(aggregation, parts, shuffled, keep)
    _check_storing(aggregation, *parts)
    _check_sharing(aggregation, *parts[:2])
    if isinstance(aggregation, SegmentedAggregation):
        check_segments(aggregation, parts, keep)


def _check_merging(aggregation, a, b, c):
    def state(part):  # a new one each time: merging may use up its first argument
        return fold(aggregation, part)

    def same(left, right):
        # Now, and after any further merge.
        assert shown(aggregation, left) == shown(aggregation, right)
        left, right = merge(left, state(c)), merge(right, state(c))
        assert shown(aggregation, left) == shown(aggregation, right)

    merge = aggregation.merge
    same(merge(state(a), None), state(a))
    same(merge(None, state(a)), state(a))
    same(merge(state(a), state(b)), merge(state(b), state(a)))
    left = merge(merge(state(a), state(b)), state(c))
    right = merge(state(a), merge(state(b), state(c)))
    assert shown(aggregation, left) == shown(aggregation, right)
    if b:
        same(added(aggregation, state(a), b), fold(aggregation, b, state(a)))
    for key, value in b[:1]:
        same(
            aggregation.add(state(a), [key], [value]), merge(state(a), aggregation.add(None, [key], [value]))
        )
    if aggregation.name in IDEMPOTENT:
        same(merge(state(a), state(a)), state(a))


def _check_oracle(aggregation, parts, shuffled, keep):
    whole = oracle(aggregation, shuffled, keep)
    assert shown(aggregation, fold(aggregation, shuffled)) == whole
    merged = None
    for part in parts:
        merged = aggregation.merge(merged, fold(aggregation, part))
    assert shown(aggregation, merged) == whole


def _check_storing(aggregation, a, b, c):
    if not a:
        return
    state = fold(aggregation, a)
    assert shown(aggregation, stored(aggregation, state)) == shown(aggregation, state)
    # What comes back from the store goes on as if it had never been there.
    resumed = aggregation.merge(stored(aggregation, state), fold(aggregation, b))
    if c:
        resumed = fold(aggregation, c, stored(aggregation, resumed))
    assert shown(aggregation, resumed) == shown(aggregation, fold(aggregation, [*a, *b, *c]))


def _check_sharing(aggregation, a, b):
    if not a or not b:
        return
    first, second = fold(aggregation, a), fold(aggregation, b)
    before = shown(aggregation, first), shown(aggregation, second)
    fold(aggregation, b, aggregation.copy(first))
    aggregation.merge(aggregation.copy(first), second)
    fold(aggregation, a, aggregation.merge(None, second))
    assert (shown(aggregation, first), shown(aggregation, second)) == before


def check_segments(aggregation, parts, keep, left_in_item=1):
    """Check that spilling after each part, merging segments and loading them lose nothing."""
    segments: dict[str, list[Entry]] = {}
    state = None
    for number, part in enumerate(parts):
        state = fold(aggregation, part, state)
        if state is None:
            continue
        state, spilt = aggregation.spill(state, left_in_item)
        if spilt:
            segments[f"s{number}"] = spilt
            state.segments += (Segment(f"s{number}", len(spilt), 0),)
        state = stored(aggregation, state)
    if state is None:
        return
    assert {segment.name for segment in state.segments} == set(segments)
    loaded = [entry for entries in segments.values() for entry in entries]
    whole = oracle(aggregation, [keyed for part in parts for keyed in part], keep)
    # Both ways of loading: each segment for itself, or all merged into one before.
    merged = aggregation.extend(aggregation.copy(state), aggregation.reduce(loaded), set(segments))
    for name, entries in segments.items():
        state = aggregation.extend(state, entries, {name})
    assert shown(aggregation, state) == shown(aggregation, merged) == whole


def _exactly(value):
    if isinstance(value, list):
        return [_exactly(one) for one in value]
    return tuple(map(_exactly, value)) if isinstance(value, tuple) else (type(value), value)


def _as_read(value):
    if isinstance(value, list):
        return [_as_read(one) for one in value]
    return Entry((value.key[0], "", 0), value.value) if isinstance(value, Entry) else value
