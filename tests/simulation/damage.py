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
QUARTER_S = 91 * 24 * 3600
"""Of 13 months of four weeks: as long as identifiers may outlive a profile, without being told of it."""


class Damage:
    """The part of a world in which items get damaged, and are mended. A place is (table, key, attribute)."""

    def __init__(self, setting, without=frozenset()):
        super().__init__(setting, without)
        self._damaged = {}
        """What stood in a place before, and what stands there now."""

    # What happens, by the names of steps.

    def damage(self, at):
        """Damage one item."""
        places = sorted(place for place in self._places() if place not in self._damaged)
        if places:
            self._break(places[at % len(places)], at // 256)

    def mend(self, at=None):
        """Bring back what stood in some damaged items, or in all, unless they were written since."""
        places = [
            place for bit, place in enumerate(sorted(self._damaged)) if at is None or at >> bit % 16 & 1
        ]
        mended = []
        for table, key, name in places:
            before, garbage = self._damaged.pop((table, key, name))
            item = self.dynamo.tables[table].get(key)
            if item is not None and item.get(name) == garbage:
                self.dynamo.set(table, key, item | {name: before})
                mended.append((table, key))
        self._brought_back(mended)

    def _deliver_all(self):
        self.settle()
        self.mend()
        self.scheduler.now_us += STALE_US + 1  # nobody is shown any more what was damaged
        super()._deliver_all()

    # What there is to damage.

    def _places(self):
        """Yield what may be damaged."""
        raise NotImplementedError

    def _garbage(self, place, at):
        """Return what stands in a place once it is damaged, in one of several ways."""
        raise NotImplementedError

    def _break(self, place, at):
        table, key, name = place
        item, garbage = self.dynamo.tables[table][key], self._garbage(place, at)
        self._damaged[place] = item[name], garbage
        self.met[f"damaged: {_kind_of(table, key)}"] += 1
        self.dynamo.set(table, key, item | {name: garbage})

    def _brought_back(self, mended):
        """Do what else is to be done for items that were brought back."""


class DamagedItems(Damage):
    """A world whose profiles, tombstones, segments, deltas and pointers get damaged, of whatever version."""

    def __init__(self, setting, without=frozenset()):
        super().__init__(setting, without)
        self._people = set()
        """Identifiers of whoever had something damaged."""

    def versions(self):
        """Return the versions that have items."""
        return [VERSION]

    def mend(self, at=None):
        """Bring back what stood in damaged items, and replay; before, look whose events wait for that."""
        for version in self.versions():
            self._check_neighbours(version)
        super().mend(at)
        if at is not None:
            self.replay()

    def _places(self):
        for key, item in self.dynamo.tables[PROFILES].items():
            yield from ((PROFILES, key, name) for name, wire in item.items() if "B" in wire)
        for key in self.dynamo.tables[IDENTIFIERS]:
            yield IDENTIFIERS, key, "profile_id"

    def _garbage(self, place, at):
        del at
        return _NO_POINTER if place[0] == IDENTIFIERS else _NO_STATE

    def _break(self, place, at):
        people = self._people_of(*place[:2])
        if people:
            self._people |= people
            super()._break(place, at)

    def _brought_back(self, mended):
        """Let each pointer live as long as all else that is whose it is.

        A profile that came to live longer meanwhile could not have told it.
        """
        for table, key in mended:
            if table == IDENTIFIERS:
                item = self.dynamo.tables[table][key]
                self.dynamo.set(table, key, item | {TTL_ATTRIBUTE: self._latest_end(item)})

    def _latest_end(self, pointer):
        """Return when the last goes of its pointers, or a quarter of the retention after a profile."""
        owner, version = self._owner_of(pointer), _version_of(pointer["pk"]["S"])
        pointers = [one for one in items_of(self, IDENTIFIERS, version) if self._owner_of(one) == owner]
        profile = self.dynamo.tables[PROFILES].get((owner, SK_PROFILE), {})
        ends = [int(one[TTL_ATTRIBUTE]["N"]) for one in pointers]
        ends += [int(profile[TTL_ATTRIBUTE]["N"]) + QUARTER_S] if TTL_ATTRIBUTE in profile else []
        return {"N": str(max(ends))}

    def _owner_of(self, pointer):
        """Return the key of the profile that a pointer leads to, by way of whatever was merged."""
        prefix = f"{NAME}#{_version_of(pointer['pk']['S'])}#"
        target = pointer["profile_id"].get("S")
        for _ in range(REDIRECTS_MAX):
            owner = self.dynamo.tables[PROFILES].get((f"{prefix}{target}", SK_PROFILE), {})
            if "redirect" not in owner:
                break
            target = owner["redirect"]["S"]
        return f"{prefix}{target}"

    def _people_of(self, table, key):
        """Return what leads to a profile, or to what was merged into it; of a pointer, what it is for."""
        version = _version_of(key[0])
        keyspace = Keyspace(NAME, version)
        if table == IDENTIFIERS:
            return {keyspace.identifier(self.dynamo.tables[table][key])}
        pointers = items_of(self, IDENTIFIERS, version)
        return {keyspace.identifier(one) for one in pointers if self._owner_of(one) == key[0]}

    # What is checked.

    def _check_neighbours(self, version):
        """Whoever's events wait for an item to be mended, their own item was damaged."""
        entries = [one for one in quarantined(self, version) if one.reasons.keys() == ALONE]
        if not entries:
            return
        components, events = Components(), {}
        reads = self.reads_of(version)
        for record in self.stream.records:
            read = reads.of(record)
            for one in read.contributions if read else ():
                components.join(one.identifiers)
                place = one.position.shard, one.position.sequence, one.position.index % EVENTS_MAX
                events.setdefault(place, []).append(one.identifiers[0])
        theirs = {components.find(one) for one in self._people}
        for entry in entries:
            for record in kinesis_records(entry.envelope):
                mine = events[record.shard, record.sequence, record.first_index]
                if not any(components.find(one) in theirs for one in mine):
                    self.problems.add("an event waits for what is stored of somebody else")


class DamagedWorld(DamagedItems, World):
    """A world of one version with damage.

    Where order decides, what waited for an item to be mended is counted after what came later: then that is
    left open, and only then.
    """


def _kind_of(table, key):
    """Say what of an item it is that is damaged."""
    return "pointer" if table == IDENTIFIERS else key[1].partition("#")[0]


def _version_of(pk):
    return int(pk.split("#")[1])
