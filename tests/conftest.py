"""How tests share the cores: those of a file stay together, and so do all that need the local cloud."""

import pytest

from tests.docs.console import ROOT

END_TO_END = ROOT / "tests" / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what shares fixtures into one group, and the longest group first: the others fill the time."""
    items.sort(key=lambda item: END_TO_END not in item.path.parents)
    for item in items:
        is_on_cloud = END_TO_END in item.path.parents
        item.add_marker(pytest.mark.xdist_group("cloud" if is_on_cloud else str(item.path)))
