"""What must hold at the end of every run, whatever happened in it."""

import json
from collections import Counter

from msgspec.structs import replace

from shared.adapters.dynamo.items import KIND, pointer_of
from shared.adapters.dynamo.keys import Keyspace
from shared.adapters.quarantine import S3Quarantine
from shared.app.quarantine import prefix_of
from shared.app.read import REDIRECTS_MAX
from shared.contract import (
    PREFIX_QUARANTINE,
    PREFIX_RETRIES,
    PROFILES_SK,
    SK_BODY_PREFIX,
    SK_DELTA_PREFIX,
    SK_FAILING,
    SK_HISTORY_PREFIX,
    SK_PROFILE,
    TTL_ATTRIBUTE,
)
from shared.core.profile import Profile, canonical, expiry, missing_segments
from shared.core.records import kinesis_records
from shared.core.snapshot import Redirect
from shared.core.times import parse_time
from tests import oracle
from tests.simulation.dynamo import IDENTIFIERS, PROFILES
from tests.simulation.expected import Expected
from tests.simulation.tuning import QUIET_MS_MAX, limits_of

SETTLINGS_MAX = 5
"""Writes after which nothing is parked, besides one of each process: it may remember what is stale."""


def check(world):
    """Raise AssertionError for whatever does not hold, of the version that is active."""
    stored, pointers = _folded(world)
    stored, pointers = _repaired(world, stored, pointers)
    assert not world.problems, world.problems
    assert not any(one.readable() for one in world.consumers), "records are left on the stream"
    _check_counted_once(world)
    _check_pointers(world, stored, pointers)
    _check_redirects(stored)
    expected = Expected(world, world.active)
    _check_quarantine(world, expected)
    _check_profiles(world, stored, expected)
    _check_evictions(world, expected)
    if world.setting.store != "memory":
        _check_items(world, stored)


def _folded(world):
    """Whoever writes a profile folds what is parked there: nothing fails any more."""
    for _ in range(SETTLINGS_MAX + world.setting.processes):
        stored, pointers = view(world)
        waiting = [one for one in live_of(stored) if one.parked]
        if not waiting:
            return stored, pointers
        world.let_pass(QUIET_MS_MAX)  # else who is left alone would be so by these, too
        world.write_again([telling(world.builder, one) for one in waiting])
    stored, pointers = view(world)
    assert not [one.id for one in live_of(stored) if one.parked], "something stays parked"
    return stored, pointers


def _repaired(world, stored, pointers):
    """Whoever writes a profile mends pointers that lead to it by way of others: nothing fails any more."""
    astray = {one for one in pointers if _leads_astray(world, stored, pointers, one)}
    if not astray or world.setting.store == "memory":  # where reads are stale of any age
        return stored, pointers
    world.let_pass(QUIET_MS_MAX)
    world.write_again(sorted(astray))
    stored, pointers = _folded(world)  # they race, and who writes then repairs what others parked
    assert not any(_leads_astray(world, stored, pointers, one) for one in astray), "a pointer is not repaired"
    return stored, pointers


def _leads_astray(world, stored, pointers, identifier):
    """Whether an event of an identifier alone comes to its profile by way of another one."""
    target = stored.get(pointers[identifier].profile_id)
    profile = stored.get(_end(stored, pointers[identifier])) if isinstance(target, Redirect) else None
    is_alone = world.builder.definition.anonymous_profiles or identifier.type in world.builder.known
    return is_alone and isinstance(profile, Profile) and identifier in profile.identifiers


def _is_open_who_is_who(world):
    """Whether either order of events is right, where order decides whose they are."""
    setting = world.setting
    may_come_late = setting.is_stale or world.has_waited
    has_bounds = setting.is_small or setting.kind == "limited" or setting.is_forgetful
    return world.has_latecomers or (may_come_late and has_bounds)


def _open_fields(world):
    """Return what of a profile tells which copy of an event counts, where that is open."""
    setting, times = world.setting, {"created_at", "updated_at", "expires_at"}
    if not setting.has_copies:
        return set()
    if not setting.is_ordered:
        return times
    # A copy came while the first one waited; and where order decides, sources do not always know the time.
    return times | {"attributes", "traits"} if world.has_waited else set()


def shown(world):
    """Return what everybody who lives shows, by id; not results, as a function may have failed since."""
    stored, _ = view(world)
    live = [replace(one, computed=None) for one in live_of(stored)]
    return {one.id: json.loads(canonical(world.builder, one)) for one in live}


