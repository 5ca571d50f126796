"""What the records of a stream give, read once and in order: what is right, and what readers must see."""

from collections import Counter

from shared.app.reading import Reader
from shared.core.control import is_control
from shared.core.identity.grouping import Components
from shared.core.profile import expiry
from shared.core.records import Record
from shared.core.retention import DAY_MS, SHORTEST_MONTH_MS

SAFE_MS = SHORTEST_MONTH_MS - DAY_MS
"""Whoever has been seen within this time has not expired, whatever clocks say."""


class Reads:
    """What each record gives to profiles; worked out once, as nothing about it changes."""

    def __init__(self, builder, transformer):
        self._reader = Reader(builder, transformer)
        self._known = {}

    def of(self, record):
        """Return the `Read` of a record of the stream; None for a control record."""
        key = record.shard, record.sequence
        if key not in self._known:
            self._known[key] = None if is_control(record.data) else self._read(record)
        return self._known[key]

    def _read(self, record):
        one = Record(record.data, record.arrival, record.shard, record.sequence)
        [read] = self._reader.read([[one]], Counter())
        assert not read.postponed, "what a chain makes of an event is a function of the event"
        return read


class Expected:
    """What all records of a world's stream give, as a version reads them."""

    def __init__(self, world, version):
        self.contributions = []
        self.rejected = set()
        """The places of events that cannot be read, or processed: (shard, sequence, index)."""
        self._rejected_at = Counter()
        reads = world.reads_of(version)
        for record in world.stream.records:
            read = reads.of(record)
            if read is None:
                continue
            self.contributions += read.contributions
            if read.rejections:
                self.rejected.update(tuple(one.position) for one in read.rejections)
                self._rejected_at[record.arrival] += len(read.rejections)

    def counted_before(self, t0):
        """Return how many events that arrived before then give something to profiles."""
        return sum(one.arrival < t0 for one in self.contributions)

    def rejected_before(self, t0):
        """Return how many events that arrived before then cannot be read, or processed."""
        return sum(count for arrival, count in self._rejected_at.items() if arrival < t0)


class Sight:
    """What whoever looks up an identifier must be shown, by what was done with when they began to look.

    `least` is how many events their profile must have counted, `listed` what its list must hold, by event id
    and place in the event. No claim is made where order decides whom an event belongs to, or while any of
    them waits for another try.
    """

    def __init__(self, world, version, identifier):
        self._world = world
        self._identifier = identifier
        self._began = world.now_ms
        self._builder, self._reads = world.builder_of(version), world.reads_of(version)
        self._column = next(
            at for at, one in enumerate(self._builder.attributes) if one.aggregation == "list"
        )
        self.least, self.listed = 0, set()
        setting = world.setting
        if not (setting.is_small or setting.kind == "limited" or world.is_waiting(version)):
            since = self._began - SAFE_MS
            theirs = self._theirs(record for record in world.done_with(version) if record.arrival >= since)
            self.least = len({one.hash for one in theirs})
            self.listed = {(one.key[1], at) for one in theirs for at in range(self._listed_of(one))}

    def problems_of(self, found):
        """Return what is wrong with the profile that was shown, or with None."""
        if found is None:
            return {"a reader was shown nobody"} if self.least else set()
        if self._identifier not in found.identifiers:
            return {"a reader was shown somebody else"}
        if expiry(self._builder, found) < self._began:
            return {"a reader was shown somebody who has expired"}
        state = found.attributes[self._column]
        if self.listed - {(key[1], key[2]) for key, _ in (state.entries if state else ())}:
            return {"a reader was shown a list of which something is missing"}
        if found.event_count < self.least:
            return {f"a reader was shown {found.event_count} events of at least {self.least}"}
        most = len(self._theirs(self._world.stream.records))
        return (
            {f"a reader was shown {found.event_count} events of {most}"}
            if found.event_count > most
            else set()
        )

    def _listed_of(self, contribution):
        """Return how many entries an event gives to the list."""
        reading = contribution.values[self._column]
        return 0 if reading is None else len(reading) if isinstance(reading, list) else 1

    def _theirs(self, records):
        """Return the contributions that events link with the identifier, of these records alone."""
        found = [one for record in records if (read := self._reads.of(record)) for one in read.contributions]
        components = Components()
        for one in found:
            components.join(one.identifiers)
        mine = {one for each in found if self._identifier in each.identifiers for one in each.identifiers[:1]}
        if not mine:
            return []
        whose = components.find(next(iter(mine)))
        return [one for one in found if components.find(one.identifiers[0]) == whose]
