"""What the Python code of a builder imports: the types of what it gets and returns, and the errors it raises.

    from kith import Context, Event, Events, ProfileResult, Result, User

    def transform(event: Event, context: Context) -> Result:
        if event.get("type") == "page":
            return "drop"
        return None

    def profile(events: Events, user: User, context: Context) -> ProfileResult:
        return {"traits": {"events": sum(1 for _ in events)}}

Importing it is never required. It imports nothing of Kith's engine, so such code runs alike in a cloud, in
`kith fold` and in tests.
"""

from collections.abc import Callable

from kith.context import Context, Fetch, Log, Metrics, ProfileBuilder, Response, Store, Warehouse
from kith.errors import FetchError, NoRetryError, RetryError, StoreError, WarehouseError
from kith.events import Event, Result
from kith.profiles import Events, ProfileFunction, ProfileResult, User

__all__ = [
    "Context",
    "Event",
    "Events",
    "Fetch",
    "FetchError",
    "Function",
    "Log",
    "Metrics",
    "NoRetryError",
    "ProfileBuilder",
    "ProfileFunction",
    "ProfileResult",
    "Response",
    "Result",
    "RetryError",
    "Store",
    "StoreError",
    "User",
    "Warehouse",
    "WarehouseError",
]

Function = Callable[[Event, Context], Result]
"""A function of a chain: `transform`, or each one of the list `chain`."""
