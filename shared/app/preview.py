"""A preview: what a draft makes of events, beside what the active version makes of the very same events.

The events are sample lines, or archived ones of chosen people. Neither side reads a stored profile, so that
whatever differs comes of the definitions. Expiry is judged by arrivals, never by today's date.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, zip_longest
from operator import attrgetter
from typing import Any, Final, NamedTuple, Protocol

from shared import contract
from shared.app.fold import link
from shared.app.functions.ports import ProfileFunction
from shared.app.functions.results import compute
from shared.app.reading import Reader, Transformer
from shared.app.rebuild.replay import in_order
from shared.app.shown import Shown, differing, identifiers_of, masked, shown_of, values_of
from shared.core.archive import partition_prefix, read_object
from shared.core.compile import Builder, Contribution
from shared.core.containers import UnreadableError, decode_object
from shared.core.control import is_control
from shared.core.event import arrival_of
from shared.core.identity.grouping import Components
from shared.core.identity.identifiers import Identifier
from shared.core.plan import play, play_with_history
from shared.core.profile import Profile, canonical
from shared.core.records import Record

_PLACE: Final = "sample"
_ARRIVAL_OF: Final = attrgetter("arrival")


class Listed(Protocol):
    """An object as a listing shows it."""

    @property
    def key(self) -> str:
        """Its key."""
        ...


class ArchiveObjects(Protocol):
    """The objects of the archive."""

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """Yield the objects below a prefix, by key; only those whose key comes after `after`."""
        ...

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and its tag; None if there is no such object."""
        ...


class Side(NamedTuple):
    """A definition to run: compiled, with its transformation and its profile function if it has them.

    `mask` leaves out of what is shown what must not be seen.
    """

    builder: Builder
    transformer: Transformer | None = None
    function: ProfileFunction | None = None
    mask: Callable[[str], str] = str


class Folded(NamedTuple):
    """What a side made of the events: its profiles, and what became of the events."""

    profiles: list[Shown]
    tally: Counter[str]


class Pair(NamedTuple):
    """A profile on both sides; None on one where only the other has it."""

    active: Shown | None
    draft: Shown | None


class Change(NamedTuple):
    """A value that differs; None where there is none."""

    name: str
    active: Any
    draft: Any


def sample_records(lines: Iterable[bytes]) -> Iterator[Record]:
    """Yield lines of one event each as records that arrived at `receivedAt`, else at `timestamp`.

    Blank lines are none, nor are lines that neither dates; those that are no JSON are left for the reader.
    """
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        try:
            arrival = arrival_of(decode_object(text))
        except UnreadableError:
            arrival = 0
        if arrival is not None:
            yield Record(text, arrival, _PLACE, f"{number:012d}")


def archived_records(
    objects: ArchiveObjects, since: int, until: int, tell: Callable[[str], None] = lambda _: None
) -> Iterator[Record]:
    """Yield the archived records that arrived between two moments (ms UTC), these included.

    `tell` is called with the key of each object before it is read. Raises DamagedArchiveError.
    """
    after, last = partition_prefix(since), partition_prefix(until)
    for listed in objects.list(contract.PREFIX_EVENTS, after):
        if listed.key[: len(last)] > last:
            return
        tell(listed.key)
        found = objects.get(listed.key)
        for record in read_object(found[0]) if found else ():
            if since <= record.arrival <= until and not is_control(record.data):
                yield record


def folded(side: Side, records: Iterable[Record]) -> Folded:
    """Fold all records with one definition."""
    tally: Counter[str] = Counter()
    return _folded(side, _contributions(side, records, tally), tally)


def folded_of_people(
    sides: Sequence[Side], records: Callable[[], Iterable[Record]], wanted: Iterable[Identifier]
) -> list[Folded]:
    """Fold, with each definition, the events of whoever any of them links to the wanted identifiers.

    Reads the records again and again, until a pass links nobody more: what is kept in memory are the
    contributions of the people that are wanted, and those of one record.
    """
    people = set(wanted)
    while True:
        known = len(people)
        tallies: list[Counter[str]] = [Counter() for _ in sides]
        kept: list[list[Contribution]] = [[] for _ in sides]
        for record in records():
            for number, side in enumerate(sides):
                for one in _contributions(side, [record], tallies[number]):
                    if not people.isdisjoint(one.identifiers):
                        people.update(one.identifiers)
                        kept[number].append(one)
        if len(people) == known:
            break
    folds = []
    for side, mine, tally in zip(sides, kept, tallies, strict=True):
        # Whose an event is that cannot be processed, nobody knows.
        rejected = {name: count for name, count in tally.items() if name.startswith("quarantined.")}
        folds.append(_folded(side, mine, Counter({"events_in": len(mine)} | rejected)))
    return folds


def paired(active: Sequence[Shown], draft: Sequence[Shown]) -> list[Pair]:
    """Put profiles beside each other that share an identifier; the order is that of their identifiers."""
    components = Components()
    everyone = [(0, one) for one in active] + [(1, one) for one in draft]
    for number, (_, one) in enumerate(everyone):
        components.join((number, *identifiers_of(one)))
    groups: dict[object, tuple[list[Shown], list[Shown]]] = {}
    for number, (side, one) in enumerate(everyone):
        groups.setdefault(components.find(number), ([], []))[side].append(one)
    pairs = [
        Pair(*both)
        for olds, news in groups.values()
        for both in zip_longest(sorted(olds, key=_order), sorted(news, key=_order))
    ]
    return sorted(pairs, key=lambda pair: next(_order(one) for one in pair if one is not None))


def changes(pair: Pair) -> list[Change]:
    """Return the values that differ, by name: `attributes.orders`, `identifiers.email`, `event_count`.

    Ids are not compared: when a draft is published, its profiles take over those of the active version.
    """
    before, after = values_of(pair.active), values_of(pair.draft)
    return [Change(name, before.get(name), after.get(name)) for name in differing(before, after)]


def _contributions(side: Side, records: Iterable[Record], tally: Counter[str]) -> Iterator[Contribution]:
    for read in Reader(side.builder, side.transformer).read(([one] for one in records), tally):
        yield from read.contributions


def _folded(side: Side, contributions: Iterable[Contribution], tally: Counter[str]) -> Folded:
    """Fold contributions in the order, and with the rules for copies in the archive, that a rebuild has."""
    groups: dict[tuple[Identifier, ...], list[Contribution]] = {}
    for one in contributions:
        groups.setdefault(one.identifiers, []).append(one)
    profiles: list[Shown] = []
    for person in link(groups):
        mine = sorted((one for group in person for one in groups[group]), key=_ARRIVAL_OF)
        together = (in_order(list(some)) for _, some in groupby(mine, _ARRIVAL_OF))
        live = _played(side, [one for some in together for one in some], tally)
        lines = (canonical(side.builder, profile) for profile in live)
        profiles += [masked(shown_of(line), side.mask) for line in lines]
    return Folded(profiles, tally)


def _played(side: Side, contributions: Sequence[Contribution], tally: Counter[str]) -> list[Profile]:
    """Fold one person's contributions, and run the profile function, if there is one."""
    if side.function is None:
        live, counted = play(side.builder, contributions)
        tally.update(counted)
        return live
    puts, counted = play_with_history(side.builder, contributions)
    tally.update(counted)
    compute(side.builder, puts, side.function, tally)
    return [put.profile for put in puts]


def _order(shown: Shown) -> tuple[str, str]:
    return shown["created_at"], shown["profile_id"]
