"""Consumers of the stream: one per version, made and removed by whoever publishes."""

from collections.abc import Mapping
from typing import Any, Protocol

Consumer = Mapping[str, Any]
"""Arguments of CreateEventSourceMapping, all but `FunctionName`."""


class Consumers(Protocol):
    """The aliases of the ingestion function and their event source mappings: one per version."""

    def ensure_alias(self, builder: str, version: int) -> None:
        """Make the version's alias, unless there is one."""

    def ensure_mapping(self, builder: str, version: int, t0: int, consumer: Consumer) -> None:
        """Make the version's mapping, from T0 (ms UTC) on, or change its settings to these."""

    def remove(self, builder: str, version: int) -> None:
        """Remove the version's mapping, then its alias, as far as there are any."""

    def remove_all(self) -> list[str]:
        """Remove all mappings, then all aliases; return the names of the aliases."""
