"""The naive oracle: every profile is the list of its events, and is worked out anew whenever it is looked at.

It takes events in order of arrival, like the engine, but shares with it only how an event is read (its
contribution), the calendar, and the id of a first life. Slow, and plain enough to be believed.
"""

from typing import NamedTuple

import msgspec

from shared.core.canonical import canonical_json
from shared.core.compile import Builder, Contribution
from shared.core.identity.ids import profile_id
from shared.core.times import add_months, format_time
from tests.laws.oracle import expected

WINDOW_MINUTES = 24 * 60


class Limits(NamedTuple):
    """What breaks a profile, and how many events one remembers."""

    identifiers: int = 1000
    canonical_bytes: int = 512 * 1024
    remembered: int = 2048


DEFAULTS = Limits()


class Person:
    """A live profile: its founder, its identifiers, and the events it counted."""

    def __init__(self, new_id, founder, limits):
        self.id = new_id
        self.limits = limits
        self.founder = founder
        self.identifiers = set()
        self.events: list[Contribution] = []
        self.inherited = []
        self.forgotten = set()
        self.evicted = 0
        """Events that it forgot while they were within the window of the newest."""

    def counted(self, event):
        """Whether it remembers the event with an arrival within a day of this one."""
        return any(
            hashed == event.hash and abs(minute - event.arrival // 60000) <= WINDOW_MINUTES
            for minute, hashed in self.memory()
        )

    def memory(self):
        return self._traces()[-self.limits.remembered :]

    def _traces(self):
        return sorted({*((one.arrival // 60000, one.hash) for one in self.events), *self.inherited})

    def count(self, event):
        """Take an event in, and forget what is one too many."""
        self.events.append(event)
        self.forgotten.discard((event.arrival // 60000, event.hash))
        self.forget()

    def forget(self):
        """Count what has come to be too much."""
        if len(self.events) + len(self.inherited) <= self.limits.remembered:
            return
        traces = self._traces()
        gone = set(traces[: -self.limits.remembered]) - self.forgotten
        self.evicted += sum(minute >= traces[-1][0] - WINDOW_MINUTES for minute, _ in gone)
        self.forgotten |= gone

    def created_at(self):
        return min(one.arrival for one in self.events)

    def updated_at(self):
        return max(one.arrival for one in self.events)

    def expires_at(self, builder):
        known = any(one.type in builder.known for one in self.identifiers)
        retention = builder.definition.retention
        return add_months(self.updated_at(), retention.known_months if known else retention.other_months)


def profiles_of(
    builder: Builder, contributions: list[Contribution], limits: Limits = DEFAULTS
) -> list[bytes]:
    """Return the canonical lines of every latest life, sorted by profile id."""
    people = people_of(builder, contributions, limits)
    lines = [(person.id, canonical_json(_present(builder, person))) for person in people]
    return [line for _, line in sorted(lines)]


def people_of(builder: Builder, contributions: list[Contribution], limits: Limits = DEFAULTS) -> list[Person]:
    """Return every latest life."""
    return _lives_of(builder, contributions, limits)[0]


def evictions_of(builder: Builder, contributions: list[Contribution], limits: Limits) -> int:
    """Return how many events were forgotten that might still have told a duplicate."""
    people, graves = _lives_of(builder, contributions, limits)
    return sum(one.evicted for one in people + graves)


def _lives_of(builder, contributions, limits):
    people: list[Person] = []
    graves: list[Person] = []
    for event in sorted(contributions, key=lambda one: (one.arrival, one.key[1])):
        _take(builder, people, graves, event, limits)
    return people, graves


def content_of(text: bytes) -> bytes:
    """Return what an event says, however it was written."""
    said = msgspec.json.decode(text)
    return msgspec.json.encode(said, order="sorted")


def history_of(person: Person, window_ms: int) -> list[bytes]:
    """Return the texts of the events in the window of a person, in order; of equal times and ids one."""
    since = person.updated_at() - window_ms
    found: dict[tuple[int, str], bytes] = {}
    for time, event_id, _, text in sorted(
        (*one.key[:2], content_of(one.text), one.text) for one in person.events
    ):
        if time >= since:
            found.setdefault((time, event_id), text)
    return list(found.values())


def _take(builder, people, graves, event, limits):
    reached = _owners(people, event.identifiers) + _owners(graves, event.identifiers)
    if any(one.counted(event) for one in reached):
        return
    identifiers = list(event.identifiers)
    while len(identifiers) > 1 and _over_limit(
        builder, _owners(people, identifiers), identifiers, event.arrival
    ):
        identifiers.pop()
    for one in _owners(people, identifiers):
        if event.arrival > one.expires_at(builder):
            _bury(people, graves, one, event)
    live = _owners(people, identifiers)
    if live:
        person = _merge(people, live)
    else:
        person = Person(_new_id(builder, people, graves, identifiers, event), identifiers[0], limits)
        people.append(person)
    for one in _owners(graves, identifiers):
        person.inherited += one.remains
        one.identifiers -= set(identifiers)
    person.identifiers |= set(identifiers)
    person.count(event)
    if len(person.identifiers) > limits.identifiers or _is_too_large(builder, person):
        _bury(people, graves, person, event)


def _owners(profiles, identifiers):
    return [one for one in profiles if one.identifiers & set(identifiers)]


def _merge(people, live):
    person, *others = sorted(live, key=lambda one: (one.created_at(), one.id))
    for other in others:
        person.identifiers |= other.identifiers
        person.events += other.events
        person.inherited += other.inherited
        person.forgotten |= other.forgotten
        person.evicted += other.evicted
        people.remove(other)
        person.forget()
    return person


def _new_id(builder, people, graves, identifiers, event):
    taken = {one.id for one in people + graves}
    new_id, again = profile_id(builder.name, identifiers[0]), 0
    if new_id in taken or _owners(graves, identifiers):
        new_id = profile_id(builder.name, identifiers[0], event.arrival)
    while new_id in taken:
        again += 1
        new_id = profile_id(builder.name, identifiers[0], event.arrival, again)
    return new_id


def _bury(people, graves, person, event):
    """Remove a profile; what it remembers of the last day waits for whoever takes its identifiers next."""
    people.remove(person)
    graves.append(person)
    since = event.arrival // 60000 - WINDOW_MINUTES
    person.remains = [trace for trace in person.memory() if trace[0] >= since]


def _over_limit(builder, live, identifiers, arrival):
    united = set(identifiers)
    for one in live:
        if arrival <= one.expires_at(builder):
            united |= one.identifiers
    return any(sum(1 for one in united if one.type == kind) > limit for kind, limit in builder.limits.items())


def _present(builder, person):
    attributes = {}
    for number, attribute in enumerate(builder.attributes):
        keyed = []
        for event in person.events:
            reading = event.values[number]
            if reading is not None:
                readings = reading if isinstance(reading, list) else [reading]
                keyed += [((event.key[0], event.key[1], index), one) for index, one in enumerate(readings)]
        if keyed:
            shown = expected(attribute.aggregation, keyed, keep=attribute.keep)
            for suffix, value in shown.items():
                attributes[attribute.name + suffix] = _shown(attribute, value)
    by_type = {}
    for kind, value in sorted(person.identifiers):
        by_type.setdefault(kind, []).append(value)
    return {
        "profile_id": person.id,
        "identifiers": by_type,
        "traits": {name: value for name, value in _traits(person).items() if value is not None},
        "attributes": attributes,
        "created_at": format_time(person.created_at()),
        "updated_at": format_time(person.updated_at()),
        "event_count": len(person.events),
        "expires_at": format_time(person.expires_at(builder)),
    }


def _traits(person):
    """Every trait that was ever said of a person, the last by event time; None for those removed."""
    said = [
        (one.key, canonical_json(value), name, value)
        for one in person.events
        for name, value in (one.traits or {}).items()
    ]
    return {name: value for _, _, name, value in sorted(said, key=lambda one: one[:2])}


def _is_too_large(builder, person):
    """Measured only where it could be: that takes longer than all the rest."""
    limit = person.limits.canonical_bytes
    return sum(one.weight for one in person.events) > limit // 4 and _size(builder, person) > limit


def _size(builder, person):
    """The canonical form, and what removed traits take beside it."""
    removed = [name for name, value in _traits(person).items() if value is None]
    return len(canonical_json(_present(builder, person))) + sum(len(name) + 16 for name in removed)


def _shown(attribute, value):
    if attribute.aggregation == "list":
        return [{"value": one, "at": format_time(key[0])} for key, one in value]
    return format_time(value) if attribute.type == "datetime" else value
