"""Planted faults: what the simulation must find, or it proves nothing.

Each takes one safeguard out of the product, by name, and is found by `SEEDS` in one run: CI runs it with the
fault, where it must fail, and without, where it must pass. `make soak` searches anew.
"""

from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from shared.adapters.dynamo import followups, items, store, transactions, writes
from shared.adapters.dynamo.client import Condition
from shared.app import batch, ingest, loading, quiet, read, retries
from shared.core import life, memory, plan, profile
from shared.core.aggregations.last import Last
from shared.core.identity import resolve
from shared.core.snapshot import Tombstone
from tests.simulation.mutants_of_bounds import MUTANTS_OF_BOUNDS
from tests.simulation.mutants_of_damage import MUTANTS_OF_DAMAGE
from tests.simulation.mutants_of_delivery import MUTANTS_OF_DELIVERY
from tests.simulation.mutants_of_finds import FINDS, MUTANTS_OF_FINDS
from tests.simulation.mutants_of_functions import MUTANTS_OF_FUNCTIONS
from tests.simulation.mutants_of_reading import MUTANTS_OF_READING
from tests.simulation.mutants_of_versions import MUTANTS_OF_VERSIONS

ANYTHING = Condition("attribute_exists(pk) OR attribute_not_exists(pk)")


def writes_at_any_revision():
    """The condition on a profile's revision is skipped."""
    for module in (writes, transactions):
        yield patch.object(module, "at_revision", lambda _: ANYTHING)
        yield patch.object(module, "as_seen", lambda *_: ANYTHING)


def writes_over_what_is_parked():
    """What was parked beside a profile since a plan saw it is written over."""
    for module in (writes, transactions):
        yield patch.object(module, "as_seen", lambda expected, beside: transactions.at_revision(expected))


def lists_only_what_it_saw():
    """Who folds what is parked writes the list as it was seen: what was parked since is not on it."""
    yield patch.object(writes, "rewritten", lambda item, folded: item)


def points_over_any_pointer():
    """The condition on where a pointer leads is skipped."""
    yield patch.object(writes, "ABSENT", ANYTHING)
    yield patch.object(transactions, "may_point", lambda _: ANYTHING)
    yield patch.object(followups, "may_point", lambda _: ANYTHING)


def forgets_on_merge():
    """Of two profiles that are merged, one's dedup memory is lost."""
    yield patch.object(memory.Memory, "unite", lambda self, other: [])


def acknowledges_what_failed():
    """A batch says that it is done although some of it could not be written."""
    yield patch.object(batch, "_first", lambda records, failed: None)


def names_the_last_failure():
    """A batch names the highest sequence number that failed, not the lowest."""

    def last(records, failed):
        return next((one.sequence for one in reversed(list(records)) if one.sequence in failed), None)

    yield patch.object(batch, "_first", last)


def first_of_ties_is_last():
    """At equal event times the smaller event id is the last."""
    add = Last.add

    def swapped(self, state, keyed):
        tied = [one for one in keyed if one[0][0] == max(each[0][0] for each in keyed)]
        return add(self, state, [min(tied)])

    yield patch.object(Last, "add", swapped)


def extends_nothing():
    """Pointers and segments keep their TTL when their profile lives on."""
    yield patch.object(followups.FollowUps, "extend", lambda self, extend: None)


def checks_nothing():
    """What a plan relied on without writing it is not checked, and nothing is buried for a creation."""
    finish = plan.Planner.finish

    def unchecked(self, taken, rest):
        planned = finish(self, taken, rest)
        planned.checks = {}
        planned.buries = [one for one in planned.buries if one.tombstone.id in self.buried]
        return planned

    yield patch.object(plan.Planner, "finish", unchecked)


def loses_what_was_parked():
    """A delta is taken for folded without having been read."""
    read = loading.Loading._read_deltas

    def unread(self):
        read(self)
        return []

    yield patch.object(loading.Loading, "_read_deltas", unread)


def buries_without_memory():
    """A tombstone forgets what its profile remembered."""
    encode = items.Items.tombstone

    def empty(self, tombstone, until):
        return encode(self, Tombstone(tombstone.id, tombstone.rev, (), tombstone.parked), until)

    yield patch.object(items.Items, "tombstone", empty)


