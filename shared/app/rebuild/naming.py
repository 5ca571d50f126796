"""Names: the ids that finished profiles take over from the active version, and what else goes with them.

A profile takes the id and the founder of the active profile whose founder it contains; of several, those of
the oldest. An identifier belongs to one profile, so no two take the same, and after a split exactly one part
keeps the id. An id is made of its founder, which goes with it: no other profile can ever be given it.
"""

from collections.abc import Collection
from typing import Final

import msgspec
from msgspec.structs import replace

from shared.app.rebuild.build import BuildFailedError, BuildName
from shared.app.rebuild.formats import LIST_BYTES_MAX, compress, decompress, fetch
from shared.app.rebuild.ports import ActiveProfiles, Objects
from shared.core.history import Head
from shared.core.identity.identifiers import Identifier
from shared.core.snapshot import Pointer
from shared.core.writes import Plan, Point

Names = dict[Identifier, tuple[int, str]]
"""(created_at, id) of active profiles by their founders: in this order the oldest comes first."""

_DECODER: Final = msgspec.msgpack.Decoder(list[tuple[str, str, int, str]])


def choose_names(
    objects: Objects,
    name: BuildName,
    partition: int,
    identifiers: Collection[Identifier],
    active: ActiveProfiles | None,
    t0: int,
) -> Names:
    """Return the active profiles whose founders are among some identifiers: as they were found first.

    The active version goes on while it is replaced. What a worker saw is what its retries and its twins see,
    so that no profile is ever written under two ids.
    """
    key = name.names(partition)
    found = objects.get(key)
    if found is None:
        owners = {} if active is None else active.owners(identifiers, t0)
        # A founder leads to its profile, like all of a profile's identifiers. A life that began since T0 is
        # none of those that are replayed, but a later one of theirs.
        rows = sorted(
            (*one, owner.created_at, owner.profile_id)
            for one, owner in owners.items()
            if owner.founder == one and owner.created_at < t0
        )
        objects.put_if_absent(key, compress(msgspec.msgpack.encode(rows)))
        data = fetch(objects, key)
    else:
        data = found[0]
    try:
        chosen = _DECODER.decode(decompress(data, key, LIST_BYTES_MAX))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BuildFailedError(f"{key} is damaged") from error
    return {
        Identifier(kind, value): (created_at, profile_id) for kind, value, created_at, profile_id in chosen
    }


def give_names(plan: Plan, names: Names) -> None:
    """Give the live profiles that a component ends with the ids they take over."""
    moved: dict[str, str] = {}
    for put in plan.puts:
        profile = put.profile
        mine = [(*names[one], one) for one in profile.identifiers if one in names]
        if mine:
            _, new, profile.founder = min(mine)
            if new != profile.id:
                # An earlier life of the same founder may have that id: it gets the one that is free now.
                moved[profile.id], moved[new] = new, profile.id
                # Its chunks will be beside it: a profile that is replayed has no others.
                profile.heads = tuple([Head(new, one.name) for one in profile.heads])
                profile.id = new
    if not moved:
        return
    if len({put.profile.id for put in plan.puts}) < len(plan.puts):
        raise BuildFailedError("two profiles would have one id")
    plan.points = [_moved(one, moved) for one in plan.points]
    plan.released = [_moved(one, moved) for one in plan.released]
    plan.buries = [
        one._replace(tombstone=replace(one.tombstone, id=moved.get(one.tombstone.id, one.tombstone.id)))
        for one in plan.buries
    ]


def _moved(point: Point, moved: dict[str, str]) -> Point:
    profile_id, first_seen = point.pointer
    return point._replace(pointer=Pointer(moved.get(profile_id, profile_id), first_seen))
