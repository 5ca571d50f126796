"""Builders whose changes wait as drafts, read from the registry of the local cloud."""

from collections.abc import Iterator
from typing import Any

from shared import contract


def drafts(dynamodb: Any, table: str) -> Iterator[tuple[str, int]]:
    """Yield (builder, active version) of each builder that has a draft, by name."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    rows = {
        (item[contract.REGISTRY_PK]["S"], item[contract.REGISTRY_SK]["S"]): item
        for page in pages
        for item in page["Items"]
    }
    for builder, version in sorted(rows):
        active = rows.get((builder, contract.REGISTRY_ACTIVE))
        if version == contract.REGISTRY_DRAFT and active is not None:
            yield builder, int(active["active_version"]["N"])
