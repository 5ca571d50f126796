"""What is asked before a version is published: whether the archive covers the lives of all profiles."""

from typing import TYPE_CHECKING

from cli.errors import Failure
from shared import contract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.target import Target


def ensure_nothing_is_lost(target: "Target", builder: str) -> None:
    """Failure if profiles of the active version began before the archive does, which a rebuild would cut."""
    from cli.publishing import now_ms
    from cli.tables import counted
    from shared.app.losses import losses
    from shared.core.times import format_time

    now = now_ms()
    begins = begin_of_archive(target, now)
    if begins is None:
        return
    found = losses(_older(target, builder, begins, now))
    if found.profiles:
        raise Failure(
            f"{counted(found.profiles, 'profile')} of {builder} began before the archive does, which is kept "
            f"from {format_time(begins)} on (setting `archive_retention`): what they had before that, the "
            "new version would not have. "
            f"Some of them: {', '.join(found.some)}. To publish all the same: --accept-loss"
        )


def begin_of_archive(target: "Target", now: int) -> int | None:
    """Return since when the archive is whole (ms UTC); None if it is kept for good."""
    from shared.app.losses import archive_begins

    kept = target.output(contract.OUTPUT_ARCHIVE_RETENTION)
    return archive_begins(now, int(kept)) if kept.isdecimal() else None


def _older(target: "Target", builder: str, begins: int, now: int) -> "Iterator[str]":
    """Yield the ids of the active version's live profiles that began earlier."""
    from cli.publishing import registry_of
    from shared.adapters.dynamo.scan import profile_items, version_prefix
    from shared.core.times import format_time

    active = registry_of(target).active().get(builder)
    if active is None:
        return
    prefix = version_prefix(builder, active)
    found = profile_items(
        target.client("dynamodb"),
        target.output(contract.OUTPUT_PROFILES_TABLE),
        [prefix],
        FilterExpression=f"created_at < :begins AND {contract.TTL_ATTRIBUTE} > :now",
        ExpressionAttributeValues={
            ":begins": {"S": format_time(begins)},
            ":now": {"N": str(now // 1000)},
        },
        ProjectionExpression=contract.PROFILES_PK,
    )
    for item in found:
        yield item[contract.PROFILES_PK]["S"].removeprefix(prefix)
