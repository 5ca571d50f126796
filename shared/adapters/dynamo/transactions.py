"""A structural plan as one transaction: all of it happens, or nothing."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from shared.adapters.dynamo.access import Access
from shared.adapters.dynamo.client import Action, CanceledError, Change, Condition, chunks
from shared.adapters.dynamo.items import PARKED
from shared.adapters.dynamo.units import size_of
from shared.adapters.dynamo.wire import Item
from shared.core.snapshot import Tombstone
from shared.core.writes import Plan, Point

TRANSACTION_BYTES_MAX: Final = 3 * 1024 * 1024
"""Of DynamoDB's 4 MB; pointers and tombstones take the rest."""
OPERANDS_MAX: Final = 100
"""Of one IN."""
LOST_RACE: Final = frozenset({"ConditionalCheckFailed", "TransactionConflict"})

ABSENT: Final = Condition("attribute_not_exists(pk)")


def at_revision(expected: int | None) -> Condition:
    """Require that a profile item is stored at a revision, or (None) that there is none.

    Whatever is parked beside it: that changes no revision.
    """
    return ABSENT if expected is None else Condition("rev = :rev", {":rev": {"N": str(expected)}})


def as_seen(expected: int | None, beside: Collection[str]) -> Condition:
    """Require besides that the item lists the deltas that were seen, and no others.

    At one revision the list only grows: what takes anything off it is a new one. So it is as it was if it is
    as long as it was.
    """
    at, values = at_revision(expected)
    if expected is None:
        return ABSENT
    if not beside:
        return Condition(f"{at} AND attribute_not_exists({PARKED})", values)
    return Condition(f"{at} AND size({PARKED}) = :parked", {**values, ":parked": {"N": str(len(beside))}})


def leading_to(ids: Iterable[str]) -> Condition:
    """Require that a pointer leads to one of these profiles."""
    operands = {f":p{at}": {"S": one} for at, one in enumerate(dict.fromkeys(ids))}
    lists = [f"profile_id IN ({', '.join(names)})" for names in chunks(list(operands), OPERANDS_MAX)]
    return Condition(" OR ".join(lists), operands)


def may_point(point: Point) -> Condition:
    """Require that a pointer is absent, or leads where it is expected.

    One that leads already where it should was not expected: whoever planned that had not seen it, and may
    have counted again what its profile has counted.
    """
    if not point.expected:
        return ABSENT
    expected = leading_to(point.expected)
    return Condition(f"{ABSENT.expression} OR {expected.expression}", expected.values)


def item_bytes_max(plan: Plan, alone_max: int) -> int:
    """Return how large a profile's item may be, so that the transaction stays within its limit."""
    items = len(plan.puts) + len(plan.removes) + len(plan.buries)
    return min(alone_max, TRANSACTION_BYTES_MAX // max(items, 1))


def actions_of(
    plan: Plan,
    puts: Sequence[tuple[Item | Change, Condition, int]],
    access: Access,
    sizes: Mapping[str, int],
    grave_until: int,
) -> list[tuple[str | None, Action]]:
    """Return the actions of a plan, each with the id of the profile whose revision it requires, if it does.

    `puts` holds for each of the plan's profiles what is written, on which condition, its size; `sizes` what
    is known to be stored by id, in bytes. Tombstones may go at `grave_until`, ms UTC.
    """
    _, _, tables, keyspace, items, _ = access
    actions: list[tuple[str | None, Action]] = []

    def act(verb: str, profile_id: str, target: Item | Change, condition: Condition, size: int = 0) -> None:
        size = max(size, sizes.get(profile_id, 0))
        actions.append((profile_id, Action(verb, tables.profiles, target, condition, size)))

    for put, (target, condition, size) in zip(plan.puts, puts, strict=True):
        act("Update" if isinstance(target, Change) else "Put", put.profile.id, target, condition, size)
    for bury in plan.buries:
        item = items.tombstone(bury.tombstone, grave_until)
        act("Put", bury.tombstone.id, item, as_seen(bury.expected, bury.beside), size_of(item))
    for remove in plan.removes:
        if remove.redirect is None:
            # Not a deletion, which costs the same: a creation that is late must not find the place empty.
            item = items.tombstone(Tombstone(remove.profile.id, remove.rev, ()), grave_until)
        else:
            item = items.redirect(remove)
        condition = as_seen(remove.expected, remove.profile.parked)
        act("Put", remove.profile.id, item, condition, size_of(item))
    for profile_id, rev in plan.checks.items():  # of what is not written: a transaction names each item once
        act("ConditionCheck", profile_id, keyspace.profile(profile_id), at_revision(rev))
    for point in plan.points:
        item = items.pointer(point, point.until)
        actions.append((None, Action("Put", tables.identifiers, item, may_point(point), size_of(item))))
    for point in plan.astray:
        item = items.pointer(point, grave_until)
        actions.append((None, Action("Put", tables.identifiers, item, may_point(point), size_of(item))))
    return actions


def is_lost_race(error: CanceledError) -> bool:
    """Whether a transaction was canceled because others were faster, rather than throttled or refused."""
    return any(code in LOST_RACE for code, _ in error.reasons)


def removed(plan: Plan) -> list[tuple[str, int | None]]:
    """Return the ids that a plan buries or removes, with the revisions that are stored."""
    buried: list[tuple[str, int | None]] = [(one.tombstone.id, one.expected) for one in plan.buries]
    return buried + [(one.profile.id, one.expected) for one in plan.removes]


def reason_of(error: CanceledError) -> str:
    """Say why a transaction was canceled, without any value of an item."""
    return "/".join(sorted({code for code, _ in error.reasons if code != "None"}))
