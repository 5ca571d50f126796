"""What is computed of all events of a profile; docs/functions.md says what the function gets."""

from collections import Counter

from kith import Context, Events, ProfileResult, User

config = {"loyal_from": 2}


def profile(events: Events, user: User, context: Context) -> ProfileResult:
    """Find what a person buys most, and whether they come back."""
    bought: Counter[str] = Counter()
    orders = 0
    for event in events:
        if event.get("event") == "Order Completed":
            orders += 1
            products = (event.get("properties") or {}).get("products") or []
            bought.update(str(one.get("name")) for one in products if isinstance(one, dict))
    context.log.debug("computed", profile=user.profile_id, orders=orders)
    favourite = max(bought, key=lambda name: (bought[name], name), default=None)
    return {"traits": {"favourite_product": favourite, "is_loyal": orders >= context.props["loyal_from"]}}
