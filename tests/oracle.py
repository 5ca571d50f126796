"""The naive oracle: every profile is the list of its events, and is worked out anew whenever it is looked at.

It takes events in order of arrival, like the engine, but shares with it only how an event is read (its
contribution), the calendar, and the id of a first life. Slow, and plain enough to be believed.
"""

from shared.core.canonical import canonical_json
from shared.core.compile import Builder, Contribution
from shared.core.identity.ids import profile_id
from shared.core.times import add_months, format_time
from tests.laws.oracle import expected

WINDOW_MINUTES = 24 * 60


class Person:
    """A live profile: its founder, its identifiers, and the events it counted."""

    def __init__(self, new_id, founder):
        self.id = new_id
        self.founder = founder
        self.identifiers = set()
        self.events: list[Contribution] = []
        self.inherited = []

    def counted(self, event):
        """Whether it remembers the event with an arrival within a day of this one."""
        newest = sorted([(one.arrival // 60000, one.hash) for one in self.events] + self.inherited)[-2048:]
        return any(
            hashed == event.hash and abs(minute - event.arrival // 60000) <= WINDOW_MINUTES
            for minute, hashed in newest
        )

    def created_at(self):
        return min(one.arrival for one in self.events)

    def updated_at(self):
        return max(one.arrival for one in self.events)

    def expires_at(self, builder):
        known = any(one.type in builder.known for one in self.identifiers)
        retention = builder.definition.retention
        return add_months(self.updated_at(), retention.known_months if known else retention.other_months)


def profiles_of(builder: Builder, contributions: list[Contribution]) -> list[bytes]:
    """Return the canonical lines of every latest life, sorted by profile id."""
    people: list[Person] = []
    graves: list[Person] = []
    for event in sorted(contributions, key=lambda one: (one.arrival, one.key[1])):
        _take(builder, people, graves, event)
    lines = [(person.id, canonical_json(_present(builder, person))) for person in people]
    return [line for _, line in sorted(lines)]


def _take(builder, people, graves, event):
    def owners(identifiers):
        return [one for one in people if one.identifiers & set(identifiers)]

    remembering = owners(event.identifiers) + [
        one for one in graves if one.identifiers & set(event.identifiers)
    ]
    if any(one.counted(event) for one in remembering):
        return
    identifiers = list(event.identifiers)
    while len(identifiers) > 1 and _over_limit(builder, owners(identifiers), identifiers, event.arrival):
        identifiers.pop()
    live = owners(identifiers)
    for one in live[:]:
        if event.arrival > one.expires_at(builder):
            live.remove(one)
            people.remove(one)
            graves.append(one)
    if live:
        live.sort(key=lambda one: (one.created_at(), one.id))
        person = live[0]
        for other in live[1:]:
            person.identifiers |= other.identifiers
            person.events += other.events
            person.inherited += other.inherited
            people.remove(other)
    else:
        buried = [one for one in graves if one.identifiers & set(identifiers)]
        salt = (event.arrival,) if buried or _is_taken(people, graves, builder, identifiers[0]) else ()
        person = Person(profile_id(builder.name, identifiers[0], *salt), identifiers[0])
        for one in buried:
            person.inherited += [(each.arrival // 60000, each.hash) for each in one.events] + one.inherited
        people.append(person)
    person.identifiers |= set(identifiers)
    person.events.append(event)
    for one in graves:
        one.identifiers -= set(identifiers)


def _is_taken(people, graves, builder, founder):
    return profile_id(builder.name, founder) in {one.id for one in people + graves}


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
    traits = {}
    for event in sorted(person.events, key=lambda one: one.key):
        traits.update(event.traits or {})
    by_type = {}
    for kind, value in sorted(person.identifiers):
        by_type.setdefault(kind, []).append(value)
    return {
        "profile_id": person.id,
        "identifiers": by_type,
        "traits": {name: value for name, value in traits.items() if value is not None},
        "attributes": attributes,
        "created_at": format_time(person.created_at()),
        "updated_at": format_time(person.updated_at()),
        "event_count": len(person.events),
        "expires_at": format_time(person.expires_at(builder)),
    }


def _shown(attribute, value):
    if attribute.aggregation == "list":
        return [{"value": one, "at": format_time(key[0])} for key, one in value]
    return format_time(value) if attribute.type == "datetime" else value
