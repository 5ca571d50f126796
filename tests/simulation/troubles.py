"""What went wrong in a world, by name: a world in which something never happens says nothing about it.

`make simulate` counts in how many worlds each of these happened, and a test has none of those be missing that
the first worlds of each kind must meet.
"""

from collections import Counter

from shared.app.registry import Status
from shared.contract import SK_PROFILE
from shared.core.control import is_control
from shared.core.event import Event
from shared.core.records import read_record
from shared.core.times import parse_time
from tests.people import HOUR
from tests.simulation.dynamo import IDENTIFIERS, PROFILES

_CALLS = {
    "DynamoDB": (
        "batch_get_item",
        "query",
        "scan",
        "batch_write_item",
        "batch_execute_statement",
        "put_item",
        "update_item",
        "delete_item",
        "transact_write_items",
    ),
    "S3": ("s3",),
    "the registry": ("registry", "progress", "states", "lambda", "kinesis"),
    "user code": ("transform", "function"),
    "the queue": ("the", "send_message_batch", "change_message_visibility", "deletion", "answer"),
    "the store": ("commit",),
}
_OF_CALL = {one: service for service, calls in _CALLS.items() for one in calls}
_TOLD = {
    "conflicts": "a write lost a race",
    "deltas_parked": "events were parked",
    "profiles_hushed": "somebody asked for quiet",
    "profiles_merged": "profiles were merged",
    "profiles_expired": "an expired profile was there still",
    "profiles_broken": "a profile broke",
    "events_duplicate": "an event came again",
    "events_failed": "a group of events failed",
    "events_postponed": "an event waited for another try",
    "events_quarantined": "an event went to quarantine",
    "events_fanned_out": "one event became several",
    "dedup_evictions": "a full memory forgot",
    "set_aside.user_id.limit": "an identifier was one too many",
}
"""What batches count."""

EVERYWHERE = frozenset(
    {
        "Lambda gave a batch up",
        "S3: lost",
        "a group of events failed",
        "a merge was to leave a redirect",
        "a producer sent a record twice",
        "a reader was shown nobody",
        "a reader was shown somebody",
        "a shard was split",
        "a write lost a race",
        "an event arrived in the moment of an end",
        "an event came again",
        "an event happened after its arrival",
        "an event happened long before its arrival",
        "an event told no time",
        "an event went to quarantine",
        "an expired profile was there still",
        "died: worker",
        "events were parked",
        "one event became several",
        "profiles were merged",
        "records came again",
        "shards overtook each other",
        "shards were merged",
        "two processes worked at the same records",
        "what waited was delivered",
    }
)
OF_TABLES = frozenset(
    {
        "DynamoDB: held",
        "DynamoDB: late",
        "DynamoDB: lost",
        "DynamoDB: slow",
        "DynamoDB: throttled",
        "DynamoDB: twice",
        "DynamoDB: unprocessed",
        "DynamoDB: unreached",
        "TTL took a pointer",
        "TTL took a profile",
        "TTL took a profile before its pointers",
        "a cache was stale",
        "a read was stale",
    }
)
OF_VERSIONS = frozenset(
    {
        "a process stood still",
        "a state was called twice",
        "a version became active",
        "a version was cancelled",
        "a version was cleaned up",
        "records arrived about a T0",
    }
)
MUST_BE_MET = {
    "memory": EVERYWHERE | {"the store: lost", "the store: twice", "the store: unreached"},
    "dynamo": EVERYWHERE
    | OF_TABLES
    | {"TTL took a pointer before its profile", "a full memory forgot", "a profile broke"},
    "versions": EVERYWHERE
    | OF_TABLES
    | OF_VERSIONS
    | {f"died: {one}" for one in ("archive", "clean_up", "cut_over", "follow", "link", "plan", "publisher")}
    | {f"died: {one}" for one in ("replay", "scan", "shuffle", "verify")}
    | {"DynamoDB: refused", "S3: late", "the registry: lost", "the registry: throttled"},
    "functions": EVERYWHERE
    | OF_TABLES
    | OF_VERSIONS
    | {
        f"a run: {one}"
        for one in ("failed", "gone", "not_due", "postponed", "resting", "superseded", "written")
    }
    | {f"the queue: {one}" for one in ("late", "lost", "refused", "twice", "unreached")}
    | {f"user code: {one}" for one in ("crashed", "lost", "raised", "timeout", "unreached")}
    | {"damaged: history", "died: dispatch", "died: run"},
    "damaged": EVERYWHERE
    | OF_TABLES
    | OF_VERSIONS
    | {f"damaged: {one}" for one in ("body", "pointer", "profile")}
    | {f"{one}: object of an archive" for one in ("copied", "cut off", "garbled", "lacking")}
    | {"a build failed", "garbled: object of a build"},
    "lives": EVERYWHERE
    | OF_TABLES
    | OF_VERSIONS
    | {"TTL took a part before its profile", "TTL took a pointer before its profile"},
}
"""What the first worlds of each kind must meet, few as they are; some of it comes in one of them alone."""


