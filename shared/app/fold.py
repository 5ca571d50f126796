"""Folding files: lines of events in, finished profiles out, on the engine that runs live and without a store.

    scan (lines -> contributions, by their identifiers) -> link (who may be one person) -> fold (each alone)

Neither the order of files and lines nor how the work is split changes the result: events are taken in order
of arrival, and an event that has neither an id nor a timestamp is named by what its line says.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar

import msgspec

from shared.app.reading import DROPPED, Postponed, Transformer
from shared.core.compile import Builder, Contribution, Dropped
from shared.core.containers import UnreadableError, decode_object
from shared.core.event import Event, Position, arrival_of, event_of
from shared.core.identity.grouping import Components
from shared.core.identity.identifiers import Identifier
from shared.core.plan import plan
from shared.core.profile import canonical
from shared.core.snapshot import Snapshot

NO_ARRIVAL: Final = "no_arrival"
"""Why a line is rejected that neither `receivedAt` nor `timestamp` dates."""

TRANSFORMED_TOGETHER: Final = 1000
"""Events given to a transformation at once: those that are to be tried again wait together."""

_FILE: Final = Position("file", "line", 0)
_UNNAMED: Final = "/".join(map(str, _FILE))
"""The event id that comes of the position alone, which says nothing in a file: see `_id_of`."""

_ARRIVAL_OF: Final = attrgetter("arrival")

_Group = TypeVar("_Group", bound=tuple[Hashable, ...])

Identifiers = tuple[Identifier, ...]
Groups = dict[Identifiers, list[Contribution]]
"""Contributions by their identifiers: there are far fewer of these than events."""


class Rejected(NamedTuple):
    """A line that is no event with an arrival, or whose transformation failed; lines count from 1."""

    line: int
    reason: str
    data: bytes
    detail: str = ""


class Scan(msgspec.Struct):
    """What was read so far: `lines` are those of the current file or part of a file."""

    groups: Groups = {}
    rejected: list[Rejected] = []
    lines: int = 0
    tally: Counter[str] = msgspec.field(default_factory=Counter)


class Finished(NamedTuple):
    """A live profile at the end of all events: its id, and its canonical form."""

    profile_id: str
    line: bytes


def scan(
    builder: Builder, lines: Iterable[bytes], into: Scan, transformer: Transformer | None = None
) -> None:
    """Read lines of one event each; blank lines are none. Never raises for what a line says."""
    if transformer is not None:
        _scan_transformed(builder, lines, into, transformer)
        return
    groups, tally = into.groups, into.tally
    # By the identity of the tuple: the builder gives the same one again and again, and hashing what it holds
    # takes longer. The contributions keep the tuples, so no other can take an identity over.
    group_of: dict[int, list[Contribution]] = {}
    number = read = 0
    for number, line in enumerate(lines, 1):
        contribution = builder.read(line, None, _FILE, tally)
        if contribution is None:
            contribution = _read_whole(builder, line, number, into)
            if contribution is None:
                continue
        read += 1
        if isinstance(contribution, Dropped):
            tally[f"events_dropped.{contribution.reason}"] += 1
            continue
        group = group_of.get(id(contribution.identifiers))
        if group is None:
            group = group_of[id(contribution.identifiers)] = groups.setdefault(contribution.identifiers, [])
        group.append(contribution)
    into.lines += number
    tally["events_in"] += read


def _scan_transformed(builder: Builder, lines: Iterable[bytes], into: Scan, transformer: Transformer) -> None:
    numbered = iter(enumerate(lines, 1))
    while some := list(islice(numbered, TRANSFORMED_TOGETHER)):
        read = [
            (number, line, event)
            for number, line in some
            if (event := _event_of(line, number, into)) is not None
        ]
        results = transformer.run([event for _, _, event in read])
        into.lines += len(some)
        into.tally["events_in"] += len(read)
        for (number, line, _), result in zip(read, results, strict=True):
            if isinstance(result, list):
                _take(builder, result, into)
            else:
                one = result.rejection if isinstance(result, Postponed) else result
                into.rejected.append(Rejected(number, one.reason, line.strip(), one.detail))


def _take(builder: Builder, events: Sequence[Event], into: Scan) -> None:
    """Take up what a transformation made of one event."""
    if not events:
        into.tally[f"events_dropped.{DROPPED}"] += 1
    elif len(events) > 1:
        into.tally["events_fanned_out"] += len(events) - 1
    for event in events:
        contribution = builder.contribute(event, into.tally)
        if isinstance(contribution, Dropped):
            into.tally[f"events_dropped.{contribution.reason}"] += 1
        else:
            into.groups.setdefault(contribution.identifiers, []).append(contribution)


def _read_whole(builder: Builder, line: bytes, number: int, into: Scan) -> Contribution | Dropped | None:
    """Read a line that is not plain; None, and perhaps one more rejected, where it is no event."""
    event = _event_of(line, number, into)
    return None if event is None else builder.contribute(event, into.tally)


def _event_of(line: bytes, number: int, into: Scan) -> Event | None:
    """Decode a line whole; None, and perhaps one more rejected, where it is no event."""
    try:
        body = decode_object(line)
    except UnreadableError as error:
        text = line.strip()
        if text:
            into.rejected.append(Rejected(number, error.reason, text))
        return None
    arrival = arrival_of(body)
    if arrival is None:
        into.rejected.append(Rejected(number, NO_ARRIVAL, line.strip()))
        return None
    event = event_of(body, len(line), arrival, _FILE)
    if event.id == _UNNAMED:
        event.id = _id_of(line)
    return event


def link(groups: Iterable[_Group]) -> list[list[_Group]]:
    """Return which groups may be one person: connected components over the identifiers they share.

    A group is named by its identifiers, or by anything hashable in place of each.
    """
    groups = list(groups)
    components = Components()
    for identifiers in groups:
        components.join(identifiers)
    linked: dict[object, list[_Group]] = {}
    for identifiers in groups:
        linked.setdefault(components.find(identifiers[0]), []).append(identifiers)
    return list(linked.values())


def fold(builder: Builder, contributions: Sequence[Contribution], tally: Counter[str]) -> list[Finished]:
    """Fold all contributions of one component, in any order, and return the profiles that are live then."""
    ended = plan(builder, _in_order(contributions), Snapshot(), rev_floor=1, actions_max=None)
    tally.update(ended.tally)
    return [Finished(put.profile.id, canonical(builder, put.profile)) for put in ended.puts]


def _id_of(line: bytes) -> str:
    """Name an event by its line: unlike its place, that is the same wherever the line stands."""
    return "line/" + blake2b(line.strip(), digest_size=16).hexdigest()


def _in_order(contributions: Sequence[Contribution]) -> list[Contribution]:
    """Sort by arrival and id; where both are equal, by what the events say, so that order is total."""
    in_order = sorted(contributions, key=_ARRIVAL_OF)
    if len({one.arrival for one in in_order}) == len(in_order):
        return in_order
    keys = Counter((one.arrival, one.key[1]) for one in in_order)

    def rank(one: Contribution) -> tuple[int, str, str]:
        key = (one.arrival, one.key[1])
        return (*key, _content(one) if keys[key] > 1 else "")

    return sorted(in_order, key=rank)


def _content(one: Contribution) -> str:
    return repr((one.key, one.identifiers, one.values, one.traits))