def forgets_pointers_of_the_merged():
    """Where a merged profile left a redirect, its pointers do not follow, and the redirect goes at once."""
    yield patch.object(followups.FollowUps, "_move", lambda self, moves: None)
    yield patch.object(followups, "GRAVE_MS", 0)


def creates_before_it_points():
    """A new profile is written before the pointer to it."""

    def create(self, planned, prepared):
        result = self._put_each(prepared)
        if isinstance(result, writes.Committed):
            point = planned.points[0]
            item = self._items.pointer(point, point.until)
            try:
                self._client.put(self._tables.identifiers, item, transactions.may_point(point), 200)
            except writes.ConditionFailedError:
                return writes.Conflict()
        return result

    yield patch.object(writes.Writes, "_create", create)


def withdraws_what_is_listed():
    """A lost write deletes its segments although a twin of it is stored, and lists them."""

    def withdraw(self, prepared, found, *, is_known):
        del found
        if prepared.names and is_known:
            self._follow_ups.best_effort(lambda: self._bodies.delete(prepared.id, prepared.names))

    yield patch.object(writes.Writes, "_withdraw", withdraw)


def remembers_no_duplicates():
    """Nobody remembers an event."""
    yield patch.object(memory.Memory, "remembers", lambda self, hashed, minute: False)


def extends_whatever_is_there():
    """A late write of an earlier TTL takes the place of a later one."""

    def extend(self, extend):
        until = followups.seconds(extend.until)
        exists = Condition("attribute_exists(pk)", {":until": until})
        keys = [
            (self._tables.identifiers, self._keyspace.pointer(one), exists)
            for one in extend.profile.identifiers
        ]
        self._update_all("SET expires_at = :until", keys)

    yield patch.object(followups.FollowUps, "extend", extend)


def deletes_deltas_before_they_are_folded():
    """What was parked goes before the profile is written that has folded it."""
    write = store.DynamoStore._write

    def hasty(self, planned, prepared, *, is_alone):
        keys = [(self._keyspace.delta(name), 0) for name in planned.folded_deltas]
        self._client.write(self._tables.profiles, [], keys)
        return write(self, planned, prepared, is_alone=is_alone)

    yield patch.object(store.DynamoStore, "_write", hasty)


def leaves_a_pointer_behind():
    """Of many identifiers of a merged profile, the last keep leading to where it was."""

    def hand_over(self, secondary, primary, *, pointers):
        for number, identifier in enumerate(secondary.identifiers):
            self._owner[identifier] = primary
            if pointers and number < 2:
                self.expected.setdefault(identifier, (secondary.id, *secondary.aliases))

    yield patch.object(resolve.Ownership, "hand_over", hand_over)


def brings_removed_traits_back():
    """Of two profiles that are merged, a trait that one of them says was removed later stays."""

    def united(mine, others):
        for name, trait in others.items():
            if name not in mine or mine[name][1] is None or trait[0] > mine[name][0]:
                mine[name] = trait
        return mine

    yield patch.object(profile, "merge_traits", united)


def never_expires():
    """A profile lives on whatever its retention says."""
    yield patch.object(life.Life, "has_expired", lambda self, retention, arrival: False)


def takes_any_order():
    """A group is taken by event id, not by arrival."""
    by_component = loading._by_component

    def by_id(contributions, components):
        return [sorted(one, key=lambda each: each.key[1]) for one in by_component(contributions, components)]

    yield patch.object(loading, "_by_component", by_id)


def keeps_the_secondary():
    """A merge leaves the secondary where it is."""
    finish = plan.Planner.finish

    def keeping(self, taken, rest):
        planned = finish(self, taken, rest)
        planned.removes = []
        return planned

    yield patch.object(plan.Planner, "finish", keeping)


def owns_nothing_through_redirects():
    """A pointer that leads through a redirect leads nowhere."""

    def no_redirects(snapshot, pointer):
        target = pointer.profile_id if pointer else None
        stored = snapshot.profiles.get(target) if target else None
        is_profile = isinstance(stored, profile.Profile | Tombstone)
        return ([target] if target else []), stored if is_profile else None

    yield patch.object(resolve, "profile_of", no_redirects)
    yield patch.object(transactions, "may_point", lambda _: ANYTHING)