def troubles_of(world):
    """Return the names of all that went wrong in a world that was played to its end."""
    found = {*world.met, *_faults(world), *_of_records(world)}
    found.update(name for count, name in _TOLD.items() if world.tally[count])
    found.update(_of_shards(world.stream))
    found.update(_of_versions(world))
    return found


def _faults(world):
    """What was drawn to go wrong with calls."""
    for number, what in world.happened:
        if not number.startswith("f"):
            continue
        kind, _, call = what.partition(": ")
        first = call.split()[0]
        if kind == "given up":
            yield "two processes worked at the same records"
        elif first in _OF_CALL:
            yield f"{_OF_CALL[first]}: {kind}"


def _of_records(world):
    for record in world.stream.records:
        if is_control(record.data):
            continue
        for one in read_record(record.data, record.arrival, record.shard, record.sequence):
            if isinstance(one, Event):
                yield from _of_times(parse_time(one.body.get("timestamp")), one.arrival)


def _of_times(said, arrival):
    if said is None:
        yield "an event told no time"
    elif said > arrival:
        yield "an event happened after its arrival"
    elif said < arrival - HOUR:
        yield "an event happened long before its arrival"


def _of_shards(stream):
    children = Counter(parent.name for one in stream.shards for parent in one.parents)
    if any(count > 1 for count in children.values()):
        yield "a shard was split"
    if any(len(one.parents) > 1 for one in stream.shards):
        yield "shards were merged"


def _of_versions(world):
    if not world.setting.has_versions:
        return
    rows = world.registry.versions("people")
    if world.active > 1:
        yield "a version became active"
    if any(one.status is Status.FAILED and "cancel" in one.reason for one in rows):
        yield "a version was cancelled"
    if any(one.status is Status.FAILED and "cancel" not in one.reason for one in rows):
        yield "a build failed"
    if any(one.status is Status.RETIRED and one.cleaned_at for one in rows):
        yield "a version was cleaned up"


def taken_by_ttl(tables, table, key):
    """Say what TTL takes, and before what else."""
    if table == IDENTIFIERS:
        builder, version = key[0].split("#")[:2]
        target = tables[table][key]["profile_id"].get("S")
        is_there = (f"{builder}#{version}#{target}", SK_PROFILE) in tables[PROFILES]
        return "TTL took a pointer before its profile" if is_there else "TTL took a pointer"
    if key[1] != SK_PROFILE:
        is_there = (key[0], SK_PROFILE) in tables[PROFILES]
        return "TTL took a part before its profile" if is_there else "TTL took a part"
    led_to = {one["profile_id"].get("S") for one in tables[IDENTIFIERS].values()}
    is_first = key[0].rpartition("#")[2] in led_to
    return "TTL took a profile before its pointers" if is_first else "TTL took a profile"
