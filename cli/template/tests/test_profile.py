"""Tests of the profile function: `kith test` runs them. docs/transformations.md lists what it gives them."""


def test_who_buys_twice_is_loyal(profile, samples):
    assert profile(samples)["traits"]["is_loyal"]
    assert not profile(samples[:3])["traits"]["is_loyal"]


def test_what_is_bought_most_is_the_favourite(profile):
    bought = {"event": "Order Completed", "properties": {"products": [{"name": "tea"}, {"name": "tea"}]}}
    other = {"event": "Order Completed", "properties": {"products": [{"name": "cups"}]}}
    assert profile([bought, other])["traits"]["favourite_product"] == "tea"
