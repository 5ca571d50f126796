"""Aliases and event source mappings in memory."""

from collections.abc import Mapping
from typing import Any

from shared import contract


class FakeConsumers:
    def __init__(self) -> None:
        self.aliases: list[str] = []
        self.mappings: dict[str, tuple[int, dict[str, Any]]] = {}

    def ensure_alias(self, builder: str, version: int) -> None:
        name = contract.version_alias(builder, version)
        if name not in self.aliases:
            self.aliases.append(name)

    def ensure_mapping(self, builder: str, version: int, t0: int, consumer: Mapping[str, Any]) -> None:
        name = contract.version_alias(builder, version)
        assert name in self.aliases, "a mapping calls an alias that exists"
        self.mappings[name] = (t0, dict(consumer))

    def remove(self, builder: str, version: int) -> None:
        name = contract.version_alias(builder, version)
        self.mappings.pop(name, None)
        if name in self.aliases:
            self.aliases.remove(name)

    def remove_all(self) -> list[str]:
        removed, self.aliases = self.aliases, []
        self.mappings = {}
        return removed