def obeys_for_ever():
    """Whoever is asked to leave a profile to somebody does so, also when that one has long died."""

    def obeyed(self, stored, now_ms):
        del self, now_ms
        return stored.quiet if isinstance(stored, profile.Profile) and stored.is_quiet else None

    yield patch.object(quiet.Turn, "obeyed", obeyed)


def drops_who_gives_way():
    """What is neither written nor parked, as somebody else is to go first, is not tried again."""
    gives_way = ingest.Ingest._gives_way

    def forgetful(self, one, planned, loading, outcome, again):
        return gives_way(self, one, planned, loading, outcome, again) and not again.clear()

    yield patch.object(ingest.Ingest, "_gives_way", forgetful)


def loses_who_waits():
    """What a transformation wants to try again, and what lost too many races, is set aside nowhere."""
    yield patch.object(retries.Retries, "put", lambda self, builder, version, waiting: None)


def looks_but_once():
    """A reader takes a profile that went between its two reads for none."""

    def once(self, identifier):
        pointer = self._store.pointers([identifier], fresh=True)[identifier]
        return self._whole(self._follow(pointer.profile_id)) if pointer else None

    yield patch.object(read.Reader, "by_identifier", once)


def repairs_nothing():
    """A writer that passes a redirect leaves the pointer as it is."""
    yield patch.object(resolve, "Repair", lambda identifier, expected, target: _NoRepair())


class _NoRepair:
    target = None


def loses_what_was_parked_beside_the_merged():
    """A profile that takes over another does not list what waits beside that one."""
    unite = plan.Planner._merge

    def forgetful(self, contribution, identifiers, lives, *, redirect):
        primary = unite(self, contribution, identifiers, lives, redirect=redirect)
        mine = primary.stored.parked if primary.stored else ()
        primary.profile.parked = tuple(one for one in primary.profile.parked if one in mine)
        return primary

    yield patch.object(plan.Planner, "_merge", forgetful)


MUTANTS = [
    writes_at_any_revision,
    writes_over_what_is_parked,
    lists_only_what_it_saw,
    points_over_any_pointer,
    forgets_on_merge,
    acknowledges_what_failed,
    names_the_last_failure,
    first_of_ties_is_last,
    extends_nothing,
    checks_nothing,
    loses_what_was_parked,
    buries_without_memory,
    forgets_pointers_of_the_merged,
    creates_before_it_points,
    withdraws_what_is_listed,
    remembers_no_duplicates,
    extends_whatever_is_there,
    deletes_deltas_before_they_are_folded,
    leaves_a_pointer_behind,
    brings_removed_traits_back,
    never_expires,
    takes_any_order,
    keeps_the_secondary,
    owns_nothing_through_redirects,
    obeys_for_ever,
    drops_who_gives_way,
    loses_who_waits,
    looks_but_once,
    repairs_nothing,
    loses_what_was_parked_beside_the_merged,
    *MUTANTS_OF_BOUNDS,
    *MUTANTS_OF_DELIVERY,
    *MUTANTS_OF_READING,
    *MUTANTS_OF_VERSIONS,
    *MUTANTS_OF_FUNCTIONS,
    *MUTANTS_OF_DAMAGE,
    *MUTANTS_OF_FINDS,
]
_STORES = {
    "versions": MUTANTS_OF_VERSIONS,
    "functions": MUTANTS_OF_FUNCTIONS,
    "damaged": MUTANTS_OF_DAMAGE,
}


def store_of(name, store="dynamo"):
    """Return the kind of worlds that a fault is searched in."""
    for of_stores in (_STORES, FINDS):
        for special, mutants in of_stores.items():
            if any(one.__name__ == name for one in mutants):
                return special
    return store


@contextmanager
def planted(name):
    """Have the product be wrong in one way, by the name of its mutant; None for the product as it is."""
    with ExitStack() as stack:
        for each in by_name(name)() if name else ():
            stack.enter_context(each)
        yield


def by_name(name):
    return next(one for one in MUTANTS if one.__name__ == name)