def check_alike(world, before):
    """Everybody shows what they showed before, under the same id."""
    if _is_open_who_is_who(world):
        return
    hidden = _open_fields(world)
    after, before = (
        {
            one: {name: value for name, value in profile.items() if name not in hidden}
            for one, profile in each.items()
        }
        for each in (shown(world), before)
    )
    assert after == before, "a rebuild shows other profiles than live did"


def _check_profiles(world, stored, expected):
    setting = world.setting
    if _is_open_who_is_who(world):
        return
    # What was computed is for whoever has profile functions run to check.
    live = [replace(one, computed=None) for one in sorted(live_of(stored), key=lambda one: one.id)]
    lines = [canonical(world.builder, one) for one in live]
    wanted = oracle.profiles_of(world.builder, expected.contributions, limits_of(world.setting))
    if world.setting.store != "memory":  # what has expired may be gone, or still be there
        lines, wanted = _unexpired(world, lines), _unexpired(world, wanted)
    hidden = set()
    # Of lives that begin and end in one millisecond, each has a number of its own.
    if world.may_have_forgotten() or world.has_waited or setting.is_small or not setting.is_ordered:
        hidden.add("profile_id")
    hidden |= _open_fields(world)
    found, should = _without(lines, hidden), _without(wanted, hidden)
    if found != should:
        extra = [f"  found {one}" for one in found if one not in should]
        missing = [f"  not   {one}" for one in should if one not in found]
        raise AssertionError("\n".join(["profiles are not what the oracle says", *extra, *missing]))


def _unexpired(world, lines):
    return [line for line in lines if parse_time(json.loads(line)["expires_at"]) >= world.now_ms]


def _without(lines, hidden):
    profiles = [json.loads(line) for line in lines]
    for profile in profiles:
        for name in hidden:
            del profile[name]
    return sorted(profiles, key=json.dumps)


def _check_counted_once(world):
    """No two profiles that were merged had counted the same event.

    The heirs of a removed profile share its memory, so that counter says nothing where any was removed.
    """
    if not (world.tally["profiles_broken"] or world.tally["profiles_expired"]):
        assert not world.tally["invariant_violations"], "an event was counted by two profiles"


def _check_evictions(world, expected):
    """Whatever was forgotten too early is counted: all of it, unless some answer got lost."""
    tally, setting = world.tally, world.setting
    if not setting.is_forgetful or setting.has_versions or _is_open_who_is_who(world):
        return
    if tally["profiles_broken"]:
        return  # their heirs take over what they remember, and may have no room for it
    wanted = oracle.evictions_of(world.builder, expected.contributions, limits_of(setting))
    found = tally["dedup_evictions"]
    assert found <= wanted, f"{found} evictions are counted of {wanted}"
    assert found == wanted or world.has_lost_answers, f"{found} evictions are counted, not {wanted}"


def _check_pointers(world, stored, pointers):
    """Every identifier of a live profile leads to it, perhaps through redirects, and to no other."""
    live = [one for one in live_of(stored) if expiry(world.builder, one) >= world.now_ms]
    owners = Counter(one for profile in live for one in profile.identifiers)
    assert all(count == 1 for count in owners.values()), "two profiles list the same identifier"
    for profile in live:
        for identifier in profile.identifiers:
            pointer = pointers.get(identifier)
            assert pointer is not None, f"no pointer leads to {profile.id}"
            assert _end(stored, pointer) == profile.id, f"a pointer leads away from {profile.id}"
    for identifier, pointer in pointers.items():
        target = stored.get(_end(stored, pointer))
        # Where TTL took the tombstone of a first life, another one may have its id: then what was left behind
        # leads there, and counts as absent.
        if isinstance(target, Profile) and not world.has_forgotten:
            assert identifier in target.identifiers, f"a pointer leads to {target.id}, which does not list it"


def _end(stored, pointer):
    target = pointer.profile_id
    for _ in range(REDIRECTS_MAX):
        if not isinstance(stored.get(target), Redirect):
            return target
        target = stored[target].target
    raise AssertionError("redirects lead on for ever")


def _check_redirects(stored):
    for one in stored.values():
        if isinstance(one, Redirect):
            _end(stored, _To(one.id))


class _To:
    def __init__(self, profile_id):
        self.profile_id = profile_id


def _check_quarantine(world, expected):
    """What cannot be read or processed is there, and nothing else, now that what may be well was replayed.

    An event has one entry; more than one only where others of its record failed at one delivery, and not at
    another, as code does that is not always well. Each of these entries holds what was bad at the time.
    """
    assert not world.given_up(world.active), "a batch that was given up stays undelivered"
    assert not list(world.objects.list(PREFIX_RETRIES)), "events wait for another try for ever"
    found = Counter()
    for entry in quarantined(world, world.active):
        assert "failed_repeatedly" not in entry.reasons, "what was given up stays in quarantine"
        held = [(one.shard, one.sequence, one.first_index) for one in kinesis_records(entry.envelope)]
        assert len(held) == sum(entry.reasons.values()), "an entry counts other events than it holds"
        found.update(held)
    assert found.keys() == expected.rejected, "quarantine holds other events than those that cannot be read"
    has_fickle_code = world.setting.has_chain and world.setting.fault_rate
    assert has_fickle_code or not found or max(found.values()) == 1, "quarantine holds an event twice"


