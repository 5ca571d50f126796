"""What user code reaches the network with, made when it is used for the first time: most code never does."""

from collections.abc import Callable, Mapping
from typing import Any

from kith import Fetch, Warehouse
from shared.core.fetch_rules import FetchRules
from shared.core.user_context import no_fetch, no_warehouse


def network_tools(
    rules: FetchRules | None, urls: Mapping[str, str]
) -> tuple[Fetch, Callable[[str], Warehouse]]:
    """Return what fetches by these rules, and what finds a warehouse among these URLs."""
    return _fetch(rules), _warehouse(urls)


def _fetch(rules: FetchRules | None) -> Fetch:
    if rules is None:
        return no_fetch
    kept: list[Fetch] = []

    def fetch(url: str, /, **options: Any) -> Any:
        if not kept:
            from shared.adapters.fetching import Fetcher  # noqa: PLC0415 - it takes long to import

            kept.append(Fetcher(rules))
        return kept[0](url, **options)

    return fetch


def _warehouse(urls: Mapping[str, str]) -> Callable[[str], Warehouse]:
    kept: dict[str, Warehouse] = {}

    def find(name: str) -> Warehouse:
        if name not in urls:
            no_warehouse(name)
        if name not in kept:
            from shared.adapters.warehouses import SqlWarehouse  # noqa: PLC0415 - it takes long to import

            kept[name] = SqlWarehouse(urls[name])
        return kept[name]

    return find
