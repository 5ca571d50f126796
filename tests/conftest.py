"""How tests share the cores: what takes long to set up is made by one process, for all that need it."""

import faulthandler
import os
import sys
from functools import cache
from typing import Final

import botocore.session
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.soaking import soak_s

END_TO_END: Final = "tests/e2e/"
TOGETHER: Final = (END_TO_END, "tests/infra/")
"""Folders whose tests share a local cloud, or templates; elsewhere those of a file stay together."""

EXIT_S_MAX: Final = 300
"""Far longer than it takes to remove the folders of earlier runs."""

# Reading what botocore knows of a service takes most of making a client, and tests make thousands.
botocore.session.create_loader = cache(botocore.session.create_loader)


class ByFixtures(LoadScopeScheduling):
    """Gives a process all tests that share what takes long to set up."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, _ = nodeid.partition("::")
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def pytest_configure() -> None:
    """Say what is wrong with the time for soaking before hours have gone into it."""
    try:
        soak_s()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFixtures:
    return ByFixtures(config, log)


def pytest_xdist_auto_num_workers() -> int:
    """Run one process more than there are cores: the one with the local cloud mostly waits."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and mostly waits: the others fill the time."""
    items.sort(key=lambda item: not item.nodeid.startswith(END_TO_END))


def pytest_unconfigure() -> None:
    """Have a process that does not end with its tests tell what it waits for, and fail."""
    faulthandler.dump_traceback_later(EXIT_S_MAX, exit=True, file=sys.__stderr__)