def quarantined(world, version):
    """Return the entries of a version that are in quarantine: read one by one, so that no task switches."""
    store, objects = S3Quarantine(world.objects), world.objects
    keys = [one.key for one in objects.list(PREFIX_QUARANTINE + prefix_of(world.builder.name, version))]
    ids = [one.removeprefix(PREFIX_QUARANTINE).removesuffix(".json") for one in keys]
    return [store.get(one).entry for one in ids]


def _check_items(world, stored):
    """Nothing stays for ever, and nothing goes before the profile that needs it."""
    keyspace = Keyspace(world.builder.name, world.active)
    listed = _listed(world)
    for item in items_of(world, PROFILES, world.active):
        kind, owner = item[PROFILES_SK]["S"], stored.get(keyspace.profile_id(item))
        until = int(item[TTL_ATTRIBUTE]["N"]) * 1000 if TTL_ATTRIBUTE in item else None
        if kind == SK_PROFILE:
            needs_none = item.get(KIND) == {"S": "redirect"}
            assert until is not None or needs_none, "a profile or a tombstone without a TTL"
            continue
        assert until is not None, f"{kind} stays for ever"
        if kind.startswith(SK_BODY_PREFIX) and isinstance(owner, Profile):
            name = kind.removeprefix(SK_BODY_PREFIX)
            if name in listed.get(owner.id, ()):
                assert until >= expiry(world.builder, owner), "a segment goes before its profile"
        assert kind == SK_FAILING or kind.startswith((SK_BODY_PREFIX, SK_DELTA_PREFIX, SK_HISTORY_PREFIX)), (
            kind
        )
    for item in items_of(world, IDENTIFIERS, world.active):
        owner = stored.get(pointer_of(item).profile_id)
        until = int(item[TTL_ATTRIBUTE]["N"]) * 1000
        if isinstance(owner, Profile) and keyspace.identifier(item) in owner.identifiers:
            assert until >= expiry(world.builder, owner), "a pointer goes before its profile"


def _listed(world):
    """Return the names of the body items that stored profiles list, by id."""
    found = {}
    keyspace = Keyspace(world.builder.name, world.active)

    def look(store):
        reads = store._reads
        for item in items_of(world, PROFILES, world.active):
            if item[PROFILES_SK]["S"] == SK_PROFILE:
                stored = reads.stored(item)
                if isinstance(stored, Profile):
                    found[keyspace.profile_id(item)] = reads.listed_at(stored.id, stored.rev).names

    world.ask(look, world.active)
    return found


def items_of(world, table, version):
    """Return all items of a version."""
    prefix = f"{world.builder.name}#{version}#"
    return [item for key, item in world.dynamo.tables[table].items() if key[0].startswith(prefix)]


def view(world):
    """Return what is stored by id, profiles that have not expired with their segments, and all pointers."""
    if world.setting.store == "memory":
        return dict(world.memory.stored), dict(world.memory.pointed)
    keyspace = Keyspace(world.builder.name, world.active)
    ids = [
        keyspace.profile_id(item)
        for item in items_of(world, PROFILES, world.active)
        if item[PROFILES_SK]["S"] == SK_PROFILE
    ]

    def look(store):
        found = store.profiles(ids, fresh=True)
        for one, profile in list(found.items()):
            if not isinstance(profile, Profile):
                continue
            if expiry(world.builder, profile) < world.now_ms:
                del found[one]  # TTL may have taken what it lists
            elif names := missing_segments(world.builder, profile):
                found[one] = store.load(world.builder, profile, names)
        return found

    pointers = {  # one whose TTL has passed means nothing: TTL may have taken the other half of it
        keyspace.identifier(item): pointer_of(item)
        for item in items_of(world, IDENTIFIERS, world.active)
        if int(item[TTL_ATTRIBUTE]["N"]) * 1000 >= world.now_ms
    }
    return world.ask(look, world.active), pointers


def telling(builder, profile):
    """Return an identifier that an event needs no other beside."""
    alone = builder.definition.anonymous_profiles
    return min(one for one in profile.identifiers if alone or one.type in builder.known)


def live_of(stored):
    return [one for one in stored.values() if isinstance(one, Profile)]
