"""Worlds in which items get damaged: only the events of their people wait, until the items are mended."""

from shared.adapters.dynamo.keys import Keyspace
from shared.app.read import REDIRECTS_MAX
from shared.contract import SK_PROFILE, TTL_ATTRIBUTE
from shared.core.containers import EVENTS_MAX
from shared.core.identity.grouping import Components
from shared.core.records import kinesis_records
from tests.simulation.checks import items_of, quarantined
from tests.simulation.dynamo import IDENTIFIERS, PROFILES, STALE_US
from tests.simulation.machine import NAME
from tests.simulation.workers import VERSION
from tests.simulation.world import World

ALONE = {"profile_damaged"}
"""The reasons of an entry of nothing else."""
_NO_STATE, _NO_POINTER = {"B": b"\xff damaged"}, {"N": "7"}


class DamagedWorld(World):
    """A world of one version whose profiles, tombstones, segments, deltas and pointers get damaged.

    Not one where order decides: what waits is counted after what came later.
    """

    def __init__(self, setting, without=frozenset()):
        super().__init__(setting, without)
        self._keyspace = Keyspace(NAME, VERSION)
        self._damaged = {}
        """What stood there before, by (table, key, attribute)."""
        self._people = set()
        """Identifiers of whoever had something damaged."""

    # What happens, by the names of steps.

    def damage(self, at):
        """Damage one item of somebody."""
        places = sorted(place for place in self._places() if place not in self._damaged)
        if not places:
            return
        table, key, name = places[at % len(places)]
        people = self._people_of(table, key)
        if not people:
            return
        item = self.dynamo.tables[table][key]
        self._people |= people
        self._damaged[table, key, name] = item[name]
        self.dynamo.set(table, key, item | {name: _garbage(table)})

    def mend(self, at=0):
        """Bring back what stood in damaged items, unless they were written since, or are gone."""
        del at
        self._check_neighbours()
        mended = []
        for (table, key, name), before in self._damaged.items():
            item = self.dynamo.tables[table].get(key)
            if item is not None and item.get(name) == _garbage(table):
                self.dynamo.set(table, key, item | {name: before})
                mended.append((table, key))
        for table, key in mended:
            if table == IDENTIFIERS:
                item = self.dynamo.tables[table][key]
                self.dynamo.set(table, key, item | self._as_late(item))
        self._damaged = {}

    def _as_late(self, item):
        """Return when a pointer that is brought back expires: with the others that lead where it leads.

        A profile that came to live longer meanwhile could not have told it.
        """
        owner, pointers = self._owner_of(item), items_of(self, IDENTIFIERS, VERSION)
        together = (one[TTL_ATTRIBUTE] for one in pointers if self._owner_of(one) == owner)
        return {TTL_ATTRIBUTE: max(together, key=lambda one: int(one["N"]))}

    def _owner_of(self, pointer):
        """Return the id of the profile that a pointer leads to, by way of whatever was merged."""
        target = pointer["profile_id"].get("S")
        for _ in range(REDIRECTS_MAX):
            owner = self.dynamo.tables[PROFILES].get((f"{NAME}#{VERSION}#{target}", SK_PROFILE), {})
            if "redirect" not in owner:
                break
            target = owner["redirect"]["S"]
        return target

    def _deliver_all(self):
        self.settle()
        self.mend()
        self.scheduler.now_us += STALE_US + 1  # nobody is shown any more what was damaged
        super()._deliver_all()

    def _places(self):
        """Yield what may be damaged: the table, the key, and which attribute."""
        for key, item in self.dynamo.tables[PROFILES].items():
            yield from ((PROFILES, key, name) for name, wire in item.items() if "B" in wire)
        for key in self.dynamo.tables[IDENTIFIERS]:
            yield IDENTIFIERS, key, "profile_id"

    def _people_of(self, table, key):
        """Return what leads to a profile, or to what was merged into it; of a pointer, what it is for."""
        if table == IDENTIFIERS:
            return {self._keyspace.identifier(self.dynamo.tables[table][key])}
        owner = key[0].rpartition("#")[2]
        pointers = items_of(self, IDENTIFIERS, VERSION)
        return {self._keyspace.identifier(one) for one in pointers if self._owner_of(one) == owner}

    # What is checked.

    def _check_neighbours(self):
        """Whoever's events wait for an item to be mended, their own item was damaged."""
        entries = [one for one in quarantined(self, VERSION) if one.reasons.keys() == ALONE]
        if not entries:
            return
        components, events = Components(), {}
        reads = self.reads_of(VERSION)
        for record in self.stream.records:
            for one in reads.of(record).contributions:
                components.join(one.identifiers)
                place = one.position.shard, one.position.sequence, one.position.index % EVENTS_MAX
                events.setdefault(place, []).append(one.identifiers[0])
        theirs = {components.find(one) for one in self._people}
        for entry in entries:
            for record in kinesis_records(entry.envelope):
                mine = events[record.shard, record.sequence, record.first_index]
                if not any(components.find(one) in theirs for one in mine):
                    self.problems.add("an event waits for what is stored of somebody else")


def _garbage(table):
    return _NO_POINTER if table == IDENTIFIERS else _NO_STATE
