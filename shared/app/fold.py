"""Folding files: lines of events in, finished profiles out, on the engine that runs live and without a store.

    survey (lines -> where each person's are) -> link (who may be one person) -> read again, fold (each alone)

So all of a person's events are at hand together, and nobody else's are in memory. What cannot be read again,
a compressed file or what a transformation has made, is scanned instead: read once, and kept.

Neither the order of files and lines nor how the work is split changes the result: events are taken in order
of arrival, and an event that has neither an id nor a timestamp is named by what its line says.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from mmap import mmap
from operator import attrgetter
from typing import Final, NamedTuple, Self, TypeVar, cast

import msgspec

from shared.app.functions.ports import ProfileFunction
from shared.app.functions.results import compute
from shared.app.reading import DROPPED, Postponed, Transformer
from shared.core.compile import Builder, Contribution, Dropped
from shared.core.containers import EVENT_BYTES_MAX, LINE_BYTES_MAX, UnreadableError, decode_object
from shared.core.event import Event, Position, arrival_of, event_of
from shared.core.identity.grouping import Components
from shared.core.identity.identifiers import Identifier, Values
from shared.core.plan import play, play_with_history
from shared.core.profile import Profile, canonical
from shared.core.writes import Put  # noqa: TC001 - ruff sees no use but in an annotation

NO_ARRIVAL: Final = "no_arrival"
"""Why a line is rejected that neither `receivedAt` nor `timestamp` dates."""

TRANSFORMED_TOGETHER: Final = 1000
"""Events given to a transformation at once: those that are to be tried again wait together."""

PEOPLE_AT_A_TIME: Final = 500
"""People that are folded together."""

_FILE: Final = Position("file", "line", 0)
_UNNAMED: Final = "/".join(map(str, _FILE))
"""The event id that comes of the position alone, which says nothing in a file: see `_id_of`."""

_TEXTS: Final = frozenset({str, type(None)})

_ARRIVAL_OF: Final = attrgetter("arrival")

_Group = TypeVar("_Group", bound=tuple[Hashable, ...])

Identifiers = tuple[Identifier, ...]
Groups = dict[Identifiers, list[Contribution]]
"""Contributions by their identifiers: there are far fewer of these than events."""


TOO_LARGE: Final = "too_large"
"""Why a line is rejected that is longer than any event."""
TOO_LARGE_KEPT_BYTES: Final = 1024
"""Of such a line, which may be of any size."""

_UTF8_BYTES_MAX: Final = 4
"""Of one character."""
_UTF8_INSIDE: Final = range(0x80, 0xC0)
"""Bytes that do not begin a character."""

_TOO_LARGE_DETAIL: Final = (
    f"an event has at most {EVENT_BYTES_MAX} bytes; "
    f"here are at most the first {TOO_LARGE_KEPT_BYTES} of its line"
)


class Cut(bytes):
    """The first LINE_BYTES_MAX bytes of a line that has more: `size`."""

    size: int

    def __new__(cls, data: bytes, size: int) -> Self:
        """Note how long the whole line is."""
        cut = super().__new__(cls, data)
        cut.size = size
        return cut


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


class Survey(msgspec.Struct):
    """Where events are.

    `groups` has, for events that say the same of whose they are, the number of one of those identifiers among
    all in `components`, and where their lines start; `nobodys` where those lines start that are nobody's.
    """

    components: Components = msgspec.field(default_factory=Components)
    groups: list[tuple[int, list[int]]] = []
    nobodys: list[int] = []

    def people(self) -> Iterator[tuple[Identifiers, list[int]]]:
        """Yield the identifiers of each component, and where its lines start."""
        root = self.components.root
        starts_of: dict[int, list[int]] = {}
        for number, starts in self.groups:
            mine = starts_of.setdefault(root(number), starts)
            if mine is not starts:
                mine += starts
        identifiers_of: dict[int, list[Identifier]] = {number: [] for number in starts_of}
        for identifier, number in self.components.numbers.items():
            identifiers_of[root(number)].append(cast("Identifier", identifier))
        for number, starts in starts_of.items():
            yield tuple(identifiers_of[number]), starts


class Finished(NamedTuple):
    """A live profile at the end of all events: its id, and its canonical form."""

    profile_id: str
    line: bytes


def survey(builder: Builder, lines: Iterable[bytes], start: int, into: Survey) -> None:
    """Look through lines, of which the first starts there, for whose they may be.

    That is only a first look: what a line is, and whether it is an event at all, is found when it is read
    again. Until then too many may count as one person, never too few.
    """
    # By what stands in the lines: people come back, and deciding whose it is takes longer. Only text is
    # remembered, for True and 1 are equal, but not the same identifier.
    known: dict[Values, list[int]] = {}
    for line in lines:
        values = builder.identifier_values(line)
        try:
            known[values].append(start)  # type: ignore[index]  # None is never there
        except (KeyError, TypeError):  # an array or an object where an identifier should be has no hash
            identifiers = _whose(builder, line, values)
            if identifiers:
                starts = [start]
                into.groups.append((into.components.join(identifiers), starts))
                if values is not None and _TEXTS.issuperset(map(type, values)):
                    known[values] = starts
            else:
                into.nobodys.append(start)
        start += len(line) if type(line) is bytes else cast("Cut", line).size


def _whose(builder: Builder, line: bytes, values: Values | None) -> Identifiers:
    if values is not None:
        return builder.identifiers(values)
    contribution = _read(builder, line, 0, [], Counter())
    return contribution.identifiers if isinstance(contribution, Contribution) else ()


def read_again(
    builder: Builder, text: mmap, starts: Iterable[int], rejected: list[Rejected], tally: Counter[str]
) -> Iterator[Contribution]:
    """Read the lines that start there in a text; those rejected have that place instead of their number."""
    read = 0
    for start in starts:
        most = start + LINE_BYTES_MAX
        line = text[start : text.find(b"\n", start, most) + 1 or most]
        contribution = builder.read(line, None, _FILE, tally)  # hot: what `_read` begins with
        if contribution is None:
            contribution = _read(builder, line, start, rejected, tally)
            if contribution is None:
                continue
        read += 1
        if isinstance(contribution, Dropped):
            tally[f"events_dropped.{contribution.reason}"] += 1
        else:
            yield contribution
    tally["events_in"] += read


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
        contribution = builder.read(line, None, _FILE, tally)  # hot: what `_read` begins with
        if contribution is None:
            contribution = _read(builder, line, number, into.rejected, tally)
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
            if (event := _event_of(line, number, into.rejected)) is not None
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


def _read(
    builder: Builder, line: bytes, number: int, rejected: list[Rejected], tally: Counter[str]
) -> Contribution | Dropped | None:
    """Read a line; None, and perhaps one more rejected, where it is no event."""
    contribution = builder.read(line, None, _FILE, tally)
    if contribution is None:  # not plain
        event = _event_of(line, number, rejected)
        return None if event is None else builder.contribute(event, tally)
    return contribution


def _event_of(line: bytes, number: int, rejected: list[Rejected]) -> Event | None:
    """Decode a line whole; None, and perhaps one more rejected, where it is no event."""
    try:
        body = decode_object(line)
    except UnreadableError as error:
        if error.reason == TOO_LARGE:  # of what follows nothing is known, so it is not blank
            rejected.append(too_large(number, line))
        elif text := line.strip():
            rejected.append(Rejected(number, error.reason, text))
        return None
    arrival = arrival_of(body)
    if arrival is None:
        rejected.append(Rejected(number, NO_ARRIVAL, line.strip()))
        return None
    event = event_of(body, len(line), arrival, _FILE)
    if event.id == _UNNAMED:
        event.id = _id_of(line)
    return event


def too_large(number: int, line: bytes) -> Rejected:
    """Reject a line that is longer than any event; its beginning is kept, cut between characters."""
    end = TOO_LARGE_KEPT_BYTES
    while end > TOO_LARGE_KEPT_BYTES - _UTF8_BYTES_MAX and line[end] in _UTF8_INSIDE:
        end -= 1
    return Rejected(number, TOO_LARGE, line[:end].strip(), _TOO_LARGE_DETAIL)


def link(groups: Iterable[_Group]) -> list[list[_Group]]:
    """Return which groups may be one person: connected components over the identifiers they share.

    A group is named by its identifiers, or by anything hashable in place of each.
    """
    groups = list(groups)
    components = Components()
    numbers = list(map(components.join, groups))
    linked: dict[int, list[_Group]] = {}
    for number, identifiers in zip(numbers, groups, strict=True):
        linked.setdefault(components.root(number), []).append(identifiers)
    return list(linked.values())


def fold(builder: Builder, contributions: Sequence[Contribution], tally: Counter[str]) -> list[Finished]:
    """Fold all contributions of one component, in any order, and return the profiles that are live then."""
    profiles, counted = play(builder, _in_order(contributions))
    tally.update(counted)
    return [Finished(profile.id, canonical(builder, profile)) for profile in profiles]


def fold_people(
    builder: Builder,
    people: Iterable[Sequence[Contribution]],
    tally: Counter[str],
    function: ProfileFunction | None = None,
) -> Iterator[Finished]:
    """Fold the contributions of many components, as `fold` does each, and run the profile function, if any.

    Hot: they are read, folded and shown some at a time. In turns, person by person, all of that takes a fifth
    longer, for it is more code than a processor keeps at hand.
    """
    waiting = iter(people)
    while some := list(islice(waiting, PEOPLE_AT_A_TIME)):
        if function is not None:
            yield from _computed(builder, some, tally, function)
            continue
        live: list[Profile] = []
        for contributions in some:
            profiles, counted = play(builder, _in_order(contributions))
            live += profiles
            for name, times in counted.items():  # `update` of a Counter asks first what it is given
                tally[name] += times
        for profile in live:
            yield Finished(profile.id, canonical(builder, profile))


def _computed(
    builder: Builder, people: Iterable[Sequence[Contribution]], tally: Counter[str], function: ProfileFunction
) -> Iterator[Finished]:
    """Fold some people, and put in what the profile function returns."""
    puts: list[Put] = []
    for contributions in people:
        live, counted = play_with_history(builder, _in_order(contributions))
        puts += live
        tally.update(counted)
    compute(builder, puts, function, tally)
    for put in puts:
        yield Finished(put.profile.id, canonical(builder, put.profile))


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
    return repr((one.key, one.identifiers, one.values, one.traits, one.text))
