"""Tests of this builder: `kith test` runs them. docs/transformations.md lists what it gives them."""


def test_robots_are_dropped(transform):
    assert transform({"type": "page", "context": {"userAgent": "SomeBot/2.0"}}) == []


def test_totals_of_older_trackers_count(transform):
    [event] = transform({"type": "track", "event": "Order Completed", "properties": {"value": 5}})
    assert event["properties"]["total"] == 5


def test_the_samples_are_one_customer(profiles, samples):
    [profile] = profiles(samples)
    assert profile["attributes"]["orders"] == 2
    assert profile["attributes"]["total_order_value"] == 19.75
