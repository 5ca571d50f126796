"""How tests share the cores: those of a file stay together, and so do all that need the local cloud."""

from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

END_TO_END: Final = "tests/e2e/"


class ByFixtures(LoadScopeScheduling):
    """Gives a process all tests that share what takes long to set up."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return END_TO_END if file.startswith(END_TO_END) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFixtures:
    return ByFixtures(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and mostly waits: the others fill the time."""
    items.sort(key=lambda item: not item.nodeid.startswith(END_TO_END))
