"""The store of user code: values by key, each for its time, and of no other builder or version."""

from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kith import RetryError, StoreError
from shared.app.user_store import MemoryUserValues, StoreDesk, StoreUnavailableError
from shared.core.user_store import KEY_BYTES_MAX, VALUE_BYTES_MAX, Ask, UserStore, ttl_seconds

DAY_S = 86_400
LATEST = 31 * DAY_S


class Clock:
    now = 1_700_000_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def values():
    return MemoryUserValues()


@pytest.fixture
def store(values, clock):
    return UserStore(StoreDesk(values, "customers", 1, clock))


def test_a_value_is_kept_under_its_key_until_it_is_deleted(store):
    assert (store.get("k"), store.get_with_ttl("k"), store.ttl("k")) == (None, None, -2)
    store.set("k", {"a": [1, Decimal("1.10"), None, "ü"]})
    assert store.get("k") == {"a": [1, Decimal("1.10"), None, "ü"]}
    store.set("k", "other")
    assert store.get_with_ttl("k") == ("other", LATEST)
    store.delete("k")
    store.delete("k")
    assert store.get("k") is None


def test_none_is_a_value_and_another_than_none_at_all(store):
    store.set("k", None)
    assert store.get_with_ttl("k") == (None, LATEST)
    assert store.get_or_set("k", 1) is None


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [
        (None, LATEST),
        (1, 1),
        (0.1, 1),
        (90.5, 91),
        ("30s", 30),
        ("2m", 120),
        ("3h", 10_800),
        ("7d", 7 * DAY_S),
        ("2w", 14 * DAY_S),
        ("forever", -1),
        (-1, -1),
    ],
)
def test_a_time_to_live_is_seconds_or_a_text_with_its_unit(store, ttl, seconds):
    assert ttl_seconds(ttl) == seconds
    store.set("k", 1, ttl)
    assert store.ttl("k") == seconds


@pytest.mark.parametrize(
    "ttl",
    [0, -2, "", "7", "7y", "-1d", "1.5h", float("nan"), float("inf"), True, "9" * 9 + "w", [1]],
)
def test_any_other_time_to_live_is_an_error(store, ttl):
    with pytest.raises(ValueError, match="`ttl` must be"):
        store.set("k", 1, ttl)
    assert store.get("k") is None


def test_what_has_expired_is_missing_at_once_though_nothing_removed_it(store, clock, values):
    store.set("k", 1, 10)
    clock.now += 9_999
    assert store.get_with_ttl("k") == (1, 1)
    clock.now += 1
    assert (store.get("k"), store.ttl("k")) == (None, -2)
    assert values.get("customers#1#k") is not None
    assert store.get_or_set("k", 2) == 2


def test_nobody_is_told_of_more_time_than_they_gave(store, clock):
    clock.now += 1
    store.set("k", 1, 10)
    assert store.ttl("k") == 10
    clock.now += 8_500
    assert store.ttl("k") == 2
    clock.now += 2_498
    assert store.ttl("k") == 1


def test_get_or_set_keeps_the_first_and_calls_only_if_it_must(store):
    assert store.get_or_set("k", lambda: 1, "7d") == 1
    assert store.get_or_set("k", lambda: 1 / 0) == 1
    assert store.ttl("k") == 7 * DAY_S


def test_of_two_that_find_nothing_both_return_what_the_first_kept(values, clock):
    desk = StoreDesk(values, "customers", 1, clock)
    other = UserStore(desk)

    def slowly():
        other.set("k", "first")
        return "second"

    assert UserStore(desk).get_or_set("k", slowly) == "first"


@pytest.mark.parametrize("scope", [("customers", 2), ("other", 1), ("customers#1", 1)])
def test_no_other_builder_or_version_sees_a_value(values, clock, store, scope):
    store.set("k", 1)
    assert UserStore(StoreDesk(values, *scope, clock)).get("k") is None


@given(key=st.text(min_size=1, max_size=50), other=st.text(min_size=1, max_size=50))
def test_no_key_reaches_out_of_its_scope(key, other):
    values, clock = MemoryUserValues(), Clock()
    for builder, version in (("a", 1), ("a", 11), ("b", 1)):
        UserStore(StoreDesk(values, builder, version, clock)).set(key, [builder, version])
    assert UserStore(StoreDesk(values, "a", 1, clock)).get(key) == ["a", 1]
    assert key == other or UserStore(StoreDesk(values, "a", 1, clock)).get(other) is None


@pytest.mark.parametrize("key", ["", "x" * (KEY_BYTES_MAX + 1), "ü" * KEY_BYTES_MAX, 7, None, "\ud800"])
def test_a_key_is_text_of_bounded_length(store, key):
    for call in (store.get, store.delete, store.ttl, lambda one: store.set(one, 1)):
        with pytest.raises(ValueError):  # noqa: PT011 - half a surrogate pair has a text of its own
            call(key)


@pytest.mark.parametrize("value", [object(), {1: object()}, "x" * VALUE_BYTES_MAX])
def test_a_value_that_is_no_json_or_too_large_is_an_error(store, value):
    with pytest.raises((ValueError, TypeError)):
        store.set("k", value)
    assert store.get("k") is None


def test_dates_are_kept_as_text(store):
    store.set("k", date(2026, 1, 2))
    assert store.get("k") == "2026-01-02"


def test_numbers_are_kept_as_they_are_and_what_is_none_is_null(store):
    store.set("a", [Decimal(1) / 3, Decimal("NaN"), float("inf"), Decimal("-Infinity")])
    assert store.get("a") == [Decimal("0.3333333333333333333333333333"), None, None, None]


def test_whoever_goes_around_the_checks_is_checked_all_the_same(values, clock):
    desk = StoreDesk(values, "customers", 1, clock)
    large = msgspec.Raw(b'"' + b"x" * VALUE_BYTES_MAX + b'"')
    for ask in (Ask("get", ""), Ask("get", "x" * 1000), Ask("set", "k", large)):
        assert desk(ask).error == "the key or the value is too large"
    assert desk(Ask("get", "k")).ttl_s == -2


def test_a_store_that_cannot_be_reached_makes_an_event_wait(clock):
    class Away(MemoryUserValues):
        def get(self, _):
            raise StoreUnavailableError("ProvisionedThroughputExceededException")

    with pytest.raises(StoreError, match="the store cannot be reached: Provisioned") as raised:
        UserStore(StoreDesk(Away(), "customers", 1, clock)).get("k")
    assert isinstance(raised.value, RetryError)
